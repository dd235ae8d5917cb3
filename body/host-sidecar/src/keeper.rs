//! Keeps the processes of one cell: as many as are needed, each started again when it ends.

use std::{collections::BTreeSet, pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    crew::Crew,
    instance::{Ended, Instance},
    plan::Plan,
    row::Rows,
};

/// How the first life of a process began: ready, or why not.
pub(crate) type First = oneshot::Receiver<Result<(), String>>;

/// Holds the tasks of all processes of a cell: dropped, it kills them.
pub(crate) struct Keeper {
    plan: Arc<Plan>,
    crew: Arc<Crew>,
    rows: Rows,
    stop: CancellationToken,
    slots: JoinSet<u32>,
    numbers: BTreeSet<u32>,
}

impl Keeper {
    pub(crate) fn new(plan: Arc<Plan>, crew: Arc<Crew>, rows: Rows, stop: CancellationToken) -> Self {
        Self { plan, crew, rows, stop, slots: JoinSet::new(), numbers: BTreeSet::new() }
    }

    /// Starts as many as there are to be at least.
    pub(crate) fn start(&mut self) -> Vec<First> {
        (0..self.plan.launch.instances.min.get()).map(|_| self.add()).collect()
    }

    fn add(&mut self) -> First {
        let number = (0..).find(|number| !self.numbers.contains(number)).unwrap_or_default();
        self.numbers.insert(number);
        let (tell, first) = oneshot::channel();
        let instance = Instance {
            plan: self.plan.clone(),
            crew: self.crew.clone(),
            row: self.rows.add(number),
            stop: self.stop.clone(),
            number,
        };
        self.slots.spawn(async move {
            let life: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(slot(instance, tell));
            life.await;
            number
        });
        first
    }

    /// Until the cell is stopped and the last process has ended, or the cell has ended by itself.
    pub(crate) async fn keep(mut self) {
        let crew = self.crew.clone();
        loop {
            tokio::select! {
                slot = self.slots.join_next() => match slot {
                    // A task that was ended from outside takes its number with it.
                    Some(number) => if let Ok(number) = number {
                        self.numbers.remove(&number);
                        self.rows.remove(number);
                    },
                    None => return,
                },
                () = crew.wants.notified() => if self.has_use_for_another() {
                    drop(self.add());
                },
            }
        }
    }

    /// One at a time: while one starts, nobody knows whether it will do.
    fn has_use_for_another(&self) -> bool {
        let most = self.plan.launch.instances.max.get() as usize;
        let settled = self.crew.len() == self.slots.len();
        !self.stop.is_cancelled() && self.slots.len() < most && settled && self.crew.is_short()
    }
}

/// One process after the other, until it is not needed any longer or the cell has ended.
async fn slot(instance: Instance, first: oneshot::Sender<Result<(), String>>) {
    let (mut first, times) = (Some(first), &instance.plan.settings.times);
    let mut wait = times.backoff;
    loop {
        let mut tell = first.take();
        let ended = instance
            .live(|| {
                // Whoever started it may not wait for it.
                let _ = tell.take().map(|tell| tell.send(Ok(())));
            })
            .await;
        let (reason, ready_for) = match ended {
            Ended::Orderly => return,
            Ended::Fell { reason, ready_for } => (reason, ready_for),
        };
        if let Some(tell) = tell {
            let _ = tell.send(Err(reason.clone()));
        }
        instance.row.fell();
        if !instance.crew.fell(&reason) {
            // Those that wait to be started again are not to be.
            return instance.stop.cancel();
        }
        if instance.stop.is_cancelled() {
            return;
        }
        wait = if ready_for >= times.backoff_max { times.backoff } else { wait };
        tracing::warn!(
            target: "cbs::cell", cell = %instance.plan.home.target.name(), instance = instance.number,
            "a process of the cell is started again in {} ms", wait.as_millis()
        );
        if instance.stop.run_until_cancelled(sleep(wait)).await.is_none() {
            return;
        }
        wait = next(wait, times.backoff_max);
    }
}

fn next(wait: Duration, most: Duration) -> Duration {
    wait.saturating_mul(2).min(most)
}
