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
use crate::{
    Body, ContentHash, Facts, HeartbeatSequence, Manifest, Moment, Presence, Revision, Timing,
};

/// Knowledge of the simulation about a body, apart from the body's own.
pub(crate) struct Node {
    pub(crate) facts: Facts,
    pub(crate) natives: BTreeSet<Target>,
    /// Set for a body of another version: it never reports about any head.
    pub(crate) mute: bool,
    /// The body; `None` while the process is dead.
    pub(crate) body: Option<Body>,
    /// Number of the process: messages to a former one are lost.
    pub(crate) life: u64,
    /// Number of the connection: messages of a former one are lost.
    pub(crate) link: u64,
    pub(crate) line: Line,
    /// Time by which its clock is ahead of the world's.
    pub(crate) ahead: u64,
    /// Time until which it receives messages and does nothing.
    pub(crate) paused_until: u64,
    pub(crate) react_planned: bool,
    pub(crate) put_at: u64,
    pub(crate) record: Record,
}

/// Connection of a node.
#[derive(Clone, Copy, Default)]
pub(crate) struct Line {
    /// State of the connection as the driver believes it.
    pub(crate) connected: bool,
    /// Set while the network lets nothing through.
    pub(crate) cut: bool,
    /// Time when its driver reads everything again.
    pub(crate) read_at: u64,
    /// Latest time of its end, once it is asked to end.
    pub(crate) ends_at: Option<u64>,
}

/// Record of a node, for the checks.
#[derive(Default)]
pub(crate) struct Record {
    /// Valid content that reached the body in this life.
    pub(crate) trees: BTreeSet<ContentHash>,
    pub(crate) specs: BTreeSet<ContentHash>,
    /// Moment when the body last received its own lease, on its own clock, on this connection.
    pub(crate) echo: Option<Moment>,
    /// Moment when it connected or woke up, on its own clock.
    pub(crate) hold_from: Option<Moment>,
    /// Presences of others from before that moment, of bodies from which none came since.
    pub(crate) before: BTreeMap<BodyId, Arc<Presence>>,
    /// Last presences of others that do not count as gone.
    pub(crate) latest: BTreeMap<BodyId, Last>,
    /// Newest lease of each body that it received on this connection, with its revision.
    pub(crate) newest: BTreeMap<BodyId, (u64, Option<HeartbeatSequence>)>,
    /// Times when the leases that it received were made.
    pub(crate) made: BTreeMap<(BodyId, HeartbeatSequence), u64>,
    /// Moment when the body last received its own lease, on whatever connection.
    pub(crate) sure_at: Moment,
    /// Revisions of the heads that it received on this connection.
    pub(crate) heads: BTreeMap<ContentHash, u64>,
    /// Moments when a start failed, on its own clock.
    pub(crate) failed: BTreeMap<(Target, Revision), Moment>,
    /// Instances that are being started again.
    pub(crate) away: BTreeSet<u64>,
    /// The head that it acts on, and the highest revision of a head that it acted on, on this
    /// connection.
    pub(crate) adopted: (Option<ContentHash>, u64),
}

/// Last presence of another body.
pub(crate) struct Last {
    presence: Arc<Presence>,
    observed_at: Moment,
    /// Set if its lease has ended, as reported on this connection while no absence counted.
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

    /// Begins a new process.
    pub(crate) fn boot(&mut self, timing: &Timing, incarnation: u64) {
        self.life += 1;
        self.link += 1;
        self.facts.incarnation = incarnation;
        self.body = Some(Body::new(self.facts.clone(), self.natives.clone(), timing.clone()));
        self.react_planned = false;
        self.line = Line { cut: self.line.cut, ..Line::default() };
        self.record = Record::default();
    }

    /// Ends the process.
    pub(crate) fn die(&mut self) {
        self.life += 1;
        self.body = None;
        self.line.ends_at = None;
        self.line.connected = false;
    }

    /// Gives the body a new id, as a body gets at each start if it was given none.
    pub(crate) fn rename(&mut self, life: u64) {
        let machine = self.facts.labels.get("machine").cloned().unwrap_or_default();
        if let Ok(body) = BodyId::new(&format!("b{machine}-{life}")) {
            self.facts.body = body;
        }
    }

    /// Begins a hold: for two leases, no absence may count.
    pub(crate) fn begin_hold(&mut self, from: Moment, unheard: u64) {
        let sure = self.record.sure_at;
        let alive =
            self.record.latest.iter().filter(|(_, last)| last.observed_at.plus(unheard) > sure);
        self.record.before =
            alive.map(|(body, last)| (body.clone(), last.presence.clone())).collect();
        self.record.hold_from = Some(from);
    }

    /// Notes that a pass begins. Outside of a hold, and while the body receives its own lease, the
    /// bodies whose leases have ended count as gone, also those whose end was reported in the hold.
    /// No later connection brings them back, so no body takes anything from them in the hold that
    /// follows it.
    pub(crate) fn count_gone(&mut self, clock: Moment, timing: &Timing) {
        let holds = self
            .record
            .hold_from
            .is_some_and(|from| clock.since(from) + HOLD_SLACK_MS < timing.hold);
        let hears = self.record.echo.is_some_and(|echo| clock.since(echo) < timing.unheard);
        if self.line.connected && hears && !holds {
            self.record.latest.retain(|_, last| !last.ended);
        }
    }

    /// Records a message that reaches the body.
    pub(crate) fn hears(
        &mut self,
        word: &ServerMessage,
        server: &Server,
        timing: &Timing,
        now: u64,
    ) {
        let clock = self.clock(now);
        let holds = self.record.hold_from.is_some_and(|from| clock.since(from) < timing.hold);
        let is_right =
            |hash, bytes| server.right.get(hash).is_some_and(|(_, right)| right == bytes);
        match word {
            ServerMessage::Lease(presence, ..) if presence.facts.body == self.facts.body => {
                // Of another start of the body: it has no meaning for this one.
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
                    let last =
                        Last { presence: presence.clone(), observed_at: clock, ended: false };
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
            ServerMessage::Tree(hash, bytes) if is_right(hash, bytes) => {
                _ = self.record.trees.insert(*hash);
            }
            ServerMessage::Spec(hash, bytes) if is_right(hash, bytes) => {
                _ = self.record.specs.insert(*hash);
            }
            ServerMessage::Head(Some(bytes), revision) => {
                _ = self.record.heads.insert(ContentHash::of(bytes), *revision);
            }
            _ => {}
        }
    }

    /// Describes the node for people.
    pub(crate) fn tells(&self) -> String {
        let Facts { body, labels, runtimes, .. } = &self.facts;
        let Some(mind) = &self.body else { return format!("{body} is dead") };
        let head = mind.desired().map(|desired| desired.head.number);
        let peers: Vec<String> = mind
            .fleet()
            .peers()
            .map(|peer| {
                format!(
                    "{} {:?} {:?}",
                    peer.presence.facts.body, peer.presence.applied, peer.presence.states
                )
            })
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

    /// True if an instance of a target serves here.
    pub(crate) fn serves(&self, target: &Target) -> bool {
        let held = self.body.as_ref().and_then(|body| body.own().held().get(target));
        let serves = |it: &crate::Instance| {
            it.phase == crate::InstancePhase::Ready && !self.record.away.contains(&it.id)
        };
        held.is_some_and(|held| held.instances().iter().any(|it| serves(it) && !it.canary))
    }

    pub(crate) fn manifest(&self) -> Option<&Arc<Manifest>> {
        self.body.as_ref()?.desired().map(|desired| &desired.manifest)
    }
}
