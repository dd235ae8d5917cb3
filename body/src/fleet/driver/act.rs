//! Execution of the reconciler's decisions.

use std::time::Duration;

use cbs::Target;
use fleet::{Action, InstancePhase, Item, Pass, Paused, VerdictRecord, Version, Why};
use model::{CallPolicy, Rollout};

use super::{Driver, watches::late};
use crate::fleet::{
    StoredPolicy,
    instance::{InstanceCommand, StartOrder},
};

impl Driver {
    pub(super) fn carry_out(&mut self, pass: Pass) {
        if pass.paused != self.reported.paused {
            self.stands_still(pass.paused);
        }
        for action in pass.actions {
            match action {
                Action::Start { target, instance, version, canary, limit } => {
                    self.begin(target, instance, version, canary, Duration::from_millis(limit));
                }
                Action::Stop { target, instance, why, limit } => {
                    self.stop(&target, instance, &why, limit);
                }
                Action::Promote { target, instance, limit } => {
                    tracing::info!(%target, "the canary takes calls of its own");
                    self.tasks.promoted(instance);
                    if !self
                        .tasks
                        .send(instance, InstanceCommand::Promote(Duration::from_millis(limit)))
                    {
                        self.reconciler.stopped(&target, instance);
                    }
                }
                Action::Share { target, canary } => self.share(&target, canary),
                Action::Rule { target, revision, verdict, reason } => {
                    self.watches.rule(target, revision, VerdictRecord { verdict, reason });
                }
            }
        }
    }

    fn stands_still(&mut self, paused: Option<Paused>) {
        match paused {
            Some(Paused::NotConnected) if self.reported.lease => {
                tracing::warn!("not connected: what runs goes on, nothing is changed");
            }
            Some(Paused::NotConnected) => {}
            Some(Paused::LeaseNotObserved) => {
                tracing::debug!("its own lease is not observed: nothing is changed");
            }
            Some(Paused::DuplicateId) => tracing::error!(
                "another body has the same id: nothing is changed until one of them is gone; `cbs up --body ID` names one"
            ),
            None => tracing::info!("follows the fleet"),
        }
        // A body that no longer observes its own lease has lost its watch or its bucket.
        if self.reported.paused.is_none()
            && paused == Some(Paused::LeaseNotObserved)
            && self.reported.lease
        {
            self.watches.reopen(&late("its own lease".to_owned()));
        }
        self.reported.paused = paused;
    }

    fn begin(
        &mut self,
        target: Target,
        instance: u64,
        version: Version,
        canary: bool,
        limit: Duration,
    ) {
        let now = self.clock.now();
        let Some(desired) = self.watches.desired.clone() else {
            return self.reconciler.failed(
                &target,
                instance,
                "there is no connection to its spec",
                now,
            );
        };
        tracing::info!(%target, revision = %version.revision, canary, "starts");
        self.tasks.begin(
            self.executor.clone(),
            StartOrder { target, instance, version, canary, limit, desired },
        );
    }

    fn stop(&mut self, target: &Target, instance: u64, why: &Why, limit: u64) {
        tracing::info!(%target, "stops: {why}");
        // A canary that another one replaces never had calls of its own: what serves goes on.
        let is_canary = self.tasks.get(instance).is_some_and(|it| it.canary);
        if *why == Why::Replaced && !is_canary {
            let held = self.reconciler.own().held().get(target);
            let mut ready = held.into_iter().flat_map(|held| held.instances());
            if let Some(new) = ready
                .rfind(|it| it.phase == InstancePhase::Ready && !it.canary && it.id != instance)
            {
                self.executor.instances.report(target, &new.revision.to_string(), "replaced", None);
            }
        }
        if !self.tasks.send(instance, InstanceCommand::Stop(Duration::from_millis(limit)))
            && self.tasks.get(instance).is_none()
        {
            self.reconciler.stopped(target, instance);
        }
    }

    fn share(&self, target: &Target, canary: Option<(fleet::Revision, u8)>) {
        if let Some((revision, percent)) = canary {
            tracing::info!(%target, %revision, "the canary gets {percent} % of the calls");
            let reason = format!("it gets {percent} % of the calls and is being judged");
            self.executor.instances.report(
                target,
                &revision.to_string(),
                "canary-started",
                Some(&reason),
            );
        }
        let share = canary.map(|(revision, percent)| (revision.to_string().into(), percent));
        self.executor.instances.share(target, share);
    }

    /// Lets calls follow the head that was applied.
    pub(super) fn follow(&mut self) {
        let Some(desired) =
            self.reconciler.desired().filter(|desired| self.calls.known != Some(desired.hash))
        else {
            return;
        };
        // The reconciler requests no spec again while it has it: not for one of the next generation
        // either, which may be on its way already.
        self.calls.policies.retain(|spec, _| self.reconciler.knows(spec));
        self.calls.known = Some(desired.hash);
        let entries = desired.manifest.entries();
        let known = entries.iter().map(|(target, _)| target.clone()).collect();
        let cells = entries.iter().filter(|(target, _)| matches!(target, Target::Cell(_)));
        let call_policy: Vec<_> = cells
            .map(|(target, item)| {
                let policy =
                    item.known().and_then(|entry| self.calls.policies.get(&entry.version.spec));
                (target.clone(), policy.map_or_else(CallPolicy::default, StoredPolicy::call_policy))
            })
            .collect();
        self.executor.instances.declare(known, &call_policy);
        tracing::info!(head = desired.head.number, "follows");
        self.watch_verdicts();
    }

    /// Watches for the verdict if a canary is deployed.
    pub(super) fn watch_verdicts(&mut self) {
        let Some(desired) = self.reconciler.desired() else { return };
        let is_canary = |item: &Item| {
            item.known().is_some_and(|entry| matches!(entry.rollout, Rollout::Canary(_)))
        };
        if desired.manifest.entries().iter().any(|(_, item)| is_canary(item)) {
            self.watches.seek_verdicts();
        }
    }
}
