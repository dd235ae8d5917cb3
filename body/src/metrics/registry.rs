//! Registry of counted targets: the cells and flows of a body, from their start until their end.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use cbs::{Code, Service, Stats, Target, TargetInfo, Text, Worker};
use model::Phase;

use super::{
    bounds::{self, Counts},
    exemplars::{Buckets, Exemplar, Shown},
    page::labels,
};

/// State of a target that cannot run here.
pub(crate) const CANNOT_RUN: &str = "cannot run";

/// Cells and flows of a body. It changes when they come and go, and is read on request. Calls do
/// not use it.
#[derive(Debug, Default)]
pub(crate) struct MetricsRegistry(Mutex<BTreeMap<Target, Row>>);

/// All members that run one target here: two while one replaces the other, or during a canary.
#[derive(Debug)]
struct Row {
    /// `cell="logic.greet"`.
    label: Arc<str>,
    members: Vec<Arc<Member>>,
    /// Counts of the members that have ended: a counter must not shrink when a version is replaced.
    gone: Sums,
    shown: Arc<Shown>,
}

#[derive(Debug)]
struct Member {
    about: Arc<TargetInfo>,
    stats: Arc<Stats>,
    /// Highest number of successful calls that was ever reported. Calls and errors are counted one
    /// after the other: without this, their difference could shrink for a moment, and would look
    /// like a restart.
    well_reported: AtomicU64,
}

/// Sums of the counters, which only grow.
#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) well: u64,
    pub(super) errors: u64,
    pub(super) by_code: [u64; Code::KINDS],
    pub(super) busy_ns: u64,
    pub(super) waited_ns: u64,
    pub(super) shed: u64,
    pub(super) restarts: u64,
    pub(super) took: Counts,
}

/// State and counters of a target at the time of reading.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) label: Arc<str>,
    /// Data on each version that runs.
    pub(super) about: Vec<Arc<TargetInfo>>,
    pub(super) ready: bool,
    pub(super) sums: Sums,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    /// Workers, in the order of their names.
    pub(super) workers: Vec<Worker>,
    pub(super) exemplars: Option<Box<Buckets>>,
}

/// Target that does not take calls, with the reason.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct NotReady {
    /// Name such as `logic.greet` or `flow.greeting`.
    pub(crate) cell: String,
    /// State of the target.
    pub(crate) state: String,
    /// Reason for the state; empty if none was given.
    pub(crate) reason: String,
}

/// Registration of a target. Dropping it removes the target.
#[must_use = "dropping it takes the target out"]
#[derive(Debug)]
pub(crate) struct Registration {
    registry: Arc<MetricsRegistry>,
    target: Target,
    member: Arc<Member>,
}

impl MetricsRegistry {
    /// Registers a target that is to be served here.
    pub(crate) fn list(self: &Arc<Self>, service: &Service) -> Registration {
        self.add(&service.target, service.about.clone(), service.stats.clone())
    }

    /// Registers a target that cannot run here.
    pub(crate) fn unsupported(
        self: &Arc<Self>,
        target: &Target,
        about: TargetInfo,
        reason: &str,
    ) -> Registration {
        let stats = Arc::<Stats>::default();
        stats.set_state(CANNOT_RUN.into(), Some(reason.to_owned()));
        self.add(target, Arc::new(about), stats)
    }

    fn add(
        self: &Arc<Self>,
        target: &Target,
        about: Arc<TargetInfo>,
        stats: Arc<Stats>,
    ) -> Registration {
        let member = Arc::new(Member { about, stats, well_reported: AtomicU64::new(0) });
        let mut rows = self.lock();
        rows.entry(target.clone()).or_insert_with(|| Row::new(target)).members.push(member.clone());
        Registration { registry: self.clone(), target: target.clone(), member }
    }

    /// Adds a recorded call as an exemplar, if its target is registered.
    pub(super) fn show(&self, target: &Target, exemplar: impl FnOnce() -> Exemplar) {
        let shown = self.lock().get(target).map(|row| row.shown.clone());
        if let Some(shown) = shown {
            shown.put(exemplar());
        }
    }

    /// Returns the present readings of all targets, in the order of their names.
    pub(super) fn read(&self, with_exemplars: bool) -> Vec<Reading> {
        // Read outside the lock: targets that come and go need not wait for 10,000 cells.
        let rows: Vec<Row> = self.lock().values().map(Row::copied).collect();
        rows.into_iter().map(|row| row.read(with_exemplars)).collect()
    }

    /// Returns the number of targets that take no calls now, and the first `most` of them.
    pub(crate) fn not_ready(&self, most: usize) -> (usize, Vec<NotReady>) {
        let rows: Vec<(Target, Arc<Member>)> = {
            let rows = self.lock();
            let away = rows.iter().filter(|(_, row)| !row.is_ready());
            away.filter_map(|(target, row)| Some((target.clone(), row.members.last()?.clone())))
                .collect()
        };
        let reported = rows.iter().take(most).map(|(target, member)| {
            let (state, reason) = member.stats.state();
            NotReady {
                cell: name(target),
                state: state.to_string(),
                reason: reason.unwrap_or_default(),
            }
        });
        (rows.len(), reported.collect())
    }

    /// Returns the number of targets.
    pub(crate) fn count(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Target, Row>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut rows = self.registry.lock();
        let Some(row) = rows.get_mut(&self.target) else { return };
        row.members.retain(|other| !Arc::ptr_eq(other, &self.member));
        if row.members.is_empty() {
            rows.remove(&self.target);
        } else {
            self.member.add_to(&mut row.gone);
        }
    }
}

/// Returns the name of a target in labels: a flow has an organ of its own.
pub(super) fn name(target: &Target) -> String {
    match target {
        Target::Cell(name) => name.to_string(),
        Target::Flow(name) => format!("{}.{name}", cbs::FLOW_ORGAN),
        Target::Topic(name) => name.to_string(),
    }
}

impl Row {
    fn new(target: &Target) -> Self {
        let label = labels(&[("cell", &name(target))]).into();
        Self { label, members: Vec::new(), gone: Sums::default(), shown: Arc::default() }
    }

    fn copied(&self) -> Self {
        let Self { label, members, gone, shown } = self;
        Self {
            label: label.clone(),
            members: members.clone(),
            gone: gone.clone(),
            shown: shown.clone(),
        }
    }

    fn is_ready(&self) -> bool {
        self.members.iter().any(|member| member.is_ready())
    }

    fn read(self, with_exemplars: bool) -> Reading {
        let Self { label, members, gone: mut sums, shown } = self;
        let mut ready = false;
        let mut in_flight = 0;
        let mut queued = 0;
        let mut about = Vec::<Arc<TargetInfo>>::with_capacity(members.len());
        let mut workers = BTreeMap::new();
        for member in &members {
            member.add_to(&mut sums);
            ready = ready || member.is_ready();
            in_flight += member.stats.in_flight.load(Ordering::Relaxed);
            queued += member.stats.queued.load(Ordering::Relaxed);
            if !about.iter().any(|other| looks_like(other, &member.about)) {
                about.push(member.about.clone());
            }
            member.stats.workers().into_iter().for_each(|worker| merge(&mut workers, worker));
        }
        let workers = workers.into_values().collect();
        let exemplars = if with_exemplars { shown.read() } else { None };
        Reading { label, about, ready, sums, in_flight, queued, workers, exemplars }
    }
}

/// Returns true if both have the same labels: a series must not appear twice.
fn looks_like(one: &TargetInfo, other: &TargetInfo) -> bool {
    let identity = |about: &TargetInfo| {
        [about.language.clone(), about.version.clone(), about.revision.clone()]
    };
    identity(one) == identity(other)
}

/// Merges a worker into the others: two versions of a cell may have workers with one name.
fn merge(workers: &mut BTreeMap<Text, Worker>, worker: Worker) {
    let Some(other) = workers.get_mut(&worker.name) else {
        workers.insert(worker.name.clone(), worker);
        return;
    };
    if Phase::read(&other.state) == Some(Phase::Ready) {
        other.state = worker.state;
    }
    other.in_flight += worker.in_flight;
    other.queued += worker.queued;
    other.restarts += worker.restarts;
    other.lag_us = other.lag_us.max(worker.lag_us);
    other.lock_wait_us = other.lock_wait_us.max(worker.lock_wait_us);
    other.credit_bytes = match (other.credit_bytes, worker.credit_bytes) {
        (Some(one), Some(more)) => Some(one.min(more)),
        (one, more) => one.or(more),
    };
}

impl Reading {
    /// Returns true if a call of the target has run.
    pub(super) fn was_called(&self) -> bool {
        self.sums.took.iter().any(|count| *count > 0)
    }
}

impl Member {
    /// Returns true if the member is ready. A service without a cell has no state and counts as
    /// ready.
    fn is_ready(&self) -> bool {
        let (state, _) = self.stats.state();
        state.is_empty() || Phase::read(&state) == Some(Phase::Ready)
    }

    fn add_to(&self, sums: &mut Sums) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let stats = &self.stats;
        let calls = read(&stats.calls);
        let errors = read(&stats.errors);
        let well = calls.saturating_sub(errors);
        sums.well += self.well_reported.fetch_max(well, Ordering::Relaxed).max(well);
        sums.errors += errors;
        sums.by_code
            .iter_mut()
            .zip(stats.errors_by_code())
            .for_each(|(sum, (_, count))| *sum += count);
        sums.busy_ns = sums.busy_ns.saturating_add(read(&stats.busy_ns));
        sums.waited_ns = sums.waited_ns.saturating_add(read(&stats.waited_ns));
        sums.shed += read(&stats.shed);
        sums.restarts += read(&stats.restarts);
        bounds::add(&mut sums.took, &stats.latency.read());
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
