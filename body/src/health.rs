//! What a body shows of itself to those who look from outside: who it is, where it is in its life,
//! and what it hosts.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicU8, Ordering},
};

use bus::{Retried, RetryingBus};
use bus_nats::{LinkState, Nats};
use cbs::{BodyId, Namespace, Target};
use serde::Serialize;
use tokio::sync::watch;

use crate::{
    fleet::Following,
    metrics::{MetricsRegistry, NotReady},
    telemetry::Counters,
};

/// The most cells that are told which take no calls: a person reads no more, and a probe reads none.
const TOLD_MAX: usize = 50;

/// A body as it shows itself. Made before anything runs, so that there is something to ask while it starts.
#[derive(Debug)]
pub(crate) struct BodyStatus {
    pub(crate) body: BodyId,
    pub(crate) namespace: Namespace,
    registry: Arc<MetricsRegistry>,
    stage: AtomicU8,
    nats: OnceLock<NoDebug<Nats>>,
    retry: OnceLock<NoDebug<Arc<RetryingBus>>>,
    counters: OnceLock<Arc<Counters>>,
    following: OnceLock<watch::Receiver<Following>>,
}

/// Keeps what has nothing to show to a debugger.
struct NoDebug<T>(T);

impl<T> std::fmt::Debug for NoDebug<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// Where a body is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum BodyPhase {
    Starting,
    Running,
    Draining,
}

/// Whether a body is of use, and why not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    /// What decides it.
    pub(crate) checks: Vec<Check>,
    /// How the body fares in its fleet; it decides nothing, for a body that cannot follow serves
    /// on. `None`: it is in none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fleet: Option<Check>,
    /// How many cells and flows there are.
    pub(crate) cells: usize,
    /// Of these, how many take no calls now; they decide nothing, for the others do.
    pub(crate) cells_not_ready: usize,
    /// The first of them.
    pub(crate) not_ready: Vec<NotReady>,
}

/// One thing that is well or not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    /// Why not; empty where it is well.
    pub(crate) reason: String,
}

impl BodyStatus {
    /// A body that starts.
    pub(crate) fn new(body: BodyId, namespace: Namespace) -> Arc<Self> {
        Arc::new(Self {
            body,
            namespace,
            registry: Arc::default(),
            stage: AtomicU8::new(BodyPhase::Starting as u8),
            nats: OnceLock::new(),
            retry: OnceLock::new(),
            counters: OnceLock::new(),
            following: OnceLock::new(),
        })
    }

    /// The cells and flows that it hosts.
    pub(crate) fn registry(&self) -> &Arc<MetricsRegistry> {
        &self.registry
    }

    /// Tells of its bus. Only the first counts: a body has one.
    pub(crate) fn wired(&self, nats: Option<&Nats>, retry: &Arc<RetryingBus>) {
        if let Some(nats) = nats {
            _ = self.nats.set(NoDebug(nats.clone()));
        }
        _ = self.retry.set(NoDebug(retry.clone()));
    }

    /// Tells what its telemetry counts of itself.
    pub(crate) fn recorded(&self, counters: &Arc<Counters>) {
        _ = self.counters.set(counters.clone());
    }

    /// What its telemetry counts of itself.
    pub(crate) fn counters(&self) -> Option<&Counters> {
        self.counters.get().map(|counters| &**counters)
    }

    /// Tells who can say how it fares in its fleet.
    pub(crate) fn joined(&self, following: watch::Receiver<Following>) {
        _ = self.following.set(following);
    }

    /// All that it was given at first has been started, or has failed.
    pub(crate) fn started(&self) {
        self.enter(BodyPhase::Running);
    }

    /// It takes no new work.
    pub(crate) fn draining(&self) {
        self.enter(BodyPhase::Draining);
    }

    fn enter(&self, stage: BodyPhase) {
        // Who drains does not start any more.
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// Its connections; `None` where it has none, or none yet.
    pub(crate) fn nats(&self) -> Option<&Nats> {
        self.nats.get().map(|nats| &nats.0)
    }

    /// How often its calls were made again, by target.
    pub(crate) fn retries(&self) -> Vec<(Target, Retried)> {
        let mut all = self.retry.get().map(|retry| retry.0.retried()).unwrap_or_default();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// How it fares in its fleet; `None`: it is in none.
    pub(crate) fn following(&self) -> Option<Following> {
        self.following.get().map(|following| following.borrow().clone())
    }

    /// Whether it is of use.
    ///
    /// It is not until its first specs have been applied, while it drains, and while it has lost
    /// NATS. A cell that is not ready does not make it useless: its others are.
    pub(crate) fn readiness(&self) -> Readiness {
        let stage = self.stage.load(Ordering::Relaxed);
        let mut checks = vec![Check::new("started", stage > BodyPhase::Starting as u8, || {
            "its cells and flows are being started".to_owned()
        })];
        checks.extend(
            (stage == BodyPhase::Draining as u8)
                .then(|| Check::new("draining", false, || "it takes no new work and finishes what runs".to_owned())),
        );
        checks.extend(self.nats().map(|nats| {
            let up = *nats.link().borrow() == LinkState::Up;
            let lost = || format!("the connection to {} is lost; it is being built again", nats.server().url);
            Check::new("nats", up, lost)
        }));
        let fleet = self.following().map(|following| {
            let why = || following.reason.clone().unwrap_or_else(|| "it cannot follow its fleet now".to_owned());
            Check::new("fleet", following.following, why)
        });
        let (cells_not_ready, not_ready) = self.registry.not_ready(TOLD_MAX);
        let ready = checks.iter().all(|check| check.ok);
        Readiness { ready, checks, fleet, cells: self.registry.count(), cells_not_ready, not_ready }
    }
}

impl Check {
    fn new(name: &'static str, ok: bool, reason: impl FnOnce() -> String) -> Self {
        Self { name, ok, reason: if ok { String::new() } else { reason() } }
    }

    fn line(&self) -> String {
        let Self { name, ok, reason } = self;
        if *ok { format!("{name}: ok\n") } else { format!("{name}: not ok: {reason}\n") }
    }
}

impl Readiness {
    /// For a person: a line for each thing.
    pub(crate) fn text(&self) -> String {
        let mut text = if self.ready { "ready\n" } else { "not ready\n" }.to_owned();
        self.checks.iter().chain(&self.fleet).for_each(|check| text += &check.line());
        let (all, away) = (self.cells, self.cells_not_ready);
        text += &format!("cells and flows: {} of {all} take calls\n", all - away.min(all));
        for NotReady { cell, state, reason } in &self.not_ready {
            let colon = if reason.is_empty() { "" } else { ": " };
            text += &crate::output::sanitize(&format!("{cell}: {state}{colon}{reason}"));
            text.push('\n');
        }
        let more = away.saturating_sub(self.not_ready.len());
        if more > 0 {
            text += &format!("and {more} more\n");
        }
        text
    }
}

#[cfg(test)]
#[path = "health_tests.rs"]
mod tests;
