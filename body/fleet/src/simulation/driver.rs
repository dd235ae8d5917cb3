//! Drivers of the simulation: they do the work of the real driver, without its long waits.

use std::sync::Arc;

use cbs::Target;

use super::{
    server::ServerMessage,
    world::{Event, World},
};
use crate::{Action, BEAT_MS, CanarySample, InstancePhase, Moment, Revision, Why, keys::Key};

/// Interval at which a driver reads again what its watches may have lost.
const RESYNC_MS: u64 = 10_000;

impl World {
    pub(crate) fn boot(&mut self, at: usize) {
        let incarnation = self.chance.next();
        let timing = self.timing.clone();
        let Some(node) = self.nodes.get_mut(at) else { return };
        node.boot(&timing, incarnation);
        let life = node.life;
        let body = node.facts.body.clone();
        self.say(|| format!("{body} starts"));
        self.later(1, Event::Connect { node: at, life });
    }

    pub(super) fn connect(&mut self, at: usize) {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return };
        let life = node.life;
        if !self.server.up || node.line.cut {
            let wait = self.chance.between(100, 1000);
            return self.later(wait, Event::Connect { node: at, life });
        }
        node.link += 1;
        node.line.connected = true;
        let clock = node.clock(now);
        node.begin_hold(clock, self.timing.unheard);
        node.record.echo = None;
        node.record.heads.clear();
        node.record.newest.clear();
        // An end reported in a hold that outlasted the former connection does not count.
        node.record.latest.values_mut().for_each(|last| last.ended = false);
        node.record.adopted.1 = 0;
        let link = node.link;
        let name = node.facts.body.clone();
        self.say(|| format!("{name} connects"));
        self.with_body(at, |body, clock| body.connected(clock));
        for word in self.server.snapshot() {
            self.send(at, link, word);
        }
        // The first presence goes out when the snapshot is on its way.
        self.later(30, Event::HeartbeatSequence { node: at, life });
    }

    pub(crate) fn disconnect(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        if !node.line.connected {
            return;
        }
        node.line.connected = false;
        node.link += 1;
        let life = node.life;
        let name = node.facts.body.clone();
        self.say(|| format!("{name} has lost its connection"));
        self.with_body(at, |body, _| body.disconnected());
        let wait = self.chance.between(50, 500);
        self.later(wait, Event::Connect { node: at, life });
    }

    /// Runs the driver's work of each second.
    pub(super) fn beat(&mut self, at: usize) -> Result<(), String> {
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        if !node.line.connected {
            return Ok(()); // the next connection begins anew
        }
        let life = node.life;
        self.sample(at);
        self.pass(at)?;
        self.put_presence(at);
        self.fetch(at, &[]);
        // The slow clock: what watches have lost is read again.
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let link = node.link;
        if now >= node.line.read_at
            && let Some(word) = self.server.head_word()
        {
            node.line.read_at = now + RESYNC_MS;
            self.send(at, link, word);
            for ((target, revision), verdict) in self.server.verdicts.clone() {
                self.send(at, link, ServerMessage::Verdict(target, revision, verdict));
            }
        }
        let wait = BEAT_MS - 50 + self.chance.between(0, 60);
        self.later(wait, Event::HeartbeatSequence { node: at, life });
        Ok(())
    }

    pub(super) fn react(&mut self, at: usize) -> Result<(), String> {
        if let Some(node) = self.nodes.get_mut(at) {
            node.react_planned = false;
        }
        self.pass(at)?;
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        let news = node.body.as_ref().is_some_and(crate::Body::has_news);
        if news && node.line.connected {
            match (node.put_at + 100).saturating_sub(self.now) {
                0 => self.put_presence(at),
                wait => self.plan_react(at, wait),
            }
        }
        Ok(())
    }

    pub(super) fn pass(&mut self, at: usize) -> Result<(), String> {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        let clock = node.clock(now);
        node.count_gone(clock, &self.timing);
        let Some(body) = &mut node.body else { return Ok(()) };
        let before = body.desired().map(|desired| desired.hash);
        if before != node.record.adopted.0 {
            let revision =
                before.and_then(|head| node.record.heads.get(&head).copied()).unwrap_or_default();
            if revision < node.record.adopted.1 {
                return Err(format!("{} goes back to an older head", node.facts.body));
            }
            node.record.adopted = (before, revision);
            // Who deploys tries anew what was not deployed for a while.
            let manifest =
                body.desired().map(|desired| desired.manifest.clone()).unwrap_or_default();
            let wants = |target: &Target, revision: Revision| {
                let entry = manifest.get(target).and_then(|(_, item)| item.known());
                entry.is_some_and(|entry| {
                    entry.versions().any(|version| version.revision == revision)
                })
            };
            node.record.failed.retain(|(target, revision), _| wants(target, *revision));
        }
        let pass = body.pass(clock);
        if let Some(wake) = pass.wake {
            let after = wake.since(clock);
            if after < 900 {
                self.plan_react(at, after.max(1));
            }
        }
        for action in pass.actions {
            let name =
                self.nodes.get(at).map(|node| node.facts.body.to_string()).unwrap_or_default();
            self.say(|| format!("{name} {}", described(&action)));
            (self.log.acted_at, self.log.actions) = (now, self.log.actions + 1);
            self.check_action(at, &action).map_err(|error| format!("{name}: {error}"))?;
            self.carry_out(at, action);
        }
        Ok(())
    }

    pub(super) fn carry_out(&mut self, at: usize, action: Action) {
        let now = self.now;
        let Some(node) = self.nodes.get(at) else { return };
        let life = node.life;
        match action {
            Action::Start { target, instance, version, .. } => {
                let refused = super::refuses(&node.facts, version.revision);
                let unlucky = self.chaos && self.chance.percent(10);
                let wait = self.chance.between(20, 900);
                let id = instance;
                let revision = version.revision;
                let fine = !refused && !unlucky;
                self.later(wait, Event::Started { node: at, life, target, id, revision, fine });
            }
            Action::Stop { target, instance, why, .. } => {
                if matches!(why, Why::Undeployed | Why::Recreated | Why::Ending) {
                    self.lost.insert(target.clone(), now);
                }
                let wait = self.chance.between(1, 1500);
                self.later(wait, Event::Stopped { node: at, life, target, id: instance });
            }
            Action::Rule { target, revision, verdict, .. } => {
                let wait = self.chance.between(1, 30);
                self.later(wait, Event::Rule { target, revision, verdict });
            }
            Action::Promote { target, instance, .. } => {
                let held = node.body.as_ref().and_then(|body| body.own().held().get(&target));
                let found =
                    held.and_then(|held| held.instances().iter().find(|it| it.id == instance));
                let Some(revision) = found.map(|it| it.revision) else { return };
                let fine = !(self.chaos && self.chance.percent(10));
                let wait = self.chance.between(5, 300);
                self.later(
                    wait,
                    Event::Started { node: at, life, target, id: instance, revision, fine },
                );
            }
            Action::Share { .. } => {}
        }
    }

    pub(super) fn started(
        &mut self,
        at: usize,
        target: &Target,
        id: u64,
        revision: Revision,
        fine: bool,
    ) {
        let Some(node) = self.nodes.get_mut(at) else { return };
        let clock = Moment(self.now + node.ahead);
        let refused = super::refuses(&node.facts, revision);
        let held = node.body.as_ref().and_then(|body| body.own().held().get(target));
        let starting = held.is_some_and(|held| {
            held.instances().iter().any(|it| it.id == id && it.phase == InstancePhase::Starting)
        });
        if !fine && starting {
            node.record.failed.insert((target.clone(), revision), clock);
        }
        node.record.away.remove(&id);
        let name = node.facts.body.clone();
        self.say(|| {
            format!("{name} {target} {revision}: {}", if fine { "ready" } else { "does not start" })
        });
        self.with_body(at, |body, clock| {
            if fine {
                return body.ready(target, id, clock);
            }
            body.failed(target, id, "it does not start", clock);
            if refused {
                body.refuse(target, revision, "this body cannot run it");
            }
        });
    }

    /// Gives each body the calls of its canaries and their bases: a revision is good or bad by its
    /// name.
    pub(super) fn sample(&mut self, at: usize) {
        let Some(body) = self.nodes.get_mut(at).and_then(|node| node.body.as_mut()) else { return };
        let shares: Vec<(Target, Revision)> = body
            .own()
            .held()
            .iter()
            .filter_map(|(target, held)| Some((target.clone(), held.share()?.0)))
            .collect();
        for (target, revision) in shares {
            let held = body.own().held().get(&target);
            let (base, canary) = held.and_then(|held| held.samples(revision)).unzip();
            let (mut base, mut canary): (CanarySample, CanarySample) =
                (base.cloned().unwrap_or_default(), canary.cloned().unwrap_or_default());
            let bad = super::is_bad(revision);
            for call in 0..20 {
                base.count(1000, false);
                canary.count(1000, bad && call % 2 == 0);
            }
            body.sample(&target, revision, base, canary);
        }
    }

    pub(super) fn put_presence(&mut self, at: usize) {
        let now = self.now;
        let wait = self.delay();
        let lost = self.is_lost();
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(body) = &mut node.body else { return };
        node.put_at = now;
        let presence = Arc::new(body.presence());
        let link = node.link;
        if !lost {
            self.later(wait, Event::Put { presence, node: at, link, made: now });
        }
    }

    pub(super) fn deliver(&mut self, at: usize, word: ServerMessage) -> Result<(), String> {
        let now = self.now;
        let Some(node) = self.nodes.get_mut(at) else { return Ok(()) };
        if node.line.cut || !self.server.up || node.mute && matches!(word, ServerMessage::Head(..))
        {
            return Ok(());
        }
        node.hears(&word, &self.server, &self.timing, now);
        let missing = node.body.as_ref().map(crate::Body::missing).unwrap_or_default();
        self.with_body(at, |body, clock| match word {
            ServerMessage::Lease(presence, revision, _) => body.observed(presence, revision, clock),
            ServerMessage::Gone(gone, revision) => body.lease_gone(&gone, revision),
            // What cannot be read or is not what its name says is not taken; that is all there is
            // to do.
            ServerMessage::Head(bytes, revision) => {
                _ = body.head(bytes.as_deref(), revision, clock);
            }
            ServerMessage::Tree(hash, bytes) => _ = body.tree(hash, &bytes, clock),
            ServerMessage::Spec(hash, bytes) => _ = body.spec(hash, &bytes, clock),
            ServerMessage::Verdict(target, revision, verdict) => {
                body.verdict(&target, revision, Some(verdict.into()));
            }
        });
        self.fetch(at, &missing);
        self.check_peers(at)
    }

    /// Fetches the content that a pending head waits for, except keys that were asked for before.
    pub(super) fn fetch(&mut self, at: usize, asked: &[Key]) {
        let Some(node) = self.nodes.get(at) else { return };
        let (Some(body), link) = (&node.body, node.link) else { return };
        if !self.server.up || node.line.cut || !node.line.connected {
            return;
        }
        for key in body.missing().into_iter().filter(|key| !asked.contains(key)) {
            let word = match key {
                Key::Tree(hash) => self
                    .server
                    .trees
                    .get(&hash)
                    .map(|bytes| ServerMessage::Tree(hash, bytes.clone())),
                Key::Spec(hash) => self
                    .server
                    .specs
                    .get(&hash)
                    .map(|bytes| ServerMessage::Spec(hash, bytes.clone())),
                Key::Head | Key::History(_) => None,
            };
            if let Some(word) = word {
                self.send(at, link, word);
            }
        }
    }

    /// Lets an instance that serves end by itself, for good or to be started again.
    pub(crate) fn break_instance(&mut self, at: usize) {
        let for_good = self.chance.percent(50);
        let Some(node) = self.nodes.get_mut(at) else { return };
        let Some(body) = &node.body else { return };
        let all: Vec<(Target, u64, Revision)> = body
            .own()
            .held()
            .iter()
            .flat_map(|(target, held)| held.instances().iter().map(move |it| (target.clone(), it)))
            .filter(|(_, it)| it.phase == InstancePhase::Ready)
            .map(|(target, it)| (target, it.id, it.revision))
            .collect();
        let index = self.chance.index(all.len());
        if let Some((target, id, revision)) = all.into_iter().nth(index) {
            let clock = node.clock(self.now);
            let life = node.life;
            if for_good {
                node.record.failed.insert((target.clone(), revision), clock);
            } else {
                node.record.away.insert(id);
            }
            let name = node.facts.body.clone();
            self.say(|| format!("{name} {target} {revision} breaks, for good: {for_good}"));
            self.lost.insert(target.clone(), self.now);
            if for_good {
                return self
                    .with_body(at, |body, clock| body.failed(&target, id, "it broke", clock));
            }
            self.with_body(at, |body, clock| body.away(&target, id, clock));
            let wait = self.chance.between(50, 6000);
            self.later(wait, Event::Started { node: at, life, target, id, revision, fine: true });
        }
    }
}

fn described(action: &Action) -> String {
    match action {
        Action::Start { target, version, instance, .. } => {
            format!("starts {target} {} as {instance}", version.revision)
        }
        Action::Stop { target, instance, why, .. } => format!("stops {target} {instance}: {why}"),
        Action::Promote { target, instance, .. } => format!("promotes {target} {instance}"),
        Action::Share { target, canary } => format!("shares {target} {canary:?}"),
        Action::Rule { target, verdict, reason, .. } => {
            format!("rules {target} {verdict}: {reason}")
        }
    }
}
