//! One entry in one body: the actions of its owner, and those of a body that no longer owns it.

use cbs::Target;
use model::{CanaryRules, Rollout};

use crate::{
    Action, CanarySample, Entry, EntryStatus, Held, InstancePhase, Judgement, Revision, Verdict,
    Version, Wanted, Why,
    fault_injection::{Bug, injected},
    judge,
    reconcile::Round,
};

/// Entry with the instances that this body holds of it.
pub(crate) struct HeldEntry<'a> {
    pub(crate) index: usize,
    pub(crate) target: &'a Target,
    pub(crate) entry: &'a Entry,
    pub(crate) wanted: Wanted<'a>,
    pub(crate) held: &'a Held,
    /// Reason why its canary was rolled back, if it was.
    pub(crate) rolled_back: Option<&'a str>,
}

impl HeldEntry<'_> {
    fn main(&self) -> Revision {
        self.wanted.main.revision
    }

    /// True if an instance is neither of the wanted revision nor the canary beside it.
    fn is_old(&self, it: &crate::Instance) -> bool {
        let is_side =
            it.canary && self.wanted.side.is_some_and(|(side, _)| side.revision == it.revision);
        it.revision != self.main() && !is_side
    }

    fn old_serves(&self) -> bool {
        self.held.instances().iter().any(|it| it.phase == InstancePhase::Ready && self.is_old(it))
    }

    fn main_serves(&self) -> bool {
        self.held.serves(self.main())
    }

    /// Returns the instance of a promoted canary that takes no calls of its own yet.
    fn promoted(&self) -> Option<&crate::Instance> {
        self.held.live(self.main()).find(|it| it.canary && it.phase == InstancePhase::Ready)
    }

    fn side_serves(&self, side: &Version) -> bool {
        self.held.live(side.revision).any(|it| it.phase == InstancePhase::Ready && it.canary)
    }

    fn recreates(&self) -> bool {
        self.entry.rollout == Rollout::Recreate
    }
}

impl Round<'_> {
    /// Decides for an owner: the wanted revision runs here, and nothing else once it does.
    pub(crate) fn own_it(&mut self, place: &HeldEntry<'_>) -> EntryStatus {
        let starting = place.held.live(place.main()).next().is_some();
        if let Some(instance) = place.promoted().map(|it| it.id) {
            let target = place.target.clone();
            let limit = place.entry.start_ms;
            self.pass.actions.push(Action::Promote { target, instance, limit });
        }
        if let Some(reason) = place.rolled_back {
            self.trouble(place.index, Some(&rolled_back(place.entry, reason)));
        }
        let mut waits = None;
        if !starting {
            match place.held.may_start(place.main(), &mut self.clock) {
                Err(reason) => waits = Some(reason),
                Ok(()) => self.begin(place),
            }
        }
        self.trouble(place.index, waits);
        if place.main_serves() || injected(Bug::StopsOldFirst) && starting {
            self.settle(place);
        }
        if place.main_serves() {
            return match place.wanted.side {
                Some((side, _)) if place.side_serves(side) => EntryStatus::Judged,
                Some(_) => EntryStatus::Canary,
                None if place.rolled_back.is_some() => EntryStatus::RolledBack,
                None => EntryStatus::Ready,
            };
        }
        match (waits.is_some(), place.old_serves()) {
            (false, false) => EntryStatus::Starting,
            (false, true) => EntryStatus::Updating,
            (true, false) => EntryStatus::Failed,
            (true, true) => EntryStatus::Kept,
        }
    }

    /// Starts the wanted revision; where it is to be recreated, stops every other one first.
    fn begin(&mut self, place: &HeldEntry<'_>) {
        if place.recreates() && !injected(Bug::RecreatesBeside) {
            let main = place.main();
            let other = place.held.instances().iter().any(|it| it.revision != main);
            if other {
                let why = |it: &crate::Instance| (it.revision != main).then_some(Why::Recreated);
                return self.stop(place.target, place.held, place.entry.drain_ms, why);
            }
            if self.old_elsewhere(place.index) {
                return;
            }
        }
        self.start(place, place.wanted.main, false);
    }

    /// Goes on when the wanted revision is ready: a canary starts beside it, and after a while all
    /// other instances stop.
    fn settle(&mut self, place: &HeldEntry<'_>) {
        let share = match place.wanted.side {
            Some((side, rules)) => self.canary(place, side, rules),
            None => None,
        };
        if share != place.held.share() {
            self.pass.actions.push(Action::Share { target: place.target.clone(), canary: share });
        }
        let others = place
            .held
            .instances()
            .iter()
            .any(|it| place.is_old(it) && it.phase != InstancePhase::Stopping);
        if others && (self.is_settled(place) || injected(Bug::StopsOldFirst)) {
            let why = |it: &crate::Instance| match (
                place.is_old(it),
                it.canary && place.rolled_back.is_some(),
            ) {
                (false, _) => None,
                (true, false) => Some(Why::Replaced),
                (true, true) => Some(Why::RolledBack),
            };
            self.stop(place.target, place.held, place.entry.drain_ms, why);
        }
    }

    /// True if the wanted revision has been ready for a while.
    fn is_settled(&mut self, place: &HeldEntry<'_>) -> bool {
        let ready = place
            .held
            .live(place.main())
            .filter(|it| it.phase == InstancePhase::Ready)
            .map(|it| it.since)
            .min();
        let settle = if injected(Bug::NoSettling) { 0 } else { self.fleet.timing().settle };
        ready.is_some_and(|since| self.clock.reached(since.plus(settle)))
    }

    /// Keeps a canary beside its base, and judges it. Returns the share that it gets now.
    fn canary(
        &mut self,
        place: &HeldEntry<'_>,
        side: &Version,
        rules: &CanaryRules,
    ) -> Option<(Revision, u8)> {
        let mut live = place.held.live(side.revision).filter(|it| it.canary).peekable();
        if live.peek().is_none() {
            let refusal = place.held.refusal(side.revision, &mut self.clock);
            let failure = place.held.may_start(side.revision, &mut self.clock).err();
            // One that was promoted by a verdict that is no more has to leave the bus first.
            let serves = place.held.instances().iter().any(|it| it.revision == side.revision);
            self.trouble(place.index, refusal.or(failure));
            match (refusal, failure) {
                (Some(reason), _) => self.rule(place, side, Verdict::RollBack, reason.to_owned()),
                (None, None) if !serves => self.start(place, side, true),
                _ => {}
            }
            return None;
        }
        let since = live.filter(|it| it.phase == InstancePhase::Ready).map(|it| it.since).min()?;
        let mut base = CanarySample::default();
        let mut canary = CanarySample::default();
        let own = place.held.samples(side.revision);
        let theirs = self.spoken().flat_map(|peer| &peer.presence.tallies);
        let theirs =
            theirs.filter(|sample| sample.index == place.index && sample.revision == side.revision);
        for (of_base, of_canary) in
            own.into_iter().chain(theirs.map(|sample| (&sample.base, &sample.canary)))
        {
            base.add(of_base);
            canary.add(of_canary);
        }
        match judge(rules, &base, &canary, self.clock.now.since(since)) {
            Judgement::Wait => _ = self.clock.reached(since.plus(rules.after_ms)),
            Judgement::Promote => {
                let reason = format!("{} of {} calls failed", canary.errors, canary.calls);
                self.rule(place, side, Verdict::Promote, reason);
            }
            Judgement::RollBack(reason) => self.rule(place, side, Verdict::RollBack, reason),
        }
        Some((side.revision, rules.share.clamp(1, 99)))
    }

    fn rule(&mut self, place: &HeldEntry<'_>, side: &Version, verdict: Verdict, reason: String) {
        let target = place.target.clone();
        let revision = side.revision;
        self.pass.actions.push(Action::Rule { target, revision, verdict, reason });
    }

    /// Decides for a body that does not own the entry and holds instances of it: those that serve
    /// go on until the owners can be relied on.
    pub(crate) fn leave_it(
        &mut self,
        place: &HeldEntry<'_>,
        relied: Option<&Why>,
        recreated: bool,
        refused: bool,
    ) -> EntryStatus {
        let main = place.main();
        let stays = place.rolled_back.is_some() && place.main_serves() && self.is_settled(place);
        self.stop(place.target, place.held, place.entry.drain_ms, |it| match relied {
            // Its owner waits for the end of every instance that may be of an old revision.
            _ if recreated && (it.revision != main || refused) => Some(Why::Recreated),
            Some(why) => Some(why.clone()),
            // No body relies on a canary beside the revision that it was to replace.
            None if stays && it.canary => Some(Why::RolledBack),
            None => (it.phase == InstancePhase::Starting).then_some(Why::Unneeded),
        });
        // What is being started again serves soon: it is left as what serves.
        let serves = place
            .held
            .instances()
            .iter()
            .any(|it| matches!(it.phase, InstancePhase::Ready | InstancePhase::Restarting));
        match (serves, refused) {
            (true, true) => EntryStatus::RefusedOld,
            (true, false) if place.main_serves() && injected(Bug::ExtraSaysReady) => {
                EntryStatus::Ready
            }
            (true, false) if place.main_serves() => EntryStatus::Extra,
            (true, false) => EntryStatus::Old,
            (false, true) => EntryStatus::Refused,
            (false, false) => EntryStatus::Draining,
        }
    }
}

/// Text for people about a canary that was rolled back.
fn rolled_back(entry: &Entry, reason: &str) -> String {
    let revision = entry.version.revision;
    format!(
        "revision {revision} was rolled back: {reason}; change it, or deploy it without a canary"
    )
}
