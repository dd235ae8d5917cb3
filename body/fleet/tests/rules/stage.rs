//! A small fleet without faults, for one rule at a time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cbs::Target;
use fleet::{
    Action, Body, ContentHash, Entry, Facts, Head, InstancePhase, Item, Manifest, Moment, Object,
    Presence, Timing, Verdict, Version,
};

pub(crate) type Checked = Result<(), Box<dyn std::error::Error>>;

/// An entry for Python whose spec is this text.
pub(crate) fn entry(text: &str) -> Entry {
    Entry::new(Version::new(ContentHash::of(text.as_bytes()), None), "python")
}

pub(crate) fn facts(name: &str) -> Result<Facts, cbs::NameError> {
    Ok(Facts {
        body: name.parse()?,
        incarnation: 7,
        program: "0.1.0".into(),
        platform: "linux-x86_64".into(),
        labels: BTreeMap::from([("host".into(), name.into())]),
        runtimes: BTreeMap::from([("python".into(), "3.11.2".into())]),
    })
}

/// Bodies that receive each other's leases at once.
pub(crate) struct Stage {
    pub(crate) bodies: Vec<Body>,
    pub(crate) now: Moment,
    pub(crate) revision: u64,
    /// Bodies that receive no messages and whose leases no other body receives.
    pub(crate) deaf: BTreeSet<usize>,
    /// Specs by text whose instances do not start.
    pub(crate) broken: BTreeSet<String>,
    pub(crate) head: Option<Head>,
    /// Every action that was decided: its body, its moment, and the action.
    pub(crate) log: Vec<(usize, Moment, Action)>,
}

impl Stage {
    pub(crate) fn new(bodies: usize) -> Result<Self, cbs::NameError> {
        let now = Moment(1_000_000);
        let mut stage = Self {
            bodies: Vec::new(),
            now,
            revision: 0,
            deaf: BTreeSet::new(),
            broken: BTreeSet::new(),
            head: None,
            log: Vec::new(),
        };
        for at in 0..bodies {
            let mut body = Body::new(facts(&format!("b{at}"))?, BTreeSet::new(), Timing::default());
            body.connected(now);
            stage.bodies.push(body);
        }
        Ok(stage)
    }

    /// Deploys these entries, and nothing else.
    pub(crate) fn deploy(
        &mut self,
        entries: &[(&str, Item)],
    ) -> Result<(), Box<dyn std::error::Error>> {
        let (head, objects) = self.prepare(entries)?;
        self.objects(&objects)?;
        self.specs(&objects)?;
        self.set_head(head)
    }

    pub(crate) fn prepare(
        &mut self,
        entries: &[(&str, Item)],
    ) -> Result<(Head, Vec<Object>), Box<dyn std::error::Error>> {
        let mut all = Vec::new();
        for (target, item) in entries {
            all.push((target.parse::<Target>()?, item.clone()));
        }
        let objects = Manifest::new(all)?.encode()?;
        let head = Head::after(self.head.as_ref(), objects[0].hash, "ada", 0, "");
        Ok((head, objects))
    }

    pub(crate) fn set_head(&mut self, head: Head) -> Result<(), Box<dyn std::error::Error>> {
        self.revision += 1;
        for body in &mut self.bodies {
            body.head(Some(&head.encode()), self.revision, self.now)?;
        }
        self.head = Some(head);
        Ok(())
    }

    pub(crate) fn objects(&mut self, objects: &[Object]) -> Result<(), fleet::WrongContent> {
        for body in &mut self.bodies {
            for object in objects {
                body.tree(object.hash, &object.bytes, self.now)?;
            }
        }
        Ok(())
    }

    /// All specs that tests use.
    pub(crate) fn specs(&mut self, _: &[Object]) -> Result<(), fleet::WrongContent> {
        for body in &mut self.bodies {
            for text in SPECS {
                body.spec(ContentHash::of(text.as_bytes()), text.as_bytes(), self.now)?;
            }
        }
        Ok(())
    }

    /// Runs all bodies for so long: each passes, acts and puts its presence, again and again.
    pub(crate) fn run(&mut self, ms: u64) -> Checked {
        let until = self.now.plus(ms);
        while self.now < until {
            self.now = self.now.plus(100);
            for at in 0..self.bodies.len() {
                self.step(at)?;
            }
        }
        Ok(())
    }

    pub(crate) fn step(&mut self, at: usize) -> Checked {
        let now = self.now;
        loop {
            let actions = self.bodies[at].pass(now).actions;
            if actions.is_empty() {
                break;
            }
            for action in actions {
                self.log.push((at, now, action.clone()));
                self.carry_out(at, &action);
            }
        }
        let presence = self.bodies[at].presence();
        self.spread(at, presence);
        Ok(())
    }

    pub(crate) fn spread(&mut self, from: usize, presence: Presence) {
        let presence = Arc::new(presence);
        self.revision += 1;
        for (at, body) in self.bodies.iter_mut().enumerate() {
            if !self.deaf.contains(&from) && !self.deaf.contains(&at) {
                body.observed(presence.clone(), self.revision, self.now);
            }
        }
    }

    fn carry_out(&mut self, at: usize, action: &Action) {
        let now = self.now;
        match action {
            Action::Start { target, instance, version, .. } => {
                let broken =
                    self.broken.iter().any(|text| ContentHash::of(text.as_bytes()) == version.spec);
                if broken {
                    self.bodies[at].failed(target, *instance, "it is broken", now);
                } else {
                    self.bodies[at].ready(target, *instance, now);
                }
            }
            Action::Stop { target, instance, .. } => self.bodies[at].stopped(target, *instance),
            Action::Rule { target, revision, verdict, .. } => {
                self.rule(target, *revision, *verdict);
            }
            Action::Promote { target, instance, .. } => {
                self.bodies[at].ready(target, *instance, now);
            }
            Action::Share { .. } => {}
        }
    }

    pub(crate) fn rule(&mut self, target: &Target, revision: fleet::Revision, verdict: Verdict) {
        for body in &mut self.bodies {
            body.verdict(target, revision, Some(verdict.into()));
        }
    }

    /// Bodies that serve a target, with the revision of its spec.
    pub(crate) fn serving(&self, target: &str) -> Vec<(usize, fleet::Revision)> {
        let Ok(target) = target.parse::<Target>() else { return Vec::new() };
        let of = |(at, body): (usize, &Body)| {
            let held = body.own().held().get(&target);
            let ready = held
                .into_iter()
                .flat_map(|held| held.instances())
                .filter(|it| it.phase == InstancePhase::Ready);
            ready.map(|it| (at, it.revision)).collect::<Vec<_>>()
        };
        self.bodies.iter().enumerate().flat_map(of).collect()
    }
}

/// The specs of the tests.
pub(crate) const SPECS: [&str; 4] = ["one", "two", "three", "four"];
