//! A machine of the simulation, with the body that runs on it or does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cbs::{BodyId, Target};

use super::{
    check::HOLD_SLACK_MS,
    server::{Server, ServerMessage},
};
use crate::{Body, ContentHash, Facts, HeartbeatSequence, Manifest, Moment, Presence, Revision, Timing};

/// What the simulation knows of a body, apart from what the body knows.
pub(crate) struct Node {
    pub(crate) facts: Facts,
    pub(crate) natives: BTreeSet<Target>,
    /// A body of another age: it never speaks of any head.
    pub(crate) mute: bool,
    /// The body; `None` while the process is dead.
    pub(crate) body: Option<Body>,
    /// Which process: words to a former one are lost.
    pub(crate) life: u64,
    /// Which connection: words of a former one are lost.
    pub(crate) link: u64,
    pub(crate) line: Line,
    /// What its clock is ahead of the world's.
    pub(crate) ahead: u64,
    /// It hears and does nothing until then.
    pub(crate) paused_until: u64,
    pub(crate) react_planned: bool,
    pub(crate) put_at: u64,
    pub(crate) record: Record,
}

/// How a node is connected.
#[derive(Clone, Copy, Default)]
pub(crate) struct Line {
    /// What the driver believes.
    pub(crate) connected: bool,
    /// The network lets nothing through.
    pub(crate) cut: bool,
    /// When its driver reads everything again.
    pub(crate) read_at: u64,
    /// It is told to end, and when it does so at the latest.
    pub(crate) ends_at: Option<u64>,
}

/// What the checks stand on.
#[derive(Default)]
pub(crate) struct Record {
    /// Valid content that reached the body in this life.
    pub(crate) trees: BTreeSet<ContentHash>,
    pub(crate) specs: BTreeSet<ContentHash>,
    /// When the body last heard its own lease, on its own clock, on this connection.
    pub(crate) echo: Option<Moment>,
    /// When it connected or woke up, on its own clock.
    pub(crate) hold_from: Option<Moment>,
    /// What others said before that, who have said nothing since.
    pub(crate) before: BTreeMap<BodyId, Arc<Presence>>,
    /// What others said last who do not count as gone.
    pub(crate) latest: BTreeMap<BodyId, Last>,
    /// The newest lease of each that it was told of on this connection, with its revision.
    pub(crate) newest: BTreeMap<BodyId, (u64, Option<HeartbeatSequence>)>,
    /// When the leases that it was told of were made.
    pub(crate) made: BTreeMap<(BodyId, HeartbeatSequence), u64>,
    /// When the body last heard its own lease, on whatever connection.
    pub(crate) sure_at: Moment,
    /// The revisions of the heads that were told on this connection.
    pub(crate) heads: BTreeMap<ContentHash, u64>,
    /// When a start failed, on its own clock.
    pub(crate) failed: BTreeMap<(Target, Revision), Moment>,
    /// Instances that are being started again.
    pub(crate) away: BTreeSet<u64>,
    /// The head that it acts on, and the highest revision that it acted on on this connection.
    pub(crate) adopted: (Option<ContentHash>, u64),
}

/// What another said last.
pub(crate) struct Last {
    presence: Arc<Presence>,
    heard_at: Moment,
    /// Its lease has ended, as was told on this connection while no absence counted.
    pub(crate) ended: bool,
}

impl Node {
    pub(crate) fn new(facts: Facts, natives: BTreeSet<Target>, ahead: u64) -> Self {
        Self {
            facts,
            natives,
            mute: false,
            body: None,
            life: 0,
            link: 0,
            line: Line::default(),
            ahead,
            paused_until: 0,
            react_planned: false,
            put_at: 0,
            record: Record::default(),
        }
    }

    /// A new process begins.
    pub(crate) fn boot(&mut self, timing: &Timing, incarnation: u64) {
        self.life += 1;
        self.link += 1;
        self.facts.incarnation = incarnation;
        self.body = Some(Body::new(self.facts.clone(), self.natives.clone(), timing.clone()));
        self.react_planned = false;
        self.line = Line { cut: self.line.cut, ..Line::default() };
        self.record = Record::default();
    }

    /// The process is gone.
    pub(crate) fn die(&mut self) {
        self.life += 1;
        self.body = None;
        self.line.ends_at = None;
        self.line.connected = false;
    }

    /// Another machine's name, as a body has that is given none.
    pub(crate) fn rename(&mut self, life: u64) {
        let machine = self.facts.labels.get("machine").cloned().unwrap_or_default();
        if let Ok(body) = BodyId::new(&format!("b{machine}-{life}")) {
            self.facts.body = body;
        }
    }

    /// From now on, for two leases, no absence may count.
    pub(crate) fn begin_hold(&mut self, from: Moment, unheard: u64) {
        let sure = self.record.sure_at;
        let alive = self.record.latest.iter().filter(|(_, last)| last.heard_at.plus(unheard) > sure);
        self.record.before = alive.map(|(body, last)| (body.clone(), last.presence.clone())).collect();
        self.record.hold_from = Some(from);
    }

    /// The body is asked what to do. Out of a hold, and while it hears itself, those whose leases
    /// have ended count as gone, also those of whom it was told in the hold. No later connection
    /// brings them back, so nobody takes anything from them in the hold that follows it.
    pub(crate) fn count_gone(&mut self, clock: Moment, timing: &Timing) {
        let holds = self.record.hold_from.is_some_and(|from| clock.since(from) + HOLD_SLACK_MS < timing.hold);
        let hears = self.record.echo.is_some_and(|echo| clock.since(echo) < timing.unheard);
        if self.line.connected && hears && !holds {
            self.record.latest.retain(|_, last| !last.ended);
        }
    }

    /// Takes down what reaches the body.
    pub(crate) fn hears(&mut self, word: &ServerMessage, server: &Server, timing: &Timing, now: u64) {
        let clock = self.clock(now);
        let holds = self.record.hold_from.is_some_and(|from| clock.since(from) < timing.hold);
        let is_right = |hash, bytes| server.right.get(hash).is_some_and(|(_, right)| right == bytes);
        match word {
            ServerMessage::Lease(presence, ..) if presence.facts.body == self.facts.body => {
                // Of another life: it tells the body nothing.
                if presence.facts.incarnation != self.facts.incarnation {
                    return;
                }
                if self.record.echo.is_none_or(|echo| clock.since(echo) >= timing.unheard) {
                    self.begin_hold(clock, timing.unheard);
                }
                (self.record.echo, self.record.sure_at) = (Some(clock), clock);
            }
            ServerMessage::Lease(presence, revision, made) => {
                let body = &presence.facts.body;
                self.record.made.insert((body.clone(), presence.beat()), *made);
                let newest = self.record.newest.entry(body.clone()).or_default();
                if *revision > newest.0 {
                    *newest = (*revision, Some(presence.beat()));
                    self.record.before.remove(body);
                    let last = Last { presence: presence.clone(), heard_at: clock, ended: false };
                    self.record.latest.insert(body.clone(), last);
                }
            }
            ServerMessage::Gone(body, revision) => {
                let newest = self.record.newest.entry(body.clone()).or_default();
                let is_news = *revision > newest.0;
                newest.0 = newest.0.max(*revision);
                if !holds {
                    self.record.latest.remove(body);
                } else if let Some(last) = self.record.latest.get_mut(body) {
                    last.ended |= is_news;
                }
            }
            ServerMessage::Tree(hash, bytes) if is_right(hash, bytes) => _ = self.record.trees.insert(*hash),
            ServerMessage::Spec(hash, bytes) if is_right(hash, bytes) => _ = self.record.specs.insert(*hash),
            ServerMessage::Head(Some(bytes), revision) => {
                _ = self.record.heads.insert(ContentHash::of(bytes), *revision);
            }
            _ => {}
        }
    }

    /// All about it, for people.
    pub(crate) fn tells(&self) -> String {
        let Facts { body, labels, runtimes, .. } = &self.facts;
        let Some(mind) = &self.body else { return format!("{body} is dead") };
        let head = mind.desired().map(|desired| desired.head.number);
        let peers: Vec<String> = mind
            .fleet()
            .peers()
            .map(|peer| format!("{} {:?} {:?}", peer.presence.facts.body, peer.presence.applied, peer.presence.states))
            .collect();
        format!(
            "{body} {labels:?} {runtimes:?} {:?} mute {} head {head:?}: {:?}, stuck {:?}, hears {peers:?}",
            self.natives,
            self.mute,
            mind.found(),
            mind.stuck()
        )
    }

    pub(crate) fn clock(&self, now: u64) -> Moment {
        Moment(now + self.ahead)
    }

    /// Whether an instance of a target serves here.
    pub(crate) fn serves(&self, target: &Target) -> bool {
        let held = self.body.as_ref().and_then(|body| body.own().held().get(target));
        let serves =
            |it: &crate::Instance| it.phase == crate::InstancePhase::Ready && !self.record.away.contains(&it.id);
        held.is_some_and(|held| held.instances().iter().any(|it| serves(it) && !it.canary))
    }

    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.body.as_ref()?.desired().map(|desired| &desired.manifest)
    }
}
