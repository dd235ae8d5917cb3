//! The cells of a body: starts, replaces and stops them to match the specs.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bus_nats::{Announced, Nats};
use cbs::{CellEnv, CellName, Namespace, Target, TargetInfo};
use futures::future::join_all;
use host::{Restarts, Running, State, Supervisor};
use model::{CellSpec, Phase};
use spec::Specs;
use tokio_util::sync::CancellationToken;

use super::{Hosts, TargetStatus, events::Events};
use crate::{
    metrics::{MetricsRegistry, Registration},
    output::{self, BAD, GOOD},
};

/// Limit of the time for the first start of a cell. After it, the body reports the cell's status,
/// and a new version counts as not started. A compiler may have to run first.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Makes the environment of a cell.
pub(super) type MakeEnv = Arc<dyn Fn(Target) -> CellEnv + Send + Sync>;

/// All cells of a body's specs.
pub(super) struct Cells {
    supervisor: Supervisor,
    env: MakeEnv,
    nats: Option<Nats>,
    events: Arc<Events>,
    registry: Arc<MetricsRegistry>,
    hosted: BTreeMap<CellName, Hosted>,
    /// Cells that cannot run here, with the reason. An older version of one may be hosted.
    unsupported: BTreeMap<CellName, Unsupported>,
    /// New versions that did not start, while an older one continues.
    failed: BTreeMap<CellName, Failed>,
}

/// Version that did not start. It is not started again, because it would fail again, unless it was
/// only slow.
struct Failed {
    version: Version,
    reason: String,
    /// True if it was only not ready in time: the work that it waits for, such as a compiler, may
    /// be done at the next start.
    is_slow: bool,
}

/// Version of a cell: its spec and its code.
struct Version {
    spec: Arc<CellSpec>,
    /// Hash of its code; `None` for a linked-in cell.
    code: Option<String>,
}

impl Version {
    fn of(spec: &Arc<CellSpec>) -> Self {
        Self { spec: spec.clone(), code: Hosts::code(spec) }
    }

    /// Returns true if both versions have the same spec, schemas and code.
    fn is_same(&self, other: &Self) -> bool {
        let hashes = |spec: &CellSpec| {
            [&spec.input, &spec.output].map(|s| s.as_ref().map(|s| s.hash().to_owned()))
        };
        let of = |version: &Self| (version.spec.metadata.revision.clone(), hashes(&version.spec));
        of(self) == of(other) && self.code == other.code
    }
}

struct Hosted {
    running: Running,
    version: Version,
    /// Keeps the cell in the answers to discovery, also while it is restarted.
    announced: Option<Announced>,
    /// Registers the cell in the metrics.
    _listed: Registration,
}

/// Cell that cannot run here.
struct Unsupported {
    version: Version,
    reason: String,
    /// Lists the cell if no older version is listed.
    _listed: Option<Registration>,
}

/// Result for a cell or a flow when the specs changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) target: Target,
    pub(crate) what: Changed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It is new.
    Added,
    /// Another version serves.
    Replaced,
    /// It is in no spec any more.
    Removed,
    /// The new version cannot run, for this reason. The old one continues.
    Kept(String),
    /// It cannot run here, for this reason, and has never run.
    Refused(String),
}

impl Change {
    /// Returns true if a cell or flow was added or removed, not changed.
    pub(crate) fn is_of_the_table(&self) -> bool {
        matches!(self.what, Changed::Added | Changed::Removed)
    }

    /// Reports the change to the operator.
    pub(crate) fn report(&self, took: Duration) {
        let target = &self.target;
        let time = output::short(took);
        output::report(match &self.what {
            Changed::Added => format!("{GOOD}added{GOOD:#} {target} in {time}"),
            Changed::Replaced => format!("{GOOD}replaced{GOOD:#} {target} in {time}"),
            Changed::Removed => format!("removed {target}"),
            Changed::Kept(reason) => format!("{BAD}kept the old{BAD:#} {target}: {reason}"),
            Changed::Refused(reason) => format!("{BAD}cannot run{BAD:#} {target}: {reason}"),
        });
    }
}

impl Cells {
    pub(super) fn new(
        hosts: &Hosts,
        env: MakeEnv,
        nats: Option<Nats>,
        events: Arc<Events>,
        registry: Arc<MetricsRegistry>,
    ) -> Self {
        let supervisor = Supervisor::new(hosts.all().to_vec(), Restarts::default());
        let hosted = BTreeMap::new();
        let unsupported = BTreeMap::new();
        let failed = BTreeMap::new();
        Self { supervisor, env, nats, events, registry, hosted, unsupported, failed }
    }

    /// Returns a token: once it is cancelled, [`Self::apply`] no longer waits for cells that are
    /// not ready.
    pub(super) fn hurry(&self) -> CancellationToken {
        self.supervisor.hurry()
    }

    /// Makes the cells match these specs. Cells without a change are not touched.
    pub(super) async fn apply(&mut self, specs: &Specs) -> Vec<Change> {
        // Nothing is listed twice: cells that still cannot run are listed again.
        let unsupported = std::mem::take(&mut self.unsupported).into_iter();
        let unsupported = unsupported
            .map(|(name, Unsupported { version, reason, .. })| (name, (version, reason)));
        let (mut unsupported, mut failed): (BTreeMap<_, _>, _) =
            (unsupported.collect(), std::mem::take(&mut self.failed));
        let mut changes = Vec::new();
        let mut coming = Vec::new();
        for spec in specs.cells().filter(|spec| spec.deployment.enabled) {
            let version = Version::of(spec);
            if self.hosted.get(&spec.name).is_some_and(|hosted| hosted.version.is_same(&version)) {
                continue;
            }
            if let Some(known) =
                failed.remove(&spec.name).filter(|known| known.version.is_same(&version))
            {
                let is_slow = known.is_slow;
                self.failed.insert(spec.name.clone(), known);
                if !is_slow {
                    continue;
                }
            }
            match self.supervisor.start(spec.clone(), (self.env)(spec.name.clone().into())) {
                Ok(running) => {
                    let listed = self.registry.list(running.service());
                    coming.push(Hosted { running, version, announced: None, _listed: listed });
                }
                Err(error) => changes.extend(self.refuse(
                    version,
                    error.to_string(),
                    unsupported.remove(&spec.name),
                )),
            }
        }
        let wanted = |name: &CellName| specs.cell(name).is_some_and(|spec| spec.deployment.enabled);
        let gone: Vec<_> = self.hosted.keys().filter(|name| !wanted(name)).cloned().collect();
        let leaving: Vec<_> =
            gone.iter().filter_map(|name| self.hosted.remove_entry(name)).collect();
        let (come, left) = tokio::join!(
            join_all(coming.into_iter().map(|new| {
                let old = self.hosted.remove(&new.running.spec().name);
                replace(self.nats.as_ref(), &self.events, old, new)
            })),
            join_all(leaving.into_iter().map(|(name, old)| async {
                old.stop().await;
                Change { target: name.into(), what: Changed::Removed }
            })),
        );
        for Replaced { hosted, failed, change } in come {
            let name = hosted.running.spec().name.clone();
            let reason = failed.as_ref().map(|failed| failed.reason.clone());
            let before = match failed {
                Some(failed) => self.failed.insert(name.clone(), failed),
                None => self.failed.remove(&name),
            };
            // A version that was slow and is still slow has been reported.
            if reason.is_none() || before.map(|before| before.reason) != reason {
                changes.push(change);
            }
            self.hosted.insert(name, hosted);
        }
        changes.extend(left);
        changes
    }

    /// Records a version that cannot run here; an older one continues. Returns no change if
    /// `before` is the same version with the same reason.
    fn refuse(
        &mut self,
        version: Version,
        reason: String,
        before: Option<(Version, String)>,
    ) -> Option<Change> {
        let spec = &version.spec;
        let name = spec.name.clone();
        let target = Target::from(spec.name.clone());
        let is_hosted = self.hosted.contains_key(&name);
        let listed = (!is_hosted).then(|| self.registry.unsupported(&target, about(spec), &reason));
        let is_known =
            before.is_some_and(|(before, its)| its == reason && before.is_same(&version));
        self.unsupported
            .insert(name, Unsupported { version, reason: reason.clone(), _listed: listed });
        let what = if is_hosted { Changed::Kept(reason) } else { Changed::Refused(reason) };
        (!is_known).then_some(Change { target, what })
    }

    /// Returns true if a new version was not ready in time, and is to be started again.
    pub(super) fn has_slow(&self) -> bool {
        self.failed.values().any(|failed| failed.is_slow)
    }

    /// Returns the reason why no cell runs, or `None` if one does.
    pub(super) fn nothing(&self) -> Option<String> {
        let reasons = || {
            self.unsupported
                .values()
                .map(|unsupported| unsupported.reason.as_str())
                .collect::<Vec<_>>()
                .join("; ")
        };
        self.hosted.is_empty().then(reasons)
    }

    /// Removes all cells from the bus, and finishes their running calls.
    pub(super) async fn stop(self) {
        join_all(self.hosted.into_values().map(Hosted::stop)).await;
    }

    pub(super) fn statuses(&self, namespace: &Namespace) -> impl Iterator<Item = TargetStatus> {
        let hosted =
            self.hosted.values().map(|hosted| TargetStatus::of_cell(namespace, &hosted.running));
        let unsupported =
            self.unsupported.iter().filter(|(name, _)| !self.hosted.contains_key(*name));
        hosted.chain(
            unsupported.map(|(_, it)| {
                TargetStatus::of_unsupported(namespace, &it.version.spec, &it.reason)
            }),
        )
    }
}

impl Hosted {
    /// Ends the cell, and returns its version.
    async fn stop(self) -> Version {
        let Self { running, version, announced, _listed: listed } = self;
        drop(announced);
        running.stop().await;
        // The cell is counted until its last call.
        drop(listed);
        version
    }
}

/// Returns the data on a cell that does not run.
fn about(spec: &CellSpec) -> TargetInfo {
    TargetInfo {
        language: spec.language().into(),
        revision: spec.metadata.revision.as_str().into(),
        ..TargetInfo::default()
    }
}

/// Result of replacing a cell's version.
struct Replaced {
    /// Version that runs now.
    hosted: Hosted,
    /// New version, if it did not start and the old one runs.
    failed: Option<Failed>,
    change: Change,
}

/// Lets the new version take calls before the old one stops. The old one continues if the new one
/// does not become ready. If there is no old one, the new one is kept in any case.
async fn replace(
    nats: Option<&Nats>,
    events: &Events,
    old: Option<Hosted>,
    mut new: Hosted,
) -> Replaced {
    let target: Target = new.running.spec().name.clone().into();
    let ready = new.running.started(START_LIMIT).await;
    let what = match (old, ready) {
        (Some(old), Err(state)) => {
            let (reason, is_slow) = (reason(&state), state.phase == Phase::Starting);
            let failed =
                Some(Failed { version: new.stop().await, reason: reason.clone(), is_slow });
            return Replaced {
                hosted: old,
                failed,
                change: Change { target, what: Changed::Kept(reason) },
            };
        }
        (Some(old), Ok(())) => {
            events.follow(&new.running);
            events.replaced(&new.running);
            old.stop().await;
            Changed::Replaced
        }
        (None, _) => {
            events.follow(&new.running);
            Changed::Added
        }
    };
    new.announced = announce(nats, &new.running).await;
    Replaced { hosted: new, failed: None, change: Change { target, what } }
}

fn reason(state: &State) -> String {
    state
        .reason
        .clone()
        .unwrap_or_else(|| format!("it is {} after {} s", state.phase, START_LIMIT.as_secs()))
}

/// Announces a cell to discovery. The cell serves without it too, so an error here is only logged.
pub(super) async fn announce(nats: Option<&Nats>, cell: &Running) -> Option<Announced> {
    let announced = nats?.announce(cell.service().clone()).await;
    announced
        .inspect_err(
            |error| tracing::warn!(cell = %cell.spec().name, "discovery cannot be updated: {error}"),
        )
        .ok()
}
