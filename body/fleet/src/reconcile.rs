//! The reconciler: it compares the desired state with the observed and the held one, and decides
//! the next actions.
//!
//! Level-triggered: it knows no history and no plan. Whatever message was lost, the next pass sees
//! the difference again.

use std::{cmp::Ordering, collections::btree_map};

use cbs::Target;
use model::{Replicas, Rollout};

use crate::{
    Action, BodyState, Candidate, Chooser, DRAIN_MS_DEFAULT, Desired, Entry, EntryStatus, Fleet,
    Held, InstancePhase, Item, Moment, Pass, States, TROUBLES_MAX, Trouble, Verdict, Why,
    fault_injection::{Bug, injected},
    owner::HeldEntry,
    time::Clock,
    view::PeerBody,
};

/// Decides the next actions.
///
/// One pass over ten thousand unchanged entries takes about a millisecond: entries and held cells
/// are walked side by side. An entry that is neither held nor owned here takes only a score for
/// each body.
#[must_use]
pub fn reconcile(desired: &Desired, fleet: &Fleet, own: &BodyState, now: Moment) -> Pass {
    let mut clock = Clock::new(now);
    let paused = fleet.paused(&mut clock);
    let peers = fleet.alive(&mut clock);
    // A body that received no leases received no report about this head either.
    let told_since = desired.adopted.max(fleet.hears_since());
    let patience = (told_since, fleet.timing().patience);
    let candidates = Candidates::new(desired, own, &peers, patience, &mut clock);
    let starts = fleet.timing().starts_max.saturating_sub(own.starting());
    let mut round = Round {
        desired,
        fleet,
        own,
        candidates,
        chooser: Chooser::default(),
        clock,
        starts,
        next_id: own.next_id(),
        pass: Pass::default(),
    };
    round.walk();
    let mut pass = Pass { wake: round.clock.wake, paused, ..round.pass };
    if paused.is_some() {
        pass.actions.clear();
    }
    pass
}

/// Bodies that may own something, in the order of their ids.
pub(crate) struct Candidates<'a> {
    list: Vec<Candidate<'a>>,
    states: Vec<CandidateState<'a>>,
}

/// Source of a candidate's answer about an entry: this body's own state, or the lease of a peer.
enum CandidateState<'a> {
    /// This body.
    Own,
    /// It has applied the same head: its states show what it cannot run.
    Spoken(&'a PeerBody),
    /// It has not applied it: it counts as able where its facts do not say otherwise.
    Pending(&'a PeerBody),
    /// It has not applied it for too long.
    Unresponsive,
}

impl<'a> Candidates<'a> {
    /// Makes the list. The tuple holds the moment since when the others could have reported about
    /// the head, and the time that they may take.
    fn new(
        desired: &Desired,
        own: &'a BodyState,
        peers: &[&'a PeerBody],
        (told_since, patience): (Moment, u64),
        clock: &mut Clock,
    ) -> Self {
        let mut all: Vec<(Candidate<'a>, CandidateState<'a>)> = Vec::with_capacity(peers.len() + 1);
        if !own.draining || injected(Bug::IgnoresDraining) {
            all.push((
                Candidate::known(&own.facts.body, &own.facts.labels, own.key),
                CandidateState::Own,
            ));
        }
        for &peer in
            peers.iter().filter(|peer| !peer.presence.draining || injected(Bug::IgnoresDraining))
        {
            let facts = &peer.presence.facts;
            let state = match peer.presence.applied {
                Some(applied) if applied.head == desired.hash => CandidateState::Spoken(peer),
                // It is ahead: what it runs is no matter of those who have yet to follow.
                Some(applied) if applied.number > desired.head.number => {
                    CandidateState::Pending(peer)
                }
                _ if injected(Bug::WaitsForEver) => CandidateState::Pending(peer),
                _ if clock.reached(told_since.max(peer.since).plus(patience)) => {
                    CandidateState::Unresponsive
                }
                _ => CandidateState::Pending(peer),
            };
            all.push((Candidate::known(&facts.body, &facts.labels, peer.key), state));
        }
        all.sort_by(|(a, _), (b, _)| a.body.cmp(b.body));
        let (list, states) = all.into_iter().unzip();
        Self { list, states }
    }

    fn may(&self, at: usize, index: usize, entry: &Entry, own_may: bool) -> bool {
        match self.states.get(at) {
            Some(CandidateState::Own) => own_may,
            Some(CandidateState::Spoken(peer)) => {
                let refused =
                    peer.presence.states.at(index).is_refused() && !injected(Bug::RefusersOwn);
                !refused && peer.presence.facts.matches(entry)
            }
            Some(CandidateState::Pending(peer)) => {
                peer.presence.facts.matches(entry)
                    && peer.presence.facts.missing_runtime(entry).is_none()
            }
            Some(CandidateState::Unresponsive) | None => false,
        }
    }
}

/// Owners of an entry.
#[derive(Debug, Default)]
struct Owners {
    mine: bool,
    /// Indices of the other owners among the candidates.
    others: Vec<usize>,
}

pub(crate) struct Round<'a> {
    desired: &'a Desired,
    pub(crate) fleet: &'a Fleet,
    own: &'a BodyState,
    candidates: Candidates<'a>,
    chooser: Chooser,
    pub(crate) clock: Clock,
    starts: usize,
    next_id: u64,
    pub(crate) pass: Pass,
}

impl<'a> Round<'a> {
    /// Walks entries and held cells side by side: both are in order.
    fn walk(&mut self) {
        let mut held = self.own.held().iter().peekable();
        let manifest = &self.desired.manifest;
        for (index, ((target, item), key)) in
            manifest.entries().iter().zip(manifest.keys()).enumerate()
        {
            let here = self.until(&mut held, target);
            let status = self.entry(index, target, item, *key, here);
            self.pass.states.push(status);
        }
        for (target, held) in held {
            self.remove(target, held, DRAIN_MS_DEFAULT);
        }
    }

    /// Returns the held instances of a target. Held cells that come before it are in no manifest
    /// any more: they are removed.
    fn until(
        &mut self,
        held: &mut std::iter::Peekable<btree_map::Iter<'a, Target, Held>>,
        target: &Target,
    ) -> Option<&'a Held> {
        loop {
            let (other, here) = held.peek().copied()?;
            match other.cmp(target) {
                Ordering::Less => self.remove(other, here, DRAIN_MS_DEFAULT),
                Ordering::Equal => {
                    held.next();
                    return Some(here);
                }
                Ordering::Greater => return None,
            }
            held.next();
        }
    }

    fn remove(&mut self, target: &Target, held: &Held, limit: u64) {
        if injected(Bug::KeepsRemoved) {
            return;
        }
        self.stop(target, held, limit, |_| Some(Why::Undeployed));
    }

    fn entry(
        &mut self,
        index: usize,
        target: &Target,
        item: &Item,
        key: u64,
        held: Option<&'a Held>,
    ) -> EntryStatus {
        let Some(entry) = item.known() else { return self.foreign(index, target, item, held) };
        if !entry.enabled {
            let Some(held) = held else { return EntryStatus::Absent };
            self.remove(target, held, entry.drain_ms);
            return if held.instances().is_empty() {
                EntryStatus::Absent
            } else {
                EntryStatus::Draining
            };
        }
        let record = self.fleet.record(target, entry.version.revision);
        let wanted = entry.wanted(record.map(|record| record.verdict));
        let is_back = record.is_some_and(|it| it.verdict == Verdict::RollBack)
            && wanted.main != &entry.version;
        let rolled_back = record.filter(|_| is_back).map(|record| record.reason.as_str());
        let missing_runtime = self.own.missing_runtime(target, item);
        let refusal = missing_runtime
            .as_deref()
            .or_else(|| held?.refusal(wanted.main.revision, &mut self.clock));
        self.trouble(index, refusal);
        let may = refusal.is_none() && self.own.facts.matches(entry);
        let owners = self.owners(index, entry, key, may);
        let nobody = Held::default();
        let place =
            HeldEntry { index, target, entry, wanted, held: held.unwrap_or(&nobody), rolled_back };
        if owners.mine {
            return self.own_it(&place);
        }
        if place.held.instances().is_empty() {
            return if refusal.is_some() { EntryStatus::Refused } else { EntryStatus::Absent };
        }
        let relied = self.relied(index, place.held, &owners);
        let recreated = entry.rollout == Rollout::Recreate && !owners.others.is_empty();
        self.leave_it(&place, relied.as_ref(), recreated, refusal.is_some())
    }

    fn owners(&mut self, index: usize, entry: &Entry, key: u64, own_may: bool) -> Owners {
        let mut owners = Owners::default();
        let candidates = &self.candidates;
        if injected(Bug::PrefersItself) && own_may && entry.replicas == Replicas::Count(1) {
            owners.mine = true;
            return owners;
        }
        let may = |at| candidates.may(at, index, entry, own_may);
        for &at in
            self.chooser.choose(key, entry.replicas, entry.spread.as_deref(), &candidates.list, may)
        {
            match candidates.states.get(at) {
                Some(CandidateState::Own) => owners.mine = true,
                _ => owners.others.push(at),
            }
        }
        owners
    }

    /// Returns the reason to leave an entry to its owners: every one of them confirms, or this body
    /// ends and there are none. `None`: not yet.
    fn relied(&mut self, index: usize, held: &Held, owners: &Owners) -> Option<Why> {
        if owners.others.is_empty() {
            return self.own.draining.then_some(Why::Ending);
        }
        let left_at = held.left_at(self.desired.hash).or_else(|| {
            (injected(Bug::LeavesUnheard) || injected(Bug::LeavesBeforeReady)).then_some(0)
        })?;
        let mut bodies = Vec::with_capacity(owners.others.len());
        for &at in &owners.others {
            let (CandidateState::Spoken(peer) | CandidateState::Pending(peer)) =
                self.candidates.states.get(at)?
            else {
                return None;
            };
            if !self.fleet.confirms(peer, self.desired.hash, index, left_at, &mut self.clock) {
                return None;
            }
            bodies.push(peer.presence.facts.body.clone());
        }
        Some(Why::Taken(bodies))
    }

    /// Refuses an entry of a newer program. Instances of it go on until a body that understands it
    /// serves it and has received the presence which says that this body leaves.
    fn foreign(
        &mut self,
        index: usize,
        target: &Target,
        item: &Item,
        held: Option<&Held>,
    ) -> EntryStatus {
        let missing_runtime = self.own.missing_runtime(target, item);
        self.trouble(index, missing_runtime.as_deref());
        let Some(held) = held.filter(|held| !held.instances().is_empty()) else {
            return EntryStatus::Refused;
        };
        let hash = self.desired.hash;
        if let Some(left_at) = held.left_at(hash) {
            let mut taken = None;
            for state in &self.candidates.states {
                if let CandidateState::Spoken(peer) = state
                    && self.fleet.confirms(peer, hash, index, left_at, &mut self.clock)
                {
                    taken = Some(peer.presence.facts.body.clone());
                }
            }
            if let Some(body) = taken {
                self.stop(target, held, DRAIN_MS_DEFAULT, |_| Some(Why::Taken(vec![body.clone()])));
            }
        }
        let serves = held.instances().iter().any(|it| it.phase == InstancePhase::Ready);
        if serves { EntryStatus::RefusedOld } else { EntryStatus::Refused }
    }

    /// True if another body may still have another revision of an entry than the wanted one.
    pub(crate) fn old_elsewhere(&self, index: usize) -> bool {
        self.candidates.states.iter().any(|state| match state {
            CandidateState::Spoken(peer) => peer.presence.states.at(index).has_old(),
            CandidateState::Pending(_) => true,
            CandidateState::Own | CandidateState::Unresponsive => false,
        })
    }

    /// Returns the leases of all bodies that have applied this head.
    pub(crate) fn spoken(&self) -> impl Iterator<Item = &'a PeerBody> + '_ {
        self.candidates.states.iter().filter_map(|state| match state {
            CandidateState::Spoken(peer) => Some(*peer),
            _ => None,
        })
    }

    pub(crate) fn trouble(&mut self, index: usize, reason: Option<&str>) {
        if let Some(reason) = reason
            && self.pass.troubles.len() < TROUBLES_MAX
        {
            self.pass.troubles.push(Trouble { index, reason: reason.to_owned() });
        }
    }

    /// Starts an instance, unless as many are starting as may do so at once.
    pub(crate) fn start(&mut self, place: &HeldEntry<'_>, version: &crate::Version, canary: bool) {
        if self.starts == 0 {
            return;
        }
        self.starts -= 1;
        let target = place.target.clone();
        let instance = self.next_id;
        let limit = place.entry.start_ms;
        self.next_id += 1;
        self.pass.actions.push(Action::Start {
            target,
            instance,
            version: version.clone(),
            canary,
            limit,
        });
    }

    /// Stops the instances for which there is a reason, and that are not stopping.
    pub(crate) fn stop(
        &mut self,
        target: &Target,
        held: &Held,
        limit: u64,
        why: impl Fn(&crate::Instance) -> Option<Why>,
    ) {
        for instance in
            held.instances().iter().filter(|instance| instance.phase != InstancePhase::Stopping)
        {
            if let Some(why) = why(instance) {
                let (target, instance) = (target.clone(), instance.id);
                self.pass.actions.push(Action::Stop { target, instance, why, limit });
            }
        }
    }
}

impl States {
    /// Returns the states of a manifest of which nothing runs here.
    #[must_use]
    pub fn absent(entries: usize) -> Self {
        let mut states = Self::default();
        (0..entries).for_each(|_| states.push(EntryStatus::Absent));
        states
    }
}
