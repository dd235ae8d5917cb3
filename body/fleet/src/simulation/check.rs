//! Conditions that must hold at every step, and at the end.

use std::collections::BTreeSet;

use cbs::{BodyId, Target};
use model::Rollout;

use super::world::World;
use crate::{Action, Candidate, Chooser, Entry, EntryStatus, InstancePhase, Revision, Why};

/// Tolerance of the hold: bodies count from the moment when they noticed, the simulation from the
/// moment when it happened.
pub(super) const HOLD_SLACK_MS: u64 = 1_000;

type Checked = Result<(), String>;

fn hold(is: bool, sentence: impl FnOnce() -> String) -> Checked {
    if is { Ok(()) } else { Err(sentence()) }
}

impl World {
    /// Checks an action that a body is about to carry out; the body has noted it already.
    pub(crate) fn check_action(&self, at: usize, action: &Action) -> Checked {
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        let Some(desired) = node.body.as_ref().and_then(|body| body.desired()) else {
            return Err("it acts without a head".to_owned());
        };
        let clock = node.clock(self.now);
        let hears = node.record.echo.is_some_and(|echo| clock.since(echo) < self.timing.unheard);
        hold(node.line.connected && hears, || {
            "it acts although it does not hear its own lease".to_owned()
        })?;
        let whole = self
            .server
            .truth
            .get(&desired.head.manifest)
            .is_some_and(|truth| **truth == *desired.manifest);
        hold(whole, || "it acts on a manifest that nobody wrote".to_owned())?;
        let (specs, _) = desired.manifest.objects();
        hold(specs.is_subset(&node.record.specs), || {
            "it acts on a manifest whose specs it does not have".to_owned()
        })?;
        match action {
            Action::Start { target, instance, version, .. } => {
                self.check_start(at, target, *instance, version.revision)
            }
            Action::Stop { target, instance, why, .. } => {
                self.check_stop(at, target, *instance, why)
            }
            Action::Share { .. } | Action::Rule { .. } | Action::Promote { .. } => Ok(()),
        }
    }

    fn entry_at(&self, at: usize, target: &Target) -> Option<&Entry> {
        self.nodes.get(at)?.manifest()?.get(target)?.1.known()
    }

    fn check_start(&self, at: usize, target: &Target, id: u64, revision: Revision) -> Checked {
        let (Some(node), Some(entry)) = (self.nodes.get(at), self.entry_at(at, target)) else {
            return Err(format!("it starts {target}, which its manifest does not have"));
        };
        let held = node.body.as_ref().and_then(|body| body.own().held().get(target));
        let others = || held.into_iter().flat_map(|held| held.instances()).filter(|it| it.id != id);
        hold(node.line.ends_at.is_none(), || format!("it starts {target} although it ends"))?;
        let double =
            others().any(|it| it.revision == revision && it.phase != InstancePhase::Stopping);
        hold(!double, || format!("it starts {target} twice"))?;
        let beside =
            entry.rollout == Rollout::Recreate && others().any(|it| it.revision != revision);
        hold(!beside, || format!("it starts {target} beside what it should have stopped first"))?;
        let clock = node.clock(self.now);
        let failed = node.record.failed.get(&(target.clone(), revision));
        let soon = failed.is_some_and(|failed| clock.since(*failed) < self.timing.backoff);
        hold(!soon, || format!("it starts {target} again at once after a failure"))?;
        self.check_hold(at, target, entry)
    }

    /// Checks that within two leases of a connection no body takes over what another had before.
    fn check_hold(&self, at: usize, target: &Target, entry: &Entry) -> Checked {
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        let clock = node.clock(self.now);
        let held = node
            .record
            .hold_from
            .is_some_and(|from| clock.since(from) + HOLD_SLACK_MS < self.timing.hold);
        let Some((desired, index)) = node.body.as_ref().and_then(|body| {
            let desired = body.desired()?;
            Some((desired, desired.manifest.get(target)?.0))
        }) else {
            return Ok(());
        };
        let key = desired.manifest.keys().get(index).copied().unwrap_or_default();
        for presence in node.record.before.values() {
            let had = presence.status(desired.hash, index) == Some(EntryStatus::Ready);
            let mut two = [
                (&node.facts.body, &node.facts.labels),
                (&presence.facts.body, &presence.facts.labels),
            ]
            .map(|(body, labels)| Candidate::new(body, labels));
            two.sort_by(|a, b| a.body.cmp(b.body));
            let mut chooser = Chooser::default();
            let best = chooser
                .choose(key, model::Replicas::Count(1), None, &two, |_| true)
                .first()
                .copied();
            let theirs = best
                .and_then(|best| two.get(best))
                .is_some_and(|it| it.body == &presence.facts.body);
            let single = entry.replicas == model::Replicas::Count(1);
            if held && had && theirs && single && !presence.draining {
                return Err(format!(
                    "it takes {target} from {} within two leases",
                    presence.facts.body
                ));
            }
        }
        Ok(())
    }

    fn check_stop(&self, at: usize, target: &Target, id: u64, why: &Why) -> Checked {
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        let entry = self.entry_at(at, target);
        let held = node.body.as_ref().and_then(|body| body.own().held().get(target));
        let here: Vec<_> =
            held.into_iter().flat_map(|held| held.instances()).filter(|it| it.id != id).collect();
        let clock = node.clock(self.now);
        match why {
            Why::Undeployed => {
                let gone = entry.is_none_or(|entry| !entry.enabled);
                hold(gone, || format!("it stops {target}, which is deployed"))
            }
            Why::Recreated => {
                let is = entry.is_some_and(|entry| entry.rollout == Rollout::Recreate);
                hold(is, || format!("it recreates {target}, which is not to be"))
            }
            Why::Replaced | Why::RolledBack => {
                let serves = |it: &&&crate::Instance| {
                    it.phase == InstancePhase::Ready
                        && !it.canary
                        && !node.record.away.contains(&it.id)
                };
                let settled = here
                    .iter()
                    .filter(serves)
                    .any(|it| clock.since(it.since) >= self.timing.settle);
                hold(settled, || format!("it stops {target} before another revision has settled"))
            }
            Why::Ending => hold(node.line.ends_at.is_some(), || {
                format!("it ends {target}, and does not end itself")
            }),
            Why::Unneeded => Ok(()),
            Why::Taken(owners) => {
                if here.iter().any(|it| it.phase == InstancePhase::Ready && !it.canary)
                    || self.nodes.iter().any(|node| node.serves(target))
                {
                    return Ok(());
                }
                // Every owner said that it serves it; an owner that did so goes on until another
                // does.
                let excused = owners.iter().all(|owner| self.is_lost_since(at, owner, target));
                hold(excused, || format!("nobody serves {target} any more: {why}"))
            }
        }
    }

    /// True if a target was lost on any body after an owner made the lease that was relied on.
    fn is_lost_since(&self, at: usize, owner: &BodyId, target: &Target) -> bool {
        let Some(node) = self.nodes.get(at) else { return true };
        let peer = node
            .body
            .iter()
            .flat_map(|body| body.fleet().peers())
            .find(|it| it.presence.facts.body == *owner);
        let made =
            peer.and_then(|peer| node.record.made.get(&(owner.clone(), peer.presence.beat())));
        let lost = self.lost.get(target);
        made.is_some_and(|made| lost.is_some_and(|lost| lost >= made))
    }

    /// Checks that no body believes an older lease of another than the newest that it received.
    pub(crate) fn check_peers(&self, at: usize) -> Checked {
        let Some(node) = self.nodes.get(at) else { return Ok(()) };
        let Some(body) = &node.body else { return Ok(()) };
        for peer in body.fleet().peers() {
            let newest = node.record.newest.get(&peer.presence.facts.body);
            let older =
                newest.and_then(|(_, beat)| *beat).is_some_and(|beat| beat != peer.presence.beat());
            hold(!older, || {
                format!("{} believes an old lease of {}", node.facts.body, peer.presence.facts.body)
            })?;
        }
        Ok(())
    }

    /// Description of the first difference from the desired state, once faults have stopped.
    pub(crate) fn unsettled(&self) -> Option<String> {
        let (head, _) = self.server.head.as_ref()?;
        let manifest = self.server.truth.get(&head.manifest)?;
        let alive: Vec<_> =
            self.nodes.iter().filter(|node| node.body.is_some() && !node.mute).collect();
        for node in &alive {
            let at = node.body.as_ref().and_then(|body| body.desired()).map(|desired| desired.hash);
            if at != Some(head.hash()) {
                return Some(format!("{} has not applied head {}", node.facts.body, head.number));
            }
        }
        let mut alive = alive;
        alive.sort_by(|a, b| a.facts.body.cmp(&b.facts.body));
        let candidates: Vec<Candidate<'_>> =
            alive.iter().map(|node| Candidate::new(&node.facts.body, &node.facts.labels)).collect();
        for ((target, item), key) in manifest.entries().iter().zip(manifest.keys()) {
            let Some(entry) = item.known() else { continue };
            let verdict =
                self.server.verdicts.get(&(target.clone(), entry.version.revision)).copied();
            let wanted = entry.wanted(verdict);
            let mut revisions = BTreeSet::from([wanted.main.revision]);
            revisions.extend(wanted.side.map(|(side, _)| side.revision));
            let may = |at: usize| {
                alive.get(at).is_some_and(|node| {
                    entry.enabled
                        && node.facts.matches(entry)
                        && node.facts.missing_runtime(entry).is_none()
                        && (entry.needs.runtime != crate::NATIVE_RUNTIME
                            || node.natives.contains(target))
                        && !super::refuses(&node.facts, wanted.main.revision)
                })
            };
            let mut chooser = Chooser::default();
            let owners =
                chooser.choose(*key, entry.replicas, entry.spread.as_deref(), &candidates, may);
            for (at, node) in alive.iter().enumerate() {
                let held = node.body.as_ref().and_then(|body| body.own().held().get(target));
                let instances = held.map(|held| held.instances()).unwrap_or_default();
                let serving: BTreeSet<Revision> = instances
                    .iter()
                    .filter(|it| it.phase == InstancePhase::Ready)
                    .map(|it| it.revision)
                    .collect();
                if instances.iter().any(|it| it.canary && it.revision == wanted.main.revision) {
                    return Some(format!("{} has {target} as a canary still", node.facts.body));
                }
                let name = &node.facts.body;
                if owners.contains(&at) {
                    let side_refused = wanted
                        .side
                        .is_some_and(|(side, _)| super::refuses(&node.facts, side.revision));
                    if !serving.contains(&wanted.main.revision)
                        || serving != revisions && !side_refused
                    {
                        return Some(format!(
                            "{name} owns {target} and serves {serving:?} instead of {revisions:?}"
                        ));
                    }
                } else if !instances.is_empty() && (!entry.enabled || !owners.is_empty()) {
                    return Some(format!("{name} still has {target}: {instances:?}"));
                }
            }
        }
        alive.iter().find_map(|node| {
            let held = node.body.as_ref()?.own().held().iter();
            let stray = held.filter(|(target, held)| {
                manifest.get(target).is_none() && !held.instances().is_empty()
            });
            stray
                .map(|(target, _)| {
                    format!("{} still has {target}, which is not deployed", node.facts.body)
                })
                .next()
        })
    }
}
