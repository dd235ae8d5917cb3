//! Faults of the simulation.

use super::world::{Event, World};
use crate::LEASE_MS;

impl World {
    /// Causes one fault.
    pub(crate) fn disturb(&mut self) {
        if !self.chaos {
            return;
        }
        let at = self.chance.index(self.nodes.len());
        match self.chance.between(0, 100) {
            0..=17 => self.crash(at),
            18..=31 => self.cut(at),
            32..=43 => self.pause(at),
            44..=48 => self.leap(at),
            49..=56 => self.break_instance(at),
            57..=63 => self.drain(at),
            64..=67 => self.server_down(),
            68..=71 => self.spoil(),
            _ => self.begin_deploy(),
        }
        let wait = self.chance.between(200, 4000);
        self.later(wait, Event::Chaos);
    }

    /// Notes that all instances of a process are lost.
    fn lose(&mut self, at: usize) {
        let body = self.nodes.get(at).and_then(|node| node.body.as_ref());
        let held: Vec<_> =
            body.into_iter().flat_map(|body| body.own().held().keys().cloned()).collect();
        let now = self.now;
        self.lost.extend(held.into_iter().map(|target| (target, now)));
    }

    pub(crate) fn crash(&mut self, at: usize) {
        self.lose(at);
        let wait = self.chance.between(200, 9000);
        let renamed = self.chance.percent(50);
        let Some(node) = self.nodes.get_mut(at) else { return };
        if node.body.is_none() {
            return;
        }
        let name = node.facts.body.clone();
        node.die();
        let life = node.life;
        if renamed {
            node.rename(life);
        }
        self.say(|| format!("{name} is killed"));
        self.later(wait, Event::Boot { node: at, life });
    }

    fn cut(&mut self, at: usize) {
        let long = self.chance.between(100, 12_000);
        let notice = self.chance.between(10, 5000);
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.line.cut = true;
        let link = node.link;
        let name = node.facts.body.clone();
        self.say(|| format!("{name} is cut off for {long} ms"));
        self.later(notice, Event::NoticeCut { node: at, link });
        self.later(long, Event::Heal { node: at });
        // Messages on a connection whose loss was not noticed arrive late.
    }

    fn pause(&mut self, at: usize) {
        // It ends when all faults do.
        let long =
            self.chance.between(100, 12_000).min(super::CHAOS_MS.saturating_sub(self.now) + 100);
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.paused_until = self.now + long;
        if long > LEASE_MS {
            node.begin_hold(node.clock(self.now + long), self.timing.unheard);
        }
        let name = node.facts.body.clone();
        self.say(|| format!("{name} is stopped for {long} ms"));
    }

    /// Moves the clock forward, as after a suspension; it never goes back.
    fn leap(&mut self, at: usize) {
        let leap = self.chance.between(100, 100_000);
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.ahead += leap;
        let name = node.facts.body.clone();
        self.say(|| format!("{name}'s clock leaps by {leap} ms"));
    }

    fn drain(&mut self, at: usize) {
        let limit = self.chance.between(500, 8000);
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let (Some(body), None) = (&mut node.body, node.line.ends_at) else { return };
        body.drain();
        node.line.ends_at = Some(now + limit);
        let life = node.life;
        let name = node.facts.body.clone();
        self.say(|| format!("{name} drains for {limit} ms"));
        self.later(limit, Event::End { node: at, life });
    }

    /// Ends a body that has drained, or has no more time: it takes its lease back and ends.
    pub(crate) fn end(&mut self, at: usize) {
        self.lose(at);
        let Some(node) = self.nodes.get_mut(at) else { return };
        let cut = node.line.cut;
        let name = node.facts.body.clone();
        node.die();
        let life = node.life;
        node.rename(life);
        self.say(|| format!("{name} ends"));
        if !cut && self.server.up {
            let words = self.server.expire(self.now, Some(&name));
            words.into_iter().for_each(|word| self.broadcast(&word));
        }
        let wait = self.chance.between(200, 9000);
        self.later(wait, Event::Boot { node: at, life });
    }

    fn server_down(&mut self) {
        let long = self.chance.between(50, 9000);
        self.server.up = false;
        let restarted = self.chance.percent(60);
        if restarted {
            self.server.forget_memory();
        }
        self.say(|| format!("the server is away for {long} ms, started anew: {restarted}"));
        for at in 0..self.nodes.len() {
            let link = self.nodes.get(at).map_or(0, |node| node.link);
            let notice = self.chance.between(1, 3000);
            self.later(notice, Event::NoticeCut { node: at, link });
        }
        self.later(long, Event::ServerUp);
    }

    /// Loses or spoils content of the present head, until faults stop or a deployer puts it anew.
    fn spoil(&mut self) {
        let hashes: Vec<_> = self.server.right.keys().copied().collect();
        let index = self.chance.index(hashes.len());
        let bad = self.chance.percent(50);
        if let Some(hash) = hashes.get(index) {
            self.say(|| format!("the object {hash:?} is {}", if bad { "spoiled" } else { "lost" }));
            for map in [&mut self.server.trees, &mut self.server.specs] {
                if let Some(bytes) = map.get_mut(hash) {
                    *bytes = if bad { (*b"{}").into() } else { continue };
                }
                if !bad {
                    map.remove(hash);
                }
            }
        }
    }

    /// Stops the faults: all machines run and reach the server, everything is stored as it should
    /// be.
    pub(crate) fn calm(&mut self) {
        self.say(|| "faults stop".to_owned());
        self.chaos = false;
        self.server.up = true;
        self.server.heal();
        for at in 0..self.nodes.len() {
            let Some(node) = self.nodes.get_mut(at) else { continue };
            node.line.cut = false;
            if node.line.ends_at.is_some() {
                self.end(at);
            }
            let Some(node) = self.nodes.get_mut(at) else { continue };
            if node.body.is_none() {
                // A boot that was planned for later finds another life.
                node.life += 1;
                let life = node.life;
                self.later(500, Event::Boot { node: at, life });
            }
        }
    }
}
