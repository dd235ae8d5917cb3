//! The running instances, each on a task of its own.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::Ordering},
};

use cbs::{LatencyBuckets, Stats, Target};
use fleet::{Body, CanarySample, InstancePhase, Revision, Version};
use tokio::{
    sync::mpsc,
    task::{Id, JoinSet},
};

use crate::fleet::instance::{Event, Executor, InstanceChange, InstanceCommand, StartOrder, live};

/// Limit of commands that wait for one instance: it gets two in its life.
const COMMANDS_MAX: usize = 4;
/// Limit of events of instances that wait.
const EVENTS_MAX: usize = 1_024;

pub(super) struct InstanceTasks {
    pub(super) tasks: Tasks,
    alive: BTreeMap<u64, Alive>,
    pub(super) events: (mpsc::Sender<Event>, mpsc::Receiver<Event>),
    judged: BTreeMap<Target, Judged>,
}

/// The tasks of all instances.
#[derive(Default)]
pub(super) struct Tasks {
    all: JoinSet<()>,
    /// Instance of each task.
    owners: HashMap<Id, u64>,
}

/// One instance.
pub(super) struct Alive {
    pub(super) target: Target,
    pub(super) version: Version,
    pub(super) canary: bool,
    commands: mpsc::Sender<InstanceCommand>,
    stats: Option<Arc<Stats>>,
}

/// A canary and the instance that it runs beside, with the counters that the latter had before.
struct Judged {
    canary: u64,
    base: u64,
    before: CanarySample,
}

impl InstanceTasks {
    pub(super) fn new() -> Self {
        Self {
            tasks: Tasks::default(),
            alive: BTreeMap::new(),
            events: mpsc::channel(EVENTS_MAX),
            judged: BTreeMap::new(),
        }
    }

    pub(super) fn begin(&mut self, executor: Arc<Executor>, order: StartOrder) {
        let (commands, received) = mpsc::channel(COMMANDS_MAX);
        let StartOrder { target, instance, version, canary, .. } = order.clone();
        let task = self.tasks.all.spawn(live(executor, order, received, self.events.0.clone()));
        self.tasks.owners.insert(task.id(), instance);
        self.alive.insert(instance, Alive { target, version, canary, commands, stats: None });
    }

    /// Sends a command to an instance. Returns whether it runs: one that has ended by itself has
    /// reported so, or will.
    pub(super) fn send(&self, instance: u64, command: InstanceCommand) -> bool {
        // It gets fewer commands than the channel can hold.
        self.alive.get(&instance).is_some_and(|alive| {
            alive.commands.try_send(command).is_ok() || !alive.commands.is_closed()
        })
    }

    pub(super) fn get(&self, instance: u64) -> Option<&Alive> {
        self.alive.get(&instance)
    }

    /// Records an event of an instance.
    pub(super) fn observed(&mut self, event: &Event) -> Option<Alive> {
        match &event.what {
            InstanceChange::Ready(stats) => {
                let alive = self.alive.get_mut(&event.instance)?;
                alive.stats.clone_from(stats);
                None
            }
            InstanceChange::Away => None,
            InstanceChange::Failed(_) | InstanceChange::Refused(_) | InstanceChange::Stopped => {
                self.alive.remove(&event.instance)
            }
        }
    }

    /// Notes that an instance was promoted: it is no longer a canary.
    pub(super) fn promoted(&mut self, instance: u64) {
        if let Some(alive) = self.alive.get_mut(&instance) {
            alive.canary = false;
        }
    }

    /// Reports to the reconciler the counters of canaries and of the instances that they run beside
    /// on this body. Returns whether there are any.
    pub(super) fn sample(&mut self, reconciler: &mut Body) -> bool {
        let shares = reconciler.own().held().iter().filter_map(|(target, held)| {
            let (revision, _) = held.share()?;
            let mut ready = held.instances().iter().filter(|it| it.phase == InstancePhase::Ready);
            let canary = ready.clone().find(|it| it.canary && it.revision == revision)?.id;
            let base = ready.find(|it| !it.canary && it.revision != revision)?.id;
            Some((target.clone(), revision, canary, base))
        });
        let shares: Vec<(Target, Revision, u64, u64)> = shares.collect();
        self.judged.retain(|target, _| shares.iter().any(|(judged, ..)| judged == target));
        for (target, revision, canary, base) in &shares {
            let (Some(of_canary), Some(of_base)) = (self.count(*canary), self.count(*base)) else {
                continue;
            };
            let known = self.judged.get(target).map(|judged| (judged.canary, judged.base));
            if known != Some((*canary, *base)) {
                // What began after the canary was counted beside it from its beginning.
                let before = if base > canary { CanarySample::default() } else { of_base.clone() };
                self.judged.insert(target.clone(), Judged { canary: *canary, base: *base, before });
            }
            let before = self.judged.get(target).map(|judged| &judged.before);
            let beside = before.map(|before| since(&of_base, before)).unwrap_or_default();
            reconciler.sample(target, *revision, beside, of_canary);
        }
        !shares.is_empty()
    }

    /// Returns the counters of an instance so far.
    fn count(&self, instance: u64) -> Option<CanarySample> {
        let stats = self.alive.get(&instance)?.stats.as_ref()?;
        let times: LatencyBuckets = stats.latency.read();
        Some(CanarySample {
            calls: stats.calls.load(Ordering::Relaxed),
            errors: stats.faults(),
            times,
        })
    }

    /// Commands all instances to stop.
    pub(super) fn stop_all(&mut self, command: InstanceCommand) {
        for (_, alive) in std::mem::take(&mut self.alive) {
            // An instance that has ended by itself receives no commands.
            let _ = alive.commands.try_send(command);
        }
    }

    /// Waits until all instances have ended.
    pub(super) async fn gone(&mut self) {
        loop {
            tokio::select! {
                _ = self.events.1.recv() => {}
                ended = self.tasks.all.join_next() => if ended.is_none() { break },
            }
        }
    }
}

impl Tasks {
    /// Waits for the next task that ends; `None` if there is none. If the task of an instance
    /// panicked, its end is reported in its place. Cancel-safe.
    pub(super) async fn ended(&mut self) -> Option<Option<Event>> {
        match self.all.join_next_with_id().await? {
            Ok((id, ())) => {
                self.owners.remove(&id);
                Some(None)
            }
            Err(error) => {
                let instance = self.owners.remove(&error.id());
                let panicked = |instance| Event {
                    instance,
                    what: InstanceChange::Failed(format!("its task ended: {error}")),
                };
                Some(instance.map(panicked))
            }
        }
    }
}

fn since(now: &CanarySample, before: &CanarySample) -> CanarySample {
    CanarySample {
        calls: now.calls.saturating_sub(before.calls),
        errors: now.errors.saturating_sub(before.errors),
        times: now.times.since(&before.times),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_instance_whose_task_panics_has_failed() {
        let mut tasks = Tasks::default();
        let task = tasks.all.spawn(async { std::panic::panic_any("a bug") });
        tasks.owners.insert(task.id(), 7);
        let ended = tasks.ended().await.flatten();
        let failed = ended.filter(|event| event.instance == 7).map(|event| event.what);
        assert!(
            matches!(failed, Some(InstanceChange::Failed(reason)) if reason.contains("panicked"))
        );
        assert!(tasks.ended().await.is_none() && tasks.owners.is_empty());
    }
}
