//! The cells of a body, as its specs want them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bus_nats::{Announced, Nats};
use cbs::{CellEnv, CellName, Namespace, Target, TargetInfo};
use futures::future::join_all;
use host::{Phase, Restarts, Running, State, Supervisor};
use spec::{CellSpec, Specs};
use tokio_util::sync::CancellationToken;

use super::{Hosts, TargetStatus, events::Events};
use crate::{
    metrics::{MetricsRegistry, Registration},
    output::{self, BAD, GOOD},
};

/// How long the first start of a cell may take before the body says where it stands, and before a new version
/// counts as one that does not start. A compiler may have to run first.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Makes a cell's home.
pub(super) type MakeEnv = Arc<dyn Fn(Target) -> CellEnv + Send + Sync>;

/// All cells that a body was given.
pub(super) struct Cells {
    supervisor: Supervisor,
    env: MakeEnv,
    nats: Option<Nats>,
    events: Arc<Events>,
    registry: Arc<MetricsRegistry>,
    hosted: BTreeMap<CellName, Hosted>,
    /// What cannot run here, and why; an older version of it may be hosted.
    unsupported: BTreeMap<CellName, Unsupported>,
    /// New versions that did not start, while an older one goes on.
    failed: BTreeMap<CellName, Failed>,
}

/// A version that did not start. It is not started again, for it would fail again, unless it was only slow.
struct Failed {
    version: Version,
    reason: String,
    /// Whether it was only not ready in time: what it waits for, such as a compiler, may be done when it is
    /// started again.
    is_slow: bool,
}

/// What tells one version of a cell from another.
struct Version {
    spec: Arc<CellSpec>,
    /// Hash of its code; `None` for what is linked in.
    code: Option<String>,
}

impl Version {
    fn of(spec: &Arc<CellSpec>) -> Self {
        Self { spec: spec.clone(), code: Hosts::code(spec) }
    }

    /// Whether two want the same, schemas included.
    fn is_same(&self, other: &Self) -> bool {
        let hashes = |spec: &CellSpec| [&spec.input, &spec.output].map(|s| s.as_ref().map(|s| s.hash().to_owned()));
        let of = |version: &Self| (version.spec.metadata.revision.clone(), hashes(&version.spec));
        of(self) == of(other) && self.code == other.code
    }
}

struct Hosted {
    running: Running,
    version: Version,
    /// Keeps the cell in the answers to discovery also while it is restarted.
    announced: Option<Announced>,
    /// Counts it.
    _listed: Registration,
}

/// A cell that cannot run here.
struct Unsupported {
    version: Version,
    reason: String,
    /// Lists it where no older version is listed.
    _listed: Option<Registration>,
}

/// What became of a cell or a flow when the specs changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) target: Target,
    pub(crate) what: Changed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// It was not there before.
    Added,
    /// Another version serves.
    Replaced,
    /// No spec wants it any more.
    Removed,
    /// The new version cannot run, for this reason; the old one goes on.
    Kept(String),
    /// It cannot run here, for this reason, and never did.
    Refused(String),
}

impl Change {
    /// Whether something has come or gone, rather than changed.
    pub(crate) fn is_of_the_table(&self) -> bool {
        matches!(self.what, Changed::Added | Changed::Removed)
    }

    /// Tells a person what became of it.
    pub(crate) fn report(&self, took: Duration) {
        let (target, time) = (&self.target, output::short(took));
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
        let (hosted, unsupported, failed) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { supervisor, env, nats, events, registry, hosted, unsupported, failed }
    }

    /// Ends the wait of [`Self::apply`] for cells that are not ready, once it is cancelled.
    pub(super) fn hurry(&self) -> CancellationToken {
        self.supervisor.hurry()
    }

    /// Makes these the cells. What is as it was is left alone.
    pub(super) async fn apply(&mut self, specs: &Specs) -> Vec<Change> {
        // Nothing is listed twice: what still cannot run is listed anew.
        let unsupported = std::mem::take(&mut self.unsupported).into_iter();
        let unsupported = unsupported.map(|(name, Unsupported { version, reason, .. })| (name, (version, reason)));
        let (mut unsupported, mut failed): (BTreeMap<_, _>, _) =
            (unsupported.collect(), std::mem::take(&mut self.failed));
        let mut changes = Vec::new();
        let mut coming = Vec::new();
        for spec in specs.cells().filter(|spec| spec.deployment.enabled) {
            let version = Version::of(spec);
            if self.hosted.get(&spec.name).is_some_and(|hosted| hosted.version.is_same(&version)) {
                continue;
            }
            if let Some(known) = failed.remove(&spec.name).filter(|known| known.version.is_same(&version)) {
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
                Err(error) => changes.extend(self.refuse(version, error.to_string(), unsupported.remove(&spec.name))),
            }
        }
        let wanted = |name: &CellName| specs.cell(name).is_some_and(|spec| spec.deployment.enabled);
        let gone: Vec<_> = self.hosted.keys().filter(|name| !wanted(name)).cloned().collect();
        let leaving: Vec<_> = gone.iter().filter_map(|name| self.hosted.remove_entry(name)).collect();
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
            // A slow one that is still slow has been reported.
            if reason.is_none() || before.map(|before| before.reason) != reason {
                changes.push(change);
            }
            self.hosted.insert(name, hosted);
        }
        changes.extend(left);
        changes
    }

    /// A version that cannot run here; an older one goes on. No change where it is the one that could not run
    /// `before`, for the same reason.
    fn refuse(&mut self, version: Version, reason: String, before: Option<(Version, String)>) -> Option<Change> {
        let spec = &version.spec;
        let (name, target) = (spec.name.clone(), Target::from(spec.name.clone()));
        let is_hosted = self.hosted.contains_key(&name);
        let listed = (!is_hosted).then(|| self.registry.unsupported(&target, about(spec), &reason));
        let is_known = before.is_some_and(|(before, its)| its == reason && before.is_same(&version));
        self.unsupported.insert(name, Unsupported { version, reason: reason.clone(), _listed: listed });
        let what = if is_hosted { Changed::Kept(reason) } else { Changed::Refused(reason) };
        (!is_known).then_some(Change { target, what })
    }

    /// Whether a new version was not ready in time, and is to be started again.
    pub(super) fn has_slow(&self) -> bool {
        self.failed.values().any(|failed| failed.is_slow)
    }

    /// Why nothing runs, where nothing does.
    pub(super) fn nothing(&self) -> Option<String> {
        let reasons =
            || self.unsupported.values().map(|unsupported| unsupported.reason.as_str()).collect::<Vec<_>>().join("; ");
        self.hosted.is_empty().then(reasons)
    }

    /// Takes all cells from the bus, and finishes what they run.
    pub(super) async fn stop(self) {
        join_all(self.hosted.into_values().map(Hosted::stop)).await;
    }

    pub(super) fn statuses(&self, namespace: &Namespace) -> impl Iterator<Item = TargetStatus> {
        let hosted = self.hosted.values().map(|hosted| TargetStatus::of_cell(namespace, &hosted.running));
        let unsupported = self.unsupported.iter().filter(|(name, _)| !self.hosted.contains_key(*name));
        hosted.chain(unsupported.map(|(_, it)| TargetStatus::of_unsupported(namespace, &it.version.spec, &it.reason)))
    }
}

impl Hosted {
    /// Ends it, and says which version it was.
    async fn stop(self) -> Version {
        let Self { running, version, announced, _listed: listed } = self;
        drop(announced);
        running.stop().await;
        // Counted to its last call.
        drop(listed);
        version
    }
}

/// What is told about a cell that does not run.
fn about(spec: &CellSpec) -> TargetInfo {
    TargetInfo {
        language: spec.language().into(),
        revision: spec.metadata.revision.as_str().into(),
        ..TargetInfo::default()
    }
}

/// What became of a cell's new version.
struct Replaced {
    /// What runs now.
    hosted: Hosted,
    /// The new version, where it did not start and the old one runs.
    failed: Option<Failed>,
    change: Change,
}

/// Lets the new version take calls before the old one stops. The old one goes on where the new
/// one does not become ready; where there is no old one, the new one is kept whatever becomes of it.
async fn replace(nats: Option<&Nats>, events: &Events, old: Option<Hosted>, mut new: Hosted) -> Replaced {
    let target: Target = new.running.spec().name.clone().into();
    let ready = new.running.started(START_LIMIT).await;
    let what = match (old, ready) {
        (Some(old), Err(state)) => {
            let (reason, is_slow) = (reason(&state), state.phase == Phase::Starting);
            let failed = Some(Failed { version: new.stop().await, reason: reason.clone(), is_slow });
            return Replaced { hosted: old, failed, change: Change { target, what: Changed::Kept(reason) } };
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
    state.reason.clone().unwrap_or_else(|| format!("it is {} after {} s", state.phase, START_LIMIT.as_secs()))
}

/// Tells discovery of a cell. Without it the cell serves as well, so what fails here is only logged.
pub(super) async fn announce(nats: Option<&Nats>, cell: &Running) -> Option<Announced> {
    let announced = nats?.announce(cell.service().clone()).await;
    announced.inspect_err(|error| tracing::warn!(cell = %cell.spec().name, "discovery cannot be told: {error}")).ok()
}
