//! What a body has observed of the others, and how far it may rely on that.

use std::{collections::BTreeMap, sync::Arc};

use cbs::{BodyId, Target};

use crate::{
    ContentHash, EntryStatus, Facts, HeartbeatSequence, Moment, Presence, Revision, Timing, Verdict, VerdictRecord,
    fault_injection::{Bug, injected},
    place,
    time::Clock,
};

/// Another body, as its lease tells.
#[derive(Clone, Debug)]
pub struct PeerBody {
    /// Its last lease.
    pub presence: Arc<Presence>,
    /// When this was heard.
    pub heard_at: Moment,
    /// When this life of the body was first heard.
    pub since: Moment,
    /// The server said that the lease is gone.
    lost: bool,
    /// Its number in placement.
    pub(crate) key: u64,
    /// The lease's revision in its bucket.
    revision: u64,
    /// Whether it waits to be heard before it gives something up.
    leaving: bool,
}

/// How a body's own connection stands.
#[derive(Clone, Debug, Default)]
struct Link {
    connected: bool,
    /// When the body last heard its own lease on this connection.
    own_heard: Option<Moment>,
    /// The newest revision of a lease under the body's own id.
    own_revision: u64,
    /// When the body last heard another one under its own id.
    twin_heard: Option<Moment>,
    /// Of bodies that are gone, up to which revision their leases are of the past.
    forgotten: BTreeMap<BodyId, u64>,
    /// Until then no absence counts.
    hold_until: Moment,
    /// When somebody last asked what to do.
    asked: Option<Moment>,
}

/// Of so many bodies that are gone late words are told from new ones.
const FORGOTTEN_MAX: usize = 1024;

impl Link {
    fn forgotten(&self, body: &BodyId) -> u64 {
        self.forgotten.get(body).copied().unwrap_or_default()
    }

    fn forget(&mut self, body: BodyId, revision: u64) {
        let known = self.forgotten.entry(body).or_default();
        *known = revision.max(*known);
        if self.forgotten.len() > FORGOTTEN_MAX {
            // The older half: no word is late by that many bodies.
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

/// Why a body changes nothing now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paused {
    /// There is no connection.
    NotConnected,
    /// The body does not hear its own lease: whom else would it not hear?
    LeaseNotObserved,
    /// Another body has the same id.
    DuplicateId,
}

impl Fleet {
    /// A fleet of which nothing is known yet, as this body will see it.
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

    /// The connection is up, for the first time or again, and its watches begin anew. What was
    /// known of others stays, and is not counted against them for two leases.
    pub fn connected(&mut self, now: Moment) {
        self.link = Link { connected: true, hold_until: now.plus(self.timing.hold), ..Link::default() };
        self.watched_anew();
        for peer in self.peers.values_mut() {
            peer.lost = false;
        }
    }

    /// The watch of leases begins anew. The bucket is in memory: a server that was started again
    /// counts from one. A watch tells the last lease of each body alone, so nothing old comes late.
    pub fn watched_anew(&mut self) {
        self.link.own_revision = 0;
        self.link.forgotten.clear();
        for peer in self.peers.values_mut() {
            peer.revision = 0;
        }
    }

    /// Whether the connection counts as up.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.link.connected
    }

    /// The connection is down.
    pub fn disconnected(&mut self) {
        self.link.connected = false;
    }

    /// A lease was put. `revision` is its revision in the bucket: what comes late or twice is
    /// left aside.
    pub fn observed(&mut self, presence: Arc<Presence>, revision: u64, now: Moment) {
        if !self.link.connected {
            return;
        }
        if presence.facts.body == self.body {
            // A former life's lease that comes late is no twin's.
            let newer = revision > self.link.own_revision;
            self.link.own_revision = revision.max(self.link.own_revision);
            if presence.facts.incarnation == self.incarnation {
                self.link.own_heard = Some(now);
            } else if newer && self.link.own_heard.is_some() {
                self.link.twin_heard = Some(now);
            }
            return;
        }
        let known = self.peers.get(&presence.facts.body);
        let past = known.map_or_else(|| self.link.forgotten(&presence.facts.body), |peer| peer.revision);
        if revision <= past && !injected(Bug::TakesOldPresences) {
            return;
        }
        let same = known.filter(|peer| peer.presence.facts.incarnation == presence.facts.incarnation && !peer.lost);
        let since = same.map_or(now, |peer| peer.since);
        let leaving = presence.is_leaving();
        let key = known.map_or_else(|| place::key_of(&presence.facts.body), |peer| peer.key);
        let peer = PeerBody { key, presence, heard_at: now, since, lost: false, revision, leaving };
        self.link.forgotten.remove(&peer.presence.facts.body);
        self.peers.insert(peer.presence.facts.body.clone(), peer);
    }

    /// The server says that a lease has ended or was taken back.
    pub fn gone(&mut self, body: &BodyId, revision: u64) {
        match self.peers.get_mut(body) {
            Some(peer) if revision > peer.revision => (peer.revision, peer.lost) = (revision, true),
            Some(_) => {}
            None => self.link.forget(body.clone(), revision),
        }
    }

    /// A verdict about a canary is known, or (`None`) was deleted.
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

    /// What was decided about this revision.
    #[must_use]
    pub fn verdict(&self, target: &Target, revision: Revision) -> Option<Verdict> {
        self.record(target, revision).map(|record| record.verdict)
    }

    /// What was decided about this revision, and why.
    #[must_use]
    pub fn record(&self, target: &Target, revision: Revision) -> Option<&VerdictRecord> {
        let record = self.verdicts.get(target)?.get(&revision);
        record.filter(|_| !injected(Bug::IgnoresVerdicts))
    }

    /// Called before each pass: notices that the body was asleep, forgets who is gone.
    pub fn refresh(&mut self, now: Moment) {
        if self.link.asked.is_some_and(|asked| now.since(asked) > self.timing.sleep || now < asked) {
            self.link.hold_until = now.plus(self.timing.hold);
        }
        self.link.asked = Some(now);
        let mut clock = Clock::new(now);
        if self.paused(&mut clock).is_some() && !injected(Bug::ForgetsWhileDeaf) {
            // Whoever hears nothing learns nothing of absences, and has two leases for it afterwards.
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

    /// Whether another body counts as alive: its lease was heard, or absences do not count now.
    /// Its silence is as long as this body went on hearing itself: a connection that died
    /// unnoticed makes nobody silent.
    fn is_alive(&self, peer: &PeerBody, clock: &mut Clock) -> bool {
        let silence = self.link.own_heard.map_or(0, |own| own.since(peer.heard_at));
        let silent = silence >= self.timing.unheard && !injected(Bug::NobodyDies);
        !peer.lost && !silent || !clock.reached(self.link.hold_until) && !injected(Bug::NoHold)
    }

    fn is_fresh(&self, peer: &PeerBody, clock: &mut Clock) -> bool {
        !clock.reached(peer.heard_at.plus(self.timing.unheard))
    }

    /// Why the body may change nothing now; `None` when it may.
    pub(crate) fn paused(&self, clock: &mut Clock) -> Option<Paused> {
        if injected(Bug::ActsDeaf) {
            return None;
        }
        if !self.link.connected {
            return Some(Paused::NotConnected);
        }
        if self.link.twin_heard.is_some_and(|observed| !clock.reached(observed.plus(self.timing.unheard))) {
            return Some(Paused::DuplicateId);
        }
        let hears = self.link.own_heard.is_some_and(|observed| !clock.reached(observed.plus(self.timing.unheard)));
        (!hears).then_some(Paused::LeaseNotObserved)
    }

    /// Since when the body has heard what there is to hear, as far as silence tells anything: two
    /// leases before absences count.
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

    /// How long things take.
    #[must_use]
    pub fn timing(&self) -> &Timing {
        &self.timing
    }

    /// What this body has heard of those who wait to be heard; at most `max`, in turn.
    pub(crate) fn heard_beats(&self, beat: u64, max: usize) -> BTreeMap<BodyId, HeartbeatSequence> {
        let leaving: Vec<&PeerBody> = self.peers.values().filter(|peer| peer.leaving).collect();
        let turns = leaving.len().div_ceil(max.max(1)).max(1) as u64;
        let skip = usize::try_from(beat % turns).unwrap_or(0) * max;
        let reported = leaving.into_iter().skip(skip).take(max);
        reported.map(|peer| (peer.presence.facts.body.clone(), peer.presence.beat())).collect()
    }

    /// Whether this body can rely on a peer for an entry: it says that it serves it as an owner,
    /// at this head, just now, and after it heard that this body is about to leave.
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
        let knows = observed.is_some_and(|beat| beat.incarnation == self.incarnation && beat.number >= left_at);
        ready && (knows || injected(Bug::LeavesUnheard)) && !peer.lost && self.is_fresh(peer, clock)
    }
}
