//! Deployers of the simulation.

use std::{collections::BTreeMap, sync::Arc};

use cbs::Target;
use model::{CanaryRules, Replicas, Rollout};

use super::world::{Event, World};
use crate::{
    Conflict, ContentHash, Entry, FLOW_RUNTIME, Head, Item, Manifest, NATIVE_RUNTIME, Object,
    Version,
};

/// Deploy that is under way.
#[derive(Clone)]
pub(crate) struct Deploy {
    base: Option<(Head, u64)>,
    manifest: ContentHash,
    restores: Option<u64>,
}

/// Targets that are deployed and undeployed.
pub(crate) const TARGETS: [&str; 7] =
    ["cell a.one", "cell a.two", "cell b.one", "cell b.two", "cell c.one", "flow x", "flow y"];

impl World {
    /// Begins a deploy, or two at once.
    pub(crate) fn begin_deploy(&mut self) {
        if !self.server.up {
            return;
        }
        let times = if self.chance.percent(20) { 2 } else { 1 };
        for _ in 0..times {
            let base = self.server.head.clone();
            let old =
                base.as_ref().and_then(|(head, _)| self.server.truth.get(&head.manifest).cloned());
            let back = self.chance.percent(15).then(|| self.chance.index(self.server.heads.len()));
            let former = back.and_then(|at| self.server.heads.get(at).cloned());
            let manifest = match &former {
                Some(former) => self.server.truth.get(&former.manifest).map(|it| (**it).clone()),
                None => self.change(&old.unwrap_or_default()),
            };
            if let Some(manifest) = manifest {
                self.put_objects(manifest, base, former.map(|former| former.number));
            }
        }
    }

    fn put_objects(
        &mut self,
        manifest: Manifest,
        base: Option<(Head, u64)>,
        restores: Option<u64>,
    ) {
        let Ok(objects) = manifest.encode() else { return };
        let Some(root) = objects.first().map(|root| root.hash) else { return };
        for Object { hash, bytes } in objects {
            self.server.right.insert(hash, (true, bytes.into()));
            self.store_soon(hash);
        }
        for spec in manifest.objects().0 {
            self.store_soon(spec);
        }
        self.server.truth.insert(root, Arc::new(manifest));
        let wait = self.chance.between(300, 700);
        self.later(wait, Event::Deploy(Box::new(Deploy { base, manifest: root, restores })));
    }

    fn store_soon(&mut self, hash: ContentHash) {
        // Some deployers set the head before everything is there.
        let early = self.chaos && self.chance.percent(3);
        let wait =
            if early { self.chance.between(1000, 12_000) } else { self.chance.between(1, 300) };
        self.later(wait, Event::Store { hash });
    }

    pub(crate) fn store(&mut self, hash: ContentHash) {
        if !self.server.up {
            return self.later(500, Event::Store { hash });
        }
        if let Some((is_tree, bytes)) = self.server.right.get(&hash) {
            let map = if *is_tree { &mut self.server.trees } else { &mut self.server.specs };
            map.insert(hash, bytes.clone());
        }
    }

    pub(crate) fn deploy(&mut self, deploy: Deploy) {
        if !self.server.up {
            return;
        }
        let Deploy { base, manifest, restores } = deploy;
        let (parent, expected) = base.unzip();
        let head = Head {
            restores,
            ..Head::after(parent.as_ref(), manifest, "ada", self.now, "a change")
        };
        let number = head.number;
        if let Some(word) = self.server.set_head(head, expected.unwrap_or(0)) {
            self.say(|| format!("head {number} is set, it restores {restores:?}"));
            return self.broadcast(&word);
        }
        let theirs = self.server.head.clone();
        let truth = |root: Option<ContentHash>| {
            root.and_then(|root| self.server.truth.get(&root)).cloned().unwrap_or_default()
        };
        if let Some((head, _)) = theirs {
            let old = truth(parent.map(|parent| parent.manifest));
            let mine = truth(Some(manifest));
            let conflict = Conflict::new(&old, &mine, &truth(Some(head.manifest)), head);
            self.say(|| format!("a deploy lost: {conflict}"));
        }
    }

    /// Returns another manifest: some entries are new, changed or gone.
    pub(crate) fn change(&mut self, old: &Manifest) -> Option<Manifest> {
        let mut entries: BTreeMap<Target, Item> = old.entries().iter().cloned().collect();
        for _ in 0..self.chance.between(1, 4) {
            let target: Target = TARGETS.get(self.chance.index(TARGETS.len()))?.parse().ok()?;
            match self.chance.between(0, 10) {
                0 | 1 => _ = entries.remove(&target),
                2 => {
                    if let Some(Item::Known(entry)) = entries.get_mut(&target) {
                        entry.enabled = !entry.enabled;
                    }
                }
                3 => {
                    if let Some(Item::Known(entry)) = entries.get_mut(&target) {
                        entry.replicas =
                            Replicas::Count(u32::try_from(self.chance.between(1, 4)).unwrap_or(1));
                    }
                }
                4 if self.chance.percent(30) => {
                    let raw = serde_json::json!({ "of a newer program": true });
                    _ = entries.insert(target, Item::Foreign { raw, reason: String::new() });
                }
                _ => {
                    let entry = self.entry(&target, entries.get(&target));
                    _ = entries.insert(target, entry.into());
                }
            }
        }
        // As it will be read.
        let root = Manifest::new(entries).ok()?.encode().ok()?;
        let object = |hash: &ContentHash| {
            root.iter().find(|it| it.hash == *hash).map(|it| it.bytes.as_slice())
        };
        Manifest::decode(root.first()?.hash, object).ok()
    }

    pub(crate) fn entry(&mut self, target: &Target, old: Option<&Item>) -> Entry {
        let text = format!("{target} {}", self.chance.next());
        let spec = ContentHash::of(text.as_bytes());
        self.server.right.insert(spec, (false, text.into_bytes().into()));
        let flow = matches!(target, Target::Flow(_));
        let runtime = match self.chance.between(0, 10) {
            _ if flow => FLOW_RUNTIME,
            0..=2 => NATIVE_RUNTIME,
            _ => "python",
        };
        let mut entry = Entry::new(Version::new(spec, None), runtime);
        entry.replicas = match self.chance.between(0, 10) {
            0..=5 => Replicas::Count(1),
            6 | 7 => Replicas::Count(2),
            8 => Replicas::Count(3),
            _ => Replicas::All,
        };
        entry.spread = self.chance.percent(30).then(|| "zone".to_owned());
        if self.chance.percent(15) {
            entry.place.insert("disk".to_owned(), "ssd".to_owned());
        }
        let before = old.and_then(Item::known).map(|old| {
            let verdict =
                self.server.verdicts.get(&(target.clone(), old.version.revision)).copied();
            old.wanted(verdict).main.clone()
        });
        entry.rollout = match (self.chance.between(0, 10), before) {
            (0 | 1, _) => Rollout::Recreate,
            (2..=4, Some(before)) => {
                entry.base = Some(before);
                Rollout::Canary(CanaryRules {
                    calls_min: 20,
                    after_ms: 3000,
                    ..CanaryRules::share(10)
                })
            }
            _ => Rollout::Rolling,
        };
        entry
    }
}
