//! The state of a body's reconciler: all reports that it received, and the decisions that follow.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cbs::{BodyId, Target};

use crate::{
    BodyState, CanarySample, CanarySamples, ContentHash, Contents, Desired, Facts, Fleet, Head,
    HeadError, InstancePhase, Item, ManifestError, Moment, OBSERVED_MAX, Pass, Paused, Presence,
    PresenceError, Revision, States, Timing, VerdictRecord, WrongContent,
    fault_injection::{Bug, injected},
    keys::Key,
    presence::{Applied, HeartbeatSequence},
    reconcile,
    time::Clock,
};

/// The head that the bucket holds, as far as this body has received it.
#[derive(Clone, Debug, Default)]
struct ObservedHead {
    /// Its revision in the bucket, on this connection.
    revision: u64,
    /// The head that waits for the rest of its manifest.
    pending: Option<Head>,
    /// Content of the manifest that is not here yet, where this is known.
    missing: BTreeSet<ContentHash>,
    /// Reason why the pending head is not applied yet or cannot be applied.
    stuck: Option<String>,
}

/// All that one body knows and holds. The driver reports events to it, asks it for the next
/// actions, and puts its presence into the bucket of presence. It does nothing itself.
///
/// A body whose driver ends is lost with it: no data in here has to survive.
#[derive(Clone, Debug)]
pub struct Body {
    own: BodyState,
    fleet: Fleet,
    contents: Contents,
    desired: Option<Desired>,
    seen: ObservedHead,
    /// Result of the last pass, and the head that it was for.
    found: (Option<Applied>, Pass),
    beat: u64,
    /// Content of the last presence, to find out whether the next one is different.
    reported: Reported,
}

/// Parts of a presence that are compared with the state of the body.
#[derive(Clone, Debug, Default)]
struct Reported {
    applied: Option<Applied>,
    states: States,
    observed: BTreeMap<BodyId, HeartbeatSequence>,
    leaving: bool,
}

impl Body {
    /// Returns a body that knows nothing yet; `natives` are linked into its program.
    #[must_use]
    pub fn new(facts: Facts, natives: BTreeSet<Target>, timing: Timing) -> Self {
        let fleet = Fleet::new(&facts, timing.clone());
        Self {
            own: BodyState::new(facts, natives, timing),
            fleet,
            contents: Contents::default(),
            desired: None,
            seen: ObservedHead::default(),
            found: (None, Pass::default()),
            beat: 0,
            reported: Reported::default(),
        }
    }

    /// Notes that the connection is up, for the first time or again: all watches begin anew.
    /// Messages that the old watches still deliver are to be thrown away.
    pub fn connected(&mut self, now: Moment) {
        self.fleet.connected(now);
        self.seen.revision = 0;
    }

    /// Notes that the connection was away for a moment only: all watches begin anew, as after
    /// [`Self::connected`], and no body counts as absent.
    pub fn watched_anew(&mut self) {
        self.fleet.watched_anew();
        self.seen.revision = 0;
    }

    /// True if the connection counts as up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.fleet.is_connected()
    }

    /// Notes that the connection is down. All instances go on.
    pub fn disconnected(&mut self) {
        self.fleet.disconnected();
    }

    /// Takes a lease that was put: another body's, or its own.
    ///
    /// # Errors
    /// The lease cannot be read: it counts as not received.
    pub fn lease(&mut self, bytes: &[u8], revision: u64, now: Moment) -> Result<(), PresenceError> {
        self.observed(Arc::new(Presence::decode(bytes)?), revision, now);
        Ok(())
    }

    /// As [`Self::lease`], with a lease that has been read.
    pub fn observed(&mut self, presence: Arc<Presence>, revision: u64, now: Moment) {
        self.fleet.observed(presence, revision, now);
    }

    /// Notes that a lease has ended, as the server reported.
    pub fn lease_gone(&mut self, body: &BodyId, revision: u64) {
        self.fleet.gone(body, revision);
    }

    /// Takes the value of the key `head`. `None`: the key was deleted, which stops no instance.
    /// Late and repeated messages (by their revision in the bucket) are ignored.
    ///
    /// # Errors
    /// The value cannot be read: the body goes on with the head that it has.
    pub fn head(
        &mut self,
        value: Option<&[u8]>,
        revision: u64,
        now: Moment,
    ) -> Result<(), HeadError> {
        if revision <= self.seen.revision && !injected(Bug::TakesOldHeads) {
            return Ok(());
        }
        self.seen = ObservedHead { revision, ..ObservedHead::default() };
        let Some(bytes) = value else {
            self.seen.stuck =
                Some("the desired state was deleted: the body keeps what it runs".to_owned());
            return Ok(());
        };
        let head =
            Head::decode(bytes).inspect_err(|error| self.seen.stuck = Some(error.to_string()))?;
        if self.desired.as_ref().is_none_or(|desired| desired.hash != head.hash()) {
            self.seen.pending = Some(head);
            self.adopt(now);
        }
        Ok(())
    }

    /// Takes a root or a leaf of a manifest.
    ///
    /// # Errors
    /// Its bytes do not have its hash: it is not taken.
    pub fn tree(
        &mut self,
        hash: ContentHash,
        bytes: &[u8],
        now: Moment,
    ) -> Result<(), WrongContent> {
        self.contents.tree(hash, bytes)?;
        self.arrived(hash, now);
        Ok(())
    }

    /// Takes a spec.
    ///
    /// # Errors
    /// Its bytes do not have its hash: it is not taken.
    pub fn spec(
        &mut self,
        hash: ContentHash,
        bytes: &[u8],
        now: Moment,
    ) -> Result<(), WrongContent> {
        self.contents.spec(hash, bytes)?;
        self.arrived(hash, now);
        Ok(())
    }

    /// True if the spec is here: it is not among the missing content, now or at a later head, until
    /// it is forgotten.
    #[must_use]
    pub fn knows(&self, spec: &ContentHash) -> bool {
        self.contents.knows(spec)
    }

    fn arrived(&mut self, hash: ContentHash, now: Moment) {
        if self.seen.missing.remove(&hash) && self.seen.missing.is_empty() {
            self.adopt(now);
        }
    }

    /// Applies the pending head, if its manifest is whole.
    fn adopt(&mut self, now: Moment) {
        let Some(head) = &self.seen.pending else { return };
        let known = self.desired.as_ref().filter(|desired| desired.head.manifest == head.manifest);
        let manifest = match known {
            Some(desired) => Ok(desired.manifest.clone()),
            None => self.contents.manifest(head.manifest).map(Arc::new),
        };
        match manifest {
            Ok(manifest) => {
                let before = self.desired.as_ref().map(|desired| desired.head.manifest);
                let roots: Vec<ContentHash> =
                    std::iter::once(head.manifest).chain(before).collect();
                self.desired = Some(Desired::new(head.clone(), manifest.clone(), now));
                (self.seen.pending, self.seen.stuck) = (None, None);
                self.contents.retain(&roots);
                self.own.forget(|target, revision| match manifest.get(target) {
                    Some((_, Item::Known(entry))) => {
                        entry.versions().any(|version| version.revision == revision)
                    }
                    _ => false,
                });
            }
            Err(ManifestError::Incomplete(missing)) => {
                self.seen.stuck = Some(format!(
                    "{} objects of generation {} are not in the store yet",
                    missing.len(),
                    head.number
                ));
                self.seen.missing = missing.into_iter().collect();
            }
            Err(error) => self.seen.stuck = Some(error.to_string()),
        }
    }

    /// Returns the keys that the pending head waits for: the driver gets them where the watch does
    /// not bring them. Trees come before specs: the full list of specs is known only when all trees
    /// are here.
    #[must_use]
    pub fn missing(&self) -> Vec<Key> {
        let Some(head) = &self.seen.pending else { return Vec::new() };
        let trees = crate::manifest::leaves(head.manifest, |hash| self.contents.get(hash));
        let is_tree = |hash: &ContentHash| match &trees {
            Ok(leaves) => leaves.contains(hash),
            Err(_) => true,
        };
        self.seen
            .missing
            .iter()
            .map(|hash| if is_tree(hash) { Key::Tree(*hash) } else { Key::Spec(*hash) })
            .collect()
    }

    /// Takes a verdict about a canary, or notes that it was deleted.
    pub fn verdict(&mut self, target: &Target, revision: Revision, record: Option<VerdictRecord>) {
        self.fleet.ruled(target, revision, record);
    }

    /// Notes that calls reach an instance.
    pub fn ready(&mut self, target: &Target, instance: u64, now: Moment) {
        self.own.ready(target, instance, now);
    }

    /// Notes that an instance that was ready is being started again: calls do not reach it until it
    /// is reported ready again.
    pub fn away(&mut self, target: &Target, instance: u64, now: Moment) {
        self.own.away(target, instance, now);
    }

    /// Notes that an instance did not start, or ended by itself for good.
    pub fn failed(&mut self, target: &Target, instance: u64, reason: &str, now: Moment) {
        self.own.failed(target, instance, reason, now);
    }

    /// Notes that a stopping instance is gone.
    pub fn stopped(&mut self, target: &Target, instance: u64) {
        self.own.stopped(target, instance);
    }

    /// Notes that this body cannot run a revision, as its host reported.
    pub fn refuse(&mut self, target: &Target, revision: Revision, reason: &str) {
        self.own.refuse(target, revision, reason);
    }

    /// Takes the call counts of a canary and of its base in this body.
    pub fn sample(
        &mut self,
        target: &Target,
        canary: Revision,
        base: CanarySample,
        of_canary: CanarySample,
    ) {
        self.own.sample(target, canary, base, of_canary);
    }

    /// Notes that the body is about to end: it takes nothing new and leaves what it has.
    pub fn drain(&mut self) {
        self.own.draining = true;
    }

    /// Decides what to do now, and notes that it is being done.
    pub fn pass(&mut self, now: Moment) -> Pass {
        self.fleet.refresh(now);
        let Some(desired) = &self.desired else {
            let mut clock = Clock::new(now);
            let paused = self.fleet.paused(&mut clock);
            self.found.1 = Pass { paused, wake: clock.wake, ..Pass::default() };
            return self.found.1.clone();
        };
        let pass = reconcile(desired, &self.fleet, &self.own, now);
        for action in &pass.actions {
            self.own.note(action, now);
        }
        self.found = (Some(desired.applied()), Pass { actions: Vec::new(), ..pass.clone() });
        pass
    }

    /// Returns the next presence. Each is to be put at once and only once; one that could not be
    /// put is thrown away.
    pub fn presence(&mut self) -> Presence {
        self.beat += 1;
        let (applied, pass) = &self.found;
        let observed = self.fleet.observed_beats(self.beat, OBSERVED_MAX);
        let presence = Presence {
            facts: self.own.facts.clone(),
            beat: self.beat,
            applied: *applied,
            states: pass.states.clone(),
            draining: self.own.draining,
            observed: observed.clone(),
            troubles: pass.troubles.clone(),
            tallies: self.samples(),
            stuck: self.stuck().map(str::to_owned),
        };
        let leaving = presence.is_leaving();
        // No entry is left now or was before: there is nothing to note, for any number of cells.
        if let (Some(desired), true) = (&self.desired, leaving || self.reported.leaving) {
            let states = &presence.states;
            let manifest = &desired.manifest;
            let is_leaving = |target: &Target| {
                manifest.get(target).is_some_and(|(at, _)| states.at(at).is_leaving())
            };
            if applied.is_some_and(|applied| applied.head == desired.hash) {
                self.own.note_left(desired.hash, self.beat, is_leaving);
            }
        }
        self.reported = Reported {
            applied: presence.applied,
            states: presence.states.clone(),
            observed,
            leaving,
        };
        presence
    }

    /// True if the next presence differs from the last one. The driver then puts it soon and does
    /// not wait for the next second, so that no other body waits for this one.
    #[must_use]
    pub fn has_news(&self) -> bool {
        let Reported { applied, states, observed, .. } = &self.reported;
        let now = self.fleet.observed_beats(self.beat, OBSERVED_MAX);
        let same = now.len() == observed.len() && now.keys().eq(observed.keys());
        self.found.0 != *applied || self.found.1.states != *states || !same
    }

    fn samples(&self) -> Vec<CanarySamples> {
        let Some(desired) = &self.desired else { return Vec::new() };
        let with = self.own.held().iter().filter_map(|(target, held)| {
            let (canary, _) = held.share()?;
            let (base, of_canary) = held.samples(canary)?;
            let (index, _) = desired.manifest.get(target)?;
            Some(CanarySamples {
                index,
                revision: canary,
                base: base.clone(),
                canary: of_canary.clone(),
            })
        });
        with.collect()
    }

    /// Head that it has applied, with its manifest.
    #[must_use]
    pub fn desired(&self) -> Option<&Desired> {
        self.desired.as_ref()
    }

    /// State of this body itself: its instances and their failures.
    #[must_use]
    pub fn own(&self) -> &BodyState {
        &self.own
    }

    /// Other bodies, as this body sees them.
    #[must_use]
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// Reason why it does not follow the newest head, if there is one.
    #[must_use]
    pub fn stuck(&self) -> Option<&str> {
        let twin = self.found.1.paused == Some(Paused::DuplicateId);
        let words =
            twin.then_some("another body has the same id: give each its own (`cbs up --body ID`)");
        words.or(self.seen.stuck.as_deref())
    }

    /// True if a head waits for the rest of its manifest.
    #[must_use]
    pub fn is_waiting(&self) -> bool {
        self.seen.pending.is_some()
    }

    /// Revision in the bucket of the newest head that the body received on this connection; 0
    /// without one.
    #[must_use]
    pub fn head_revision(&self) -> u64 {
        self.seen.revision
    }

    /// True if it runs what the newest received head wants of it, and nothing is under way; false
    /// where it may change nothing now.
    #[must_use]
    pub fn is_converged(&self) -> bool {
        let (applied, pass) = &self.found;
        applied.is_some()
            && pass.paused.is_none()
            && self.stuck().is_none()
            && self.seen.pending.is_none()
            && pass.states.runs().all(|(status, _)| status.is_settled())
            && self
                .own
                .held()
                .values()
                .flat_map(crate::Held::instances)
                .all(|it| it.phase == InstancePhase::Ready)
    }

    /// Result of the last pass.
    #[must_use]
    pub fn found(&self) -> &Pass {
        &self.found.1
    }
}
