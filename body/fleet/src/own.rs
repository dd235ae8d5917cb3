//! State of the body itself: its instances, and their failures.

use std::collections::{BTreeMap, BTreeSet};

use cbs::Target;

use crate::{
    Action, CanarySample, ContentHash, Facts, Item, Moment, NATIVE_RUNTIME, Revision, Timing,
    fault_injection::{Bug, injected},
    place,
    time::Clock,
};

/// Phase of an instance, from its start to its stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstancePhase {
    /// It was asked to start.
    Starting,
    /// Calls reach it: it is subscribed, and the barrier returned.
    Ready,
    /// It ended by itself and is being started again: no calls reach it meanwhile.
    Restarting,
    /// It finishes its calls.
    Stopping,
}

/// One start of one revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Instance {
    /// Its number in this body; never used twice.
    pub id: u64,
    /// Revision that it was made from.
    pub revision: Revision,
    /// Present phase.
    pub phase: InstancePhase,
    /// Moment when the phase began.
    pub since: Moment,
    /// True if it is a canary: it gets a share of its base's calls and none of its own.
    pub canary: bool,
}

/// Failures of a revision in this body.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    revision: Revision,
    count: u32,
    /// Moment before which it is not started again.
    again_at: Moment,
    /// Moment before which it is not offered; `None`: it is still offered.
    refused_until: Option<Moment>,
    reason: String,
}

/// All that a body holds of one cell or flow.
#[derive(Clone, Debug, Default)]
pub struct Held {
    instances: Vec<Instance>,
    failures: Vec<Failure>,
    /// The head and the beat at which the body first reported that it leaves.
    left_at: Option<(ContentHash, u64)>,
    share: Option<(Revision, u8)>,
    samples: Option<(Revision, CanarySample, CanarySample)>,
}

impl Held {
    /// Its instances, oldest first.
    #[must_use]
    pub fn instances(&self) -> &[Instance] {
        &self.instances
    }

    /// Instances of a revision that are not stopping.
    pub(crate) fn live(&self, revision: Revision) -> impl Iterator<Item = &Instance> {
        self.instances
            .iter()
            .filter(move |it| it.revision == revision && it.phase != InstancePhase::Stopping)
    }

    /// True if a revision serves here, with calls of its own.
    pub(crate) fn serves(&self, revision: Revision) -> bool {
        self.live(revision).any(|it| {
            it.phase == InstancePhase::Ready && (!it.canary || injected(Bug::CanaryServes))
        })
    }

    /// Ends the share if its canary is gone.
    fn unshare(&mut self) {
        if let Some((revision, _)) = self.share
            && !self.live(revision).any(|it| it.canary)
        {
            self.share = None;
        }
    }

    /// Returns the canary that gets a share of the calls, and its percentage.
    #[must_use]
    pub fn share(&self) -> Option<(Revision, u8)> {
        self.share
    }

    /// Returns the samples of the old and the new revision, where this canary has any.
    pub(crate) fn samples(&self, revision: Revision) -> Option<(&CanarySample, &CanarySample)> {
        self.samples
            .as_ref()
            .filter(|(of, ..)| *of == revision)
            .map(|(_, base, canary)| (base, canary))
    }

    pub(crate) fn left_at(&self, head: ContentHash) -> Option<u64> {
        self.left_at.filter(|(of, _)| *of == head).map(|(_, beat)| beat)
    }

    /// Reason why a revision is refused here now.
    pub(crate) fn refusal(&self, revision: Revision, clock: &mut Clock) -> Option<&str> {
        let failure = self.failures.iter().find(|failure| failure.revision == revision)?;
        let until = failure.refused_until?;
        (!clock.reached(until)).then_some(failure.reason.as_str())
    }

    /// Checks that a revision may be started now; else returns the reason of the last failure.
    pub(crate) fn may_start(&self, revision: Revision, clock: &mut Clock) -> Result<(), &str> {
        let failure = self.failures.iter().find(|failure| failure.revision == revision);
        match failure {
            Some(failure) if !clock.reached(failure.again_at) && !injected(Bug::NoBackoff) => {
                Err(&failure.reason)
            }
            _ => Ok(()),
        }
    }

    fn is_empty(&self) -> bool {
        self.instances.is_empty() && self.failures.is_empty()
    }
}

/// State of a body, as the body itself knows it.
#[derive(Clone, Debug)]
pub struct BodyState {
    pub(crate) facts: Facts,
    /// The body's number in placement.
    pub(crate) key: u64,
    /// Cells that are linked into the program.
    natives: BTreeSet<Target>,
    pub(crate) draining: bool,
    held: BTreeMap<Target, Held>,
    timing: Timing,
    next_id: u64,
}

impl BodyState {
    /// Returns a body that holds nothing, with the cells that are linked into it.
    #[must_use]
    pub fn new(facts: Facts, natives: BTreeSet<Target>, timing: Timing) -> Self {
        let key = place::key_of(&facts.body);
        Self {
            facts: facts.bounded(),
            key,
            natives,
            draining: false,
            held: BTreeMap::new(),
            timing,
            next_id: 1,
        }
    }

    /// Cells and flows that it holds, by name.
    #[must_use]
    pub fn held(&self) -> &BTreeMap<Target, Held> {
        &self.held
    }

    /// The number that the next instance gets.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// Number of instances that are starting.
    pub(crate) fn starting(&self) -> usize {
        let instances = self.held.values().flat_map(|held| &held.instances);
        instances.filter(|instance| instance.phase == InstancePhase::Starting).count()
    }

    /// Reason why this body can never run an entry; it need not try.
    pub(crate) fn missing_runtime(&self, target: &Target, item: &Item) -> Option<String> {
        let entry = match item {
            Item::Known(entry) => entry,
            Item::Foreign { reason, .. } => return Some(reason.clone()),
        };
        if let Some(reason) = self.facts.missing_runtime(entry) {
            return Some(reason);
        }
        let linked = entry.needs.runtime != NATIVE_RUNTIME || self.natives.contains(target);
        (!linked).then(|| format!("{target} is not linked into this body's program"))
    }

    /// Notes that an action is being carried out: the next pass knows of it.
    pub(crate) fn note(&mut self, action: &Action, now: Moment) {
        match action {
            Action::Start { target, instance, version, canary, .. } => {
                self.next_id = self.next_id.max(instance.saturating_add(1));
                let revision = version.revision;
                let (phase, canary) = (InstancePhase::Starting, *canary);
                let start = Instance { id: *instance, revision, phase, since: now, canary };
                self.held.entry(target.clone()).or_default().instances.push(start);
            }
            Action::Stop { target, instance, .. } => {
                self.change(target, *instance, |it| {
                    (it.phase, it.since) = (InstancePhase::Stopping, now);
                });
            }
            Action::Promote { target, instance, .. } => {
                self.change(target, *instance, |it| {
                    (it.phase, it.since, it.canary) = (InstancePhase::Starting, now, false);
                });
            }
            Action::Share { target, canary } => {
                if let Some(held) = self.held.get_mut(target) {
                    held.share = *canary;
                }
            }
            Action::Rule { .. } => {}
        }
    }

    fn change(&mut self, target: &Target, id: u64, change: impl FnOnce(&mut Instance)) {
        let held = self.held.get_mut(target);
        if let Some(instance) =
            held.and_then(|held| held.instances.iter_mut().find(|it| it.id == id))
        {
            change(instance);
        }
        if let Some(held) = self.held.get_mut(target) {
            held.unshare();
        }
    }

    /// Notes that an instance takes calls: it is subscribed and the barrier has returned. An
    /// instance that is being stopped meanwhile goes on stopping.
    pub fn ready(&mut self, target: &Target, id: u64, now: Moment) {
        self.change(target, id, |it| {
            if matches!(it.phase, InstancePhase::Starting | InstancePhase::Restarting) {
                (it.phase, it.since) = (InstancePhase::Ready, now);
            }
        });
    }

    /// Notes that an instance that was ready ended by itself and is being started again: no other
    /// body relies on it until it is ready again.
    pub fn away(&mut self, target: &Target, id: u64, now: Moment) {
        if injected(Bug::AwayIsReady) {
            return;
        }
        self.change(target, id, |it| {
            if it.phase == InstancePhase::Ready {
                (it.phase, it.since) = (InstancePhase::Restarting, now);
            }
        });
    }

    /// Notes that an instance could not be started, or ended by itself for good: it is gone. It is
    /// tried again after a wait that doubles each time; after some failures this body refuses the
    /// revision for a while.
    pub fn failed(&mut self, target: &Target, id: u64, reason: &str, now: Moment) {
        let Some(held) = self.held.get_mut(target) else { return };
        let Some(at) = held.instances.iter().position(|it| it.id == id) else { return };
        let instance = held.instances.remove(at);
        held.unshare();
        if instance.phase == InstancePhase::Stopping {
            return self.tidy(target);
        }
        let healthy = instance.phase == InstancePhase::Ready
            && now.since(instance.since) >= self.timing.healthy;
        let before = held.failures.iter().position(|failure| failure.revision == instance.revision);
        let before = before.map_or(0, |at| held.failures.remove(at).count);
        let count = if healthy { 1 } else { before.saturating_add(1) };
        let wait = self.timing.backoff << count.saturating_sub(1).min(16);
        let refused = count >= self.timing.failures_max;
        held.failures.push(Failure {
            revision: instance.revision,
            count,
            again_at: now.plus(wait.min(self.timing.backoff_max)),
            refused_until: refused.then(|| now.plus(self.timing.refusal)),
            reason: reason.to_owned(),
        });
    }

    /// Notes that a revision cannot be run here, as the host reports before any start: a spec that
    /// this program cannot read, or a bundle whose content does not have its hash. It stays refused
    /// until the body ends.
    pub fn refuse(&mut self, target: &Target, revision: Revision, reason: &str) {
        let held = self.held.entry(target.clone()).or_default();
        held.failures.retain(|failure| failure.revision != revision);
        let never = Moment(u64::MAX);
        let reason = reason.to_owned();
        held.failures.push(Failure {
            revision,
            count: 1,
            again_at: never,
            refused_until: Some(never),
            reason,
        });
    }

    /// Notes that an instance has finished its calls and is gone.
    pub fn stopped(&mut self, target: &Target, id: u64) {
        if let Some(held) = self.held.get_mut(target) {
            held.instances.retain(|it| it.id != id);
            held.unshare();
        }
        self.tidy(target);
    }

    /// Takes the call counts of a canary and its base, since both run side by side.
    pub fn sample(
        &mut self,
        target: &Target,
        canary: Revision,
        base: CanarySample,
        of_canary: CanarySample,
    ) {
        if let Some(held) = self.held.get_mut(target) {
            held.samples = Some((canary, base, of_canary));
        }
    }

    fn tidy(&mut self, target: &Target) {
        if self.held.get(target).is_some_and(Held::is_empty) {
            self.held.remove(target);
        }
    }

    /// Forgets failures of revisions that are no longer wanted.
    pub(crate) fn forget(&mut self, wanted: impl Fn(&Target, Revision) -> bool) {
        for (target, held) in &mut self.held {
            held.failures.retain(|failure| wanted(target, failure.revision));
        }
        self.held.retain(|_, held| !held.is_empty());
    }

    /// Notes the entries that the presence of this beat reports as being left, at this head.
    pub(crate) fn note_left(
        &mut self,
        head: ContentHash,
        beat: u64,
        is_leaving: impl Fn(&Target) -> bool,
    ) {
        for (target, held) in &mut self.held {
            held.left_at = match held.left_at {
                _ if !is_leaving(target) => None,
                Some((of, since)) if of == head => Some((of, since)),
                _ => Some((head, beat)),
            };
        }
    }
}
