//! Observations of a body about the others, and the rules when it may rely on them.

use std::{collections::BTreeMap, sync::Arc};

use cbs::{BodyId, Target};

use crate::{
    ContentHash, EntryStatus, Facts, HeartbeatSequence, Moment, Presence, Revision, Timing,
    Verdict, VerdictRecord,
    fault_injection::{Bug, injected},
    place,
    time::Clock,
};

/// Another body, as its lease describes it.
#[derive(Clone, Debug)]
pub struct PeerBody {
    /// Its last lease.
    pub presence: Arc<Presence>,
    /// Moment when this lease was received.
    pub observed_at: Moment,
    /// Moment when the first lease of this start of the body was received.
    pub since: Moment,
    /// The server said that the lease is gone.
    lost: bool,
    /// Its number in placement.
    pub(crate) key: u64,
    /// The lease's revision in its bucket.
    revision: u64,
    /// True if it has something to leave, and waits until its presence is received.
    leaving: bool,
}

/// State of a body's own connection.
#[derive(Clone, Debug, Default)]
struct Link {
    connected: bool,
    /// Moment when the body last received its own lease on this connection.
    own_observed: Option<Moment>,
    /// The newest revision of a lease under the body's own id.
    own_revision: u64,
    /// Moment when the body last received the lease of another body under its own id.
    duplicate_observed: Option<Moment>,
    /// Revisions of bodies that are gone: leases up to this revision are old.
    forgotten: BTreeMap<BodyId, u64>,
    /// Moment until which no absence counts.
    hold_until: Moment,
    /// Moment of the last pass.
    asked: Option<Moment>,
}

/// Number of bodies that are gone for which late messages can be distinguished from new ones.
const FORGOTTEN_MAX: usize = 1024;

impl Link {
    fn forgotten(&self, body: &BodyId) -> u64 {
        self.forgotten.get(body).copied().unwrap_or_default()
    }

    fn forget(&mut self, body: BodyId, revision: u64) {
        let known = self.forgotten.entry(body).or_default();
        *known = revision.max(*known);
        if self.forgotten.len() > FORGOTTEN_MAX {
            // The older half goes: no message is late by that many bodies.
            let mut revisions: Vec<u64> = self.forgotten.values().copied().collect();
            revisions.sort_unstable();
            let middle = revisions.get(FORGOTTEN_MAX / 2).copied().unwrap_or_default();
            self.forgotten.retain(|_, revision| *revision > middle);
        }
    }
}

/// The fleet as one body sees it.
#[derive(Clone, Debug)]
pub struct Fleet {
    body: BodyId,
    incarnation: u64,
    timing: Timing,
    peers: BTreeMap<BodyId, PeerBody>,
    link: Link,
    verdicts: BTreeMap<Target, BTreeMap<Revision, VerdictRecord>>,
}

/// Reason why a body changes nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// There is no connection.
    NotConnected,
    /// The body does not receive its own lease, so it may miss other leases too.
    LeaseNotObserved,
    /// Another body has the same id.
    DuplicateId,
}

impl Fleet {
    /// Returns a fleet of which nothing is known yet, as this body will see it.
    #[must_use]
    pub fn new(facts: &Facts, timing: Timing) -> Self {
        Self {
            body: facts.body.clone(),
            incarnation: facts.incarnation,
            timing,
            peers: BTreeMap::new(),
            link: Link::default(),
            verdicts: BTreeMap::new(),
        }
    }

    /// Notes that the connection is up, for the first time or again, and its watches begin anew.
    /// The knowledge about other bodies stays; their absence does not count for two leases.
    pub fn connected(&mut self, now: Moment) {
        self.link =
            Link { connected: true, hold_until: now.plus(self.timing.hold), ..Link::default() };
        self.watched_anew();
        for peer in self.peers.values_mut() {
            peer.lost = false;
        }
    }

    /// Notes that the watch of leases begins anew. The bucket is in memory: a server that was
    /// started again counts from one. A watch delivers only the last lease of each body, so nothing
    /// old comes late.
    pub fn watched_anew(&mut self) {
        self.link.own_revision = 0;
        self.link.forgotten.clear();
        for peer in self.peers.values_mut() {
            peer.revision = 0;
        }
    }

    /// True if the connection counts as up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.connected
    }

    /// Notes that the connection is down.
    pub fn disconnected(&mut self) {
        self.link.connected = false;
    }

    /// Takes a lease that was put. `revision` is its revision in the bucket: a lease that comes
    /// late or twice is ignored.
    pub fn observed(&mut self, presence: Arc<Presence>, revision: u64, now: Moment) {
        if !self.link.connected {
            return;
        }
        if presence.facts.body == self.body {
            // A late lease from before this start of the body is not that of a duplicate id.
            let newer = revision > self.link.own_revision;
            self.link.own_revision = revision.max(self.link.own_revision);
            if presence.facts.incarnation == self.incarnation {
                self.link.own_observed = Some(now);
            } else if newer && self.link.own_observed.is_some() {
                self.link.duplicate_observed = Some(now);
            }
            return;
        }
        let known = self.peers.get(&presence.facts.body);
        let past =
            known.map_or_else(|| self.link.forgotten(&presence.facts.body), |peer| peer.revision);
        if revision <= past && !injected(Bug::TakesOldPresences) {
            return;
        }
        let same = known.filter(|peer| {
            peer.presence.facts.incarnation == presence.facts.incarnation && !peer.lost
        });
        let since = same.map_or(now, |peer| peer.since);
        let leaving = presence.is_leaving();
        let key = known.map_or_else(|| place::key_of(&presence.facts.body), |peer| peer.key);
        let peer =
            PeerBody { key, presence, observed_at: now, since, lost: false, revision, leaving };
        self.link.forgotten.remove(&peer.presence.facts.body);
        self.peers.insert(peer.presence.facts.body.clone(), peer);
    }

    /// Notes that a lease has ended or was taken back, as the server reported.
    pub fn gone(&mut self, body: &BodyId, revision: u64) {
        match self.peers.get_mut(body) {
            Some(peer) if revision > peer.revision => (peer.revision, peer.lost) = (revision, true),
            Some(_) => {}
            None => self.link.forget(body.clone(), revision),
        }
    }

    /// Takes a verdict about a canary, or (`None`) notes that it was deleted.
    pub fn ruled(&mut self, target: &Target, revision: Revision, record: Option<VerdictRecord>) {
        let of = self.verdicts.entry(target.clone()).or_default();
        match record {
            Some(record) => _ = of.insert(revision, record),
            None => _ = of.remove(&revision),
        }
        if of.is_empty() {
            self.verdicts.remove(target);
        }
    }

    /// Verdict about this revision.
    #[must_use]
    pub fn verdict(&self, target: &Target, revision: Revision) -> Option<Verdict> {
        self.record(target, revision).map(|record| record.verdict)
    }

    /// Verdict about this revision, with its reason.
    #[must_use]
    pub fn record(&self, target: &Target, revision: Revision) -> Option<&VerdictRecord> {
        let record = self.verdicts.get(target)?.get(&revision);
        record.filter(|_| !injected(Bug::IgnoresVerdicts))
    }

    /// Prepares a pass: notices that the body was asleep, and forgets the bodies that are gone.
    pub fn refresh(&mut self, now: Moment) {
        if self.link.asked.is_some_and(|asked| now.since(asked) > self.timing.sleep || now < asked)
        {
            self.link.hold_until = now.plus(self.timing.hold);
        }
        self.link.asked = Some(now);
        let mut clock = Clock::new(now);
        if self.paused(&mut clock).is_some() && !injected(Bug::ForgetsWhileDeaf) {
            // A body that receives nothing cannot see absences: it gets two leases of time
            // afterwards.
            self.link.hold_until = now.plus(self.timing.hold);
            return;
        }
        let dead: Vec<BodyId> = self
            .peers
            .iter()
            .filter(|(_, peer)| !self.is_alive(peer, &mut clock))
            .map(|(body, _)| body.clone())
            .collect();
        for body in dead {
            if let Some(peer) = self.peers.remove(&body) {
                self.link.forget(body, peer.revision);
            }
        }
    }

    /// True if another body counts as alive: its lease was received, or absences do not count now.
    /// Its absence is measured up to the last time that this body received its own lease: a
    /// connection that died unnoticed makes no body count as gone.
    fn is_alive(&self, peer: &PeerBody, clock: &mut Clock) -> bool {
        let silence = self.link.own_observed.map_or(0, |own| own.since(peer.observed_at));
        let silent = silence >= self.timing.unheard && !injected(Bug::NobodyDies);
        !peer.lost && !silent || !clock.reached(self.link.hold_until) && !injected(Bug::NoHold)
    }

    fn is_fresh(&self, peer: &PeerBody, clock: &mut Clock) -> bool {
        !clock.reached(peer.observed_at.plus(self.timing.unheard))
    }

    /// Reason why the body may change nothing now; `None` when it may.
    pub(crate) fn paused(&self, clock: &mut Clock) -> Option<Paused> {
        if injected(Bug::ActsDeaf) {
            return None;
        }
        if !self.link.connected {
            return Some(Paused::NotConnected);
        }
        if self
            .link
            .duplicate_observed
            .is_some_and(|observed| !clock.reached(observed.plus(self.timing.unheard)))
        {
            return Some(Paused::DuplicateId);
        }
        let hears = self
            .link
            .own_observed
            .is_some_and(|observed| !clock.reached(observed.plus(self.timing.unheard)));
        (!hears).then_some(Paused::LeaseNotObserved)
    }

    /// Moment since when the body has received all leases, as far as the absence of one has a
    /// meaning: two leases before absences count.
    pub(crate) fn hears_since(&self) -> Moment {
        Moment(self.link.hold_until.0.saturating_sub(self.timing.hold))
    }

    /// The other bodies that count as alive.
    pub(crate) fn alive(&self, clock: &mut Clock) -> Vec<&PeerBody> {
        self.peers.values().filter(|peer| self.is_alive(peer, clock)).collect()
    }

    /// The other bodies whose leases are known, alive or not.
    pub fn peers(&self) -> impl Iterator<Item = &PeerBody> {
        self.peers.values()
    }

    /// Waits and limits of this body.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// Last presences that this body has received from leaving bodies; at most `max`, in turn.
    pub(crate) fn observed_beats(
        &self,
        beat: u64,
        max: usize,
    ) -> BTreeMap<BodyId, HeartbeatSequence> {
        let leaving: Vec<&PeerBody> = self.peers.values().filter(|peer| peer.leaving).collect();
        let turns = leaving.len().div_ceil(max.max(1)).max(1) as u64;
        let skip = usize::try_from(beat % turns).unwrap_or(0) * max;
        let chosen = leaving.into_iter().skip(skip).take(max);
        chosen.map(|peer| (peer.presence.facts.body.clone(), peer.presence.beat())).collect()
    }

    /// True if this body can rely on a peer for an entry: the peer says that it serves the entry as
    /// an owner, at this head, just now, and after it received the presence which says that this
    /// body leaves.
    pub(crate) fn confirms(
        &self,
        peer: &PeerBody,
        head: ContentHash,
        index: usize,
        left_at: u64,
        clock: &mut Clock,
    ) -> bool {
        let status = if injected(Bug::LeavesAtAnyHead) {
            Some(peer.presence.states.at(index))
        } else {
            peer.presence.status(head, index)
        };
        let ready = status.is_some_and(EntryStatus::is_promise) || injected(Bug::LeavesBeforeReady);
        let observed = peer.presence.observed.get(&self.body);
        let knows = observed
            .is_some_and(|beat| beat.incarnation == self.incarnation && beat.number >= left_at);
        ready && (knows || injected(Bug::LeavesUnheard)) && !peer.lost && self.is_fresh(peer, clock)
    }
}
