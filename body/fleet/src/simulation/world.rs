//! The world of the simulation: its time, its network, and the drivers of its bodies.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    sync::Arc,
};

use cbs::Target;

use super::{
    chance::Chance,
    deployer::Deploy,
    node::Node,
    server::{Server, ServerMessage},
};
use crate::{ContentHash, LEASE_MS, Moment, Presence, Revision, Timing};

/// Something that happens at its time.
#[derive(Clone)]
pub(crate) enum Event {
    HeartbeatSequence { node: usize, life: u64 },
    React { node: usize, life: u64 },
    Connect { node: usize, life: u64 },
    NoticeCut { node: usize, link: u64 },
    Tell { node: usize, link: u64, word: ServerMessage },
    Put { presence: Arc<Presence>, node: usize, link: u64, made: u64 },
    Rule { target: Target, revision: Revision, verdict: crate::Verdict },
    Expire,
    Started { node: usize, life: u64, target: Target, id: u64, revision: Revision, fine: bool },
    Stopped { node: usize, life: u64, target: Target, id: u64 },
    Boot { node: usize, life: u64 },
    End { node: usize, life: u64 },
    Heal { node: usize },
    ServerUp,
    Chaos,
    Deploy(Box<Deploy>),
    Store { hash: ContentHash },
}

pub(crate) struct World {
    pub(crate) chance: Chance,
    pub(crate) now: u64,
    queue: BinaryHeap<Reverse<(u64, usize, usize)>>,
    /// Events by index; indices are used again.
    events: Vec<Option<Event>>,
    free: Vec<usize>,
    next_event: usize,
    pub(crate) server: Server,
    pub(crate) nodes: Vec<Node>,
    pub(crate) timing: Timing,
    /// Set while faults go on.
    pub(crate) chaos: bool,
    /// Time when a target was last lost where it served: by a fault, or given up as it may be.
    pub(crate) lost: BTreeMap<Target, u64>,
    pub(crate) log: Log,
}

/// Events and decisions.
#[derive(Default)]
pub(crate) struct Log {
    /// Lines for people, kept for one seed alone.
    pub(crate) lines: Option<Vec<String>>,
    /// Time when a body last acted.
    pub(crate) acted_at: u64,
    pub(crate) actions: u64,
}

impl World {
    pub(crate) fn new(seed: u64, traced: bool, timing: Timing) -> Self {
        Self {
            chance: Chance::new(seed),
            now: 0,
            queue: BinaryHeap::new(),
            events: Vec::new(),
            free: Vec::new(),
            next_event: 0,
            server: Server::new(),
            nodes: Vec::new(),
            timing,
            chaos: true,
            lost: BTreeMap::new(),
            log: Log { lines: traced.then(Vec::new), ..Log::default() },
        }
    }

    pub(crate) fn say(&mut self, line: impl FnOnce() -> String) {
        let now = self.now;
        if let Some(lines) = &mut self.log.lines {
            lines.push(format!("{now:>6} {}", line()));
        }
    }

    pub(crate) fn later(&mut self, after: u64, event: Event) {
        self.next_event += 1;
        let place = self.free.pop().unwrap_or_else(|| {
            self.events.push(None);
            self.events.len() - 1
        });
        self.queue.push(Reverse((self.now + after, self.next_event, place)));
        self.events[place] = Some(event);
    }

    /// Lets all events happen until a time.
    pub(crate) fn run(&mut self, until: u64) -> Result<(), String> {
        while let Some(Reverse((at, _, place))) = self.queue.peek().copied() {
            if at > until {
                break;
            }
            self.queue.pop();
            self.now = self.now.max(at);
            let event = self.events.get_mut(place).and_then(Option::take);
            self.free.push(place);
            if let Some(event) = event {
                self.happen(event)?;
            }
        }
        self.now = until;
        Ok(())
    }

    pub(super) fn happen(&mut self, event: Event) -> Result<(), String> {
        if let Some(node) = node_of(&event)
            && let Some(paused) = self.nodes.get(node).map(|node| node.paused_until)
            && paused > self.now
        {
            self.later(paused - self.now, event);
            return Ok(());
        }
        match event {
            Event::HeartbeatSequence { node, life } if self.is_life(node, life) => {
                return self.beat(node);
            }
            Event::React { node, life } if self.is_life(node, life) => return self.react(node),
            Event::Connect { node, life } if self.is_life(node, life) => self.connect(node),
            Event::NoticeCut { node, link } if self.is_link(node, link) => self.disconnect(node),
            Event::Tell { node, link, word } if self.is_link(node, link) => {
                return self.deliver(node, word);
            }
            Event::Put { presence, node, link, made } => self.put(node, link, presence, made),
            Event::Expire => {
                let words = self.server.expire(self.now, None);
                words.into_iter().for_each(|word| self.broadcast(&word));
            }
            Event::Started { node, life, target, id, revision, fine }
                if self.is_life(node, life) =>
            {
                self.started(node, &target, id, revision, fine);
            }
            Event::Stopped { node, life, target, id } if self.is_life(node, life) => {
                self.with_body(node, |body, _| body.stopped(&target, id));
            }
            Event::Boot { node, life } if self.is_life(node, life) => self.boot(node),
            Event::End { node, life } if self.is_life(node, life) => self.end(node),
            Event::Heal { node } => {
                if let Some(node) = self.nodes.get_mut(node) {
                    node.line.cut = false;
                }
            }
            Event::ServerUp => self.server.up = true,
            Event::Rule { target, revision, verdict } => self.rule(target, revision, verdict),
            Event::Chaos => self.disturb(),
            Event::Deploy(deploy) => self.deploy(*deploy),
            Event::Store { hash } => self.store(hash),
            _ => {}
        }
        Ok(())
    }

    pub(super) fn is_life(&self, node: usize, life: u64) -> bool {
        self.nodes.get(node).is_some_and(|node| node.life == life)
    }

    pub(super) fn is_link(&self, node: usize, link: u64) -> bool {
        self.nodes.get(node).is_some_and(|node| node.link == link && node.body.is_some())
    }

    /// Reports something to a body; it reacts a little later.
    pub(super) fn with_body(&mut self, at: usize, act: impl FnOnce(&mut crate::Body, Moment)) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let clock = node.clock(now);
        if let Some(body) = &mut node.body {
            act(body, clock);
            self.plan_react(at, 10);
        }
    }

    pub(super) fn plan_react(&mut self, at: usize, after: u64) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        if !node.react_planned {
            node.react_planned = true;
            let life = node.life;
            self.later(after, Event::React { node: at, life });
        }
    }

    pub(super) fn put(&mut self, at: usize, link: u64, presence: Arc<Presence>, made: u64) {
        let cut = self.nodes.get(at).is_none_or(|node| node.line.cut || node.link != link);
        if cut || !self.server.up {
            return;
        }
        let revision = self.server.lease(presence.clone(), self.now, made);
        self.broadcast(&ServerMessage::Lease(presence, revision, made));
        self.later(LEASE_MS, Event::Expire);
    }

    pub(super) fn rule(&mut self, target: Target, revision: Revision, verdict: crate::Verdict) {
        let first = !self.server.verdicts.contains_key(&(target.clone(), revision));
        if self.server.up && first {
            self.say(|| format!("{target} {revision}: {verdict}"));
            self.server.verdicts.insert((target.clone(), revision), verdict);
            self.broadcast(&ServerMessage::Verdict(target, revision, verdict));
        }
    }

    pub(crate) fn broadcast(&mut self, word: &ServerMessage) {
        for at in 0..self.nodes.len() {
            if let Some(node) = self.nodes.get(at)
                && node.line.connected
            {
                let link = node.link;
                self.send(at, link, word.clone());
            }
        }
    }

    pub(super) fn delay(&mut self) -> u64 {
        let slow = self.chaos && self.chance.percent(2);
        if slow { self.chance.between(50, 2500) } else { self.chance.between(1, 15) }
    }

    pub(super) fn is_lost(&mut self) -> bool {
        self.chaos && self.chance.percent(2)
    }

    pub(super) fn send(&mut self, node: usize, link: u64, word: ServerMessage) {
        if self.is_lost() {
            return;
        }
        let wait = self.delay();
        if self.chaos && self.chance.percent(2) {
            let again = self.chance.between(1, 4000);
            self.later(again, Event::Tell { node, link, word: word.clone() });
        }
        self.later(wait, Event::Tell { node, link, word });
    }
}

fn node_of(event: &Event) -> Option<usize> {
    match event {
        Event::HeartbeatSequence { node, .. }
        | Event::React { node, .. }
        | Event::Connect { node, .. }
        | Event::NoticeCut { node, .. }
        | Event::Tell { node, .. }
        | Event::Started { node, .. }
        | Event::Stopped { node, .. }
        | Event::End { node, .. } => Some(*node),
        _ => None,
    }
}
