//! Keeps the right number of processes of one cell running, and starts each again when it ends.

use std::{collections::BTreeMap, pin::Pin, sync::Arc, time::Duration};

use tokio::{sync::oneshot, task::JoinSet, time::sleep};
use tokio_util::sync::CancellationToken;

use crate::{
    instance::{Ended, Instance},
    plan::Plan,
    process_pool::ProcessPool,
    rolling_replace::{Better, RollingReplace, Step},
    worker_status::Rows,
};

/// Result of the first run of a process: ready, or the reason why not.
pub(crate) type First = oneshot::Receiver<Result<(), String>>;

/// Supervisor of the tasks of all processes of a cell. Dropping it kills the processes.
pub(crate) struct PoolSupervisor {
    plan: Arc<Plan>,
    pool: Arc<ProcessPool>,
    rows: Rows,
    stop: CancellationToken,
    slots: JoinSet<u32>,
    /// The workers by the number of their task. A number is never used again.
    workers: BTreeMap<u32, Worker>,
    next: u32,
    replace: RollingReplace,
}

/// One of the cell's processes, through all its restarts.
struct Worker {
    /// Number of this process within the cell, from 0. Its replacement has the same number.
    number: u32,
    /// Ends this process alone.
    end: CancellationToken,
}

impl PoolSupervisor {
    pub(crate) fn new(
        plan: Arc<Plan>,
        pool: Arc<ProcessPool>,
        rows: Rows,
        stop: CancellationToken,
    ) -> Self {
        let slots = JoinSet::new();
        let workers = BTreeMap::new();
        Self { plan, pool, rows, stop, slots, workers, next: 0, replace: RollingReplace::Over }
    }

    /// Returns the same supervisor, which replaces its processes as soon as there is a better
    /// launch.
    pub(crate) fn with_better(self, better: Option<Better>) -> Self {
        Self { replace: better.map_or(RollingReplace::Over, RollingReplace::Awaited), ..self }
    }

    /// Starts the least number of processes.
    pub(crate) fn start(&mut self) -> Vec<First> {
        (0..self.plan.launch.instances.min.get()).map(|_| self.add()).collect()
    }

    fn add(&mut self) -> First {
        let is_free = |number: &u32| self.workers.values().all(|worker| worker.number != *number);
        let number = (0..).find(is_free).unwrap_or_default();
        self.worker(number, false).1
    }

    fn worker(&mut self, number: u32, replacement: bool) -> (u32, First) {
        let task = self.next;
        let end = self.stop.child_token();
        self.next = self.next.wrapping_add(1);
        self.workers.insert(task, Worker { number, end: end.clone() });
        let (report, first) = oneshot::channel();
        let instance = Instance {
            plan: self.plan.clone(),
            pool: self.pool.clone(),
            row: self.rows.add(task, self.plan.called),
            stop: end,
            stop_all: self.stop.clone(),
            number,
            replacement,
        };
        self.slots.spawn(async move {
            let life: Pin<Box<dyn Future<Output = ()> + Send>> = Box::pin(slot(instance, report));
            life.await;
            task
        });
        (task, first)
    }

    /// Runs until the cell is stopped and the last process has ended, or until the cell has ended
    /// by itself.
    pub(crate) async fn keep(mut self) {
        let pool = self.pool.clone();
        loop {
            tokio::select! {
                slot = self.slots.join_next() => match slot {
                    // A task that was aborted returns no number.
                    Some(task) => if let Ok(task) = task {
                        self.left(task);
                    },
                    None => return,
                },
                () = pool.wants.notified() => if self.has_use_for_another() {
                    drop(self.add());
                },
                step = self.replace.next() => self.succeed(step),
            }
        }
    }

    fn left(&mut self, task: u32) {
        self.workers.remove(&task);
        self.rows.remove(task);
        if let Some(after) = self.replace.left(task) {
            self.replace(after);
        }
    }

    /// Replaces one process after the other, each when the one before has left. So at most one
    /// process more runs than the cell is to have.
    fn succeed(&mut self, step: Step) {
        let cell = self.plan.env.target.name().to_owned();
        match step {
            Step::Begin(launch) => {
                let all = self.workers.keys().copied().collect();
                self.plan = Arc::new(self.plan.succeeded(launch));
                self.replace(all);
            }
            Step::Started { replacement, outcome: Ok(()), mut after } => {
                tracing::info!(
                    target: "cbs::cell", cell, instance = self.workers.get(&replacement).map(|replacement| replacement.number),
                    "its program has taken over"
                );
                match after.pop().and_then(|old| self.workers.get(&old).map(|worker| (old, worker)))
                {
                    Some((old, worker)) => {
                        worker.end.cancel();
                        self.replace = RollingReplace::Leaves { old, after };
                    }
                    None => self.replace(after),
                }
            }
            Step::Started { outcome: Err(reason), .. } => {
                self.plan = self.plan.predecessor();
                if !self.stop.is_cancelled() {
                    tracing::warn!(target: "cbs::cell", cell, "its program {reason}: what has served so far goes on");
                }
            }
        }
    }

    /// Starts the replacement of the last of these processes that still exists.
    fn replace(&mut self, mut all: Vec<u32>) {
        while let Some(number) =
            all.last().map(|old| self.workers.get(old).map(|worker| worker.number))
        {
            if let Some(number) = number.filter(|_| !self.stop.is_cancelled()) {
                let (replacement, first) = self.worker(number, true);
                self.replace = RollingReplace::Starts { replacement, first, after: all };
                return;
            }
            all.pop();
        }
    }

    /// True if another process is to start. Processes start one at a time: while one starts, nobody
    /// knows whether it will serve.
    fn has_use_for_another(&self) -> bool {
        let most = self.plan.launch.instances.max.get() as usize;
        let settled = self.pool.len() == self.slots.len();
        !self.stop.is_cancelled() && self.slots.len() < most && settled && self.pool.is_short()
    }
}

/// Runs one process after the other, until none is needed any longer or the cell has ended.
async fn slot(instance: Instance, first: oneshot::Sender<Result<(), String>>) {
    let (mut first, times) = (Some(first), &instance.plan.settings.times);
    let mut wait = times.backoff;
    loop {
        let mut report = first.take();
        let ended = instance
            .live(|| {
                // The receiver may not wait for the report.
                let _ = report.take().map(|report| report.send(Ok(())));
            })
            .await;
        let (reason, ready_for) = match ended {
            Ended::Orderly => return,
            Ended::Fell { reason, ready_for } => (reason, ready_for),
        };
        if let Some(report) = report {
            let _ = report.send(Err(reason.clone()));
            if instance.replacement {
                return;
            }
        }
        instance.row.exited();
        if !instance.pool.one_exited(&reason) {
            // Processes that wait for their restart must not be started again.
            return instance.stop_all.cancel();
        }
        if instance.stop.is_cancelled() {
            return;
        }
        wait = if ready_for >= times.backoff_max { times.backoff } else { wait };
        tracing::warn!(
            target: "cbs::cell", cell = %instance.plan.env.target.name(), instance = instance.number,
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
