//! Status of a body for observers outside: its id, its phase, and the cells and flows that it
//! hosts.

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

/// Limit of cells that are listed as taking no calls: a person reads no more, and a probe reads
/// none.
const TOLD_MAX: usize = 50;

/// Status of a body. It is made before anything runs, so that probes are answered while the body
/// starts.
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

/// Wrapper that hides a value from debug output.
struct NoDebug<T>(T);

impl<T> std::fmt::Debug for NoDebug<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// Phase in the life of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum BodyPhase {
    Starting,
    Running,
    Draining,
}

/// Readiness of a body, with the reasons if it is not ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Readiness {
    pub(crate) ready: bool,
    /// Checks that decide the readiness.
    pub(crate) checks: Vec<Check>,
    /// Status of the body in its fleet. It does not decide the readiness, because a body that
    /// cannot follow its fleet still serves. `None` if it is in no fleet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fleet: Option<Check>,
    /// Number of cells and flows.
    pub(crate) cells: usize,
    /// Number of those that take no calls now. They do not decide the readiness, because the others
    /// take calls.
    pub(crate) cells_not_ready: usize,
    /// The first of those.
    pub(crate) not_ready: Vec<NotReady>,
}

/// One check, with its result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) ok: bool,
    /// Reason why the check failed; empty if it passed.
    pub(crate) reason: String,
}

impl BodyStatus {
    /// Makes the status of a body that starts.
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

    /// Returns the cells and flows that the body hosts.
    pub(crate) fn registry(&self) -> &Arc<MetricsRegistry> {
        &self.registry
    }

    /// Sets the body's connections. Only the first call counts, because a body has one bus.
    pub(crate) fn wired(&self, nats: Option<&Nats>, retry: &Arc<RetryingBus>) {
        if let Some(nats) = nats {
            _ = self.nats.set(NoDebug(nats.clone()));
        }
        _ = self.retry.set(NoDebug(retry.clone()));
    }

    /// Sets the counters of its telemetry.
    pub(crate) fn recorded(&self, counters: &Arc<Counters>) {
        _ = self.counters.set(counters.clone());
    }

    /// Returns the counters of its telemetry.
    pub(crate) fn counters(&self) -> Option<&Counters> {
        self.counters.get().map(|counters| &**counters)
    }

    /// Sets the source of its status in the fleet.
    pub(crate) fn joined(&self, following: watch::Receiver<Following>) {
        _ = self.following.set(following);
    }

    /// Notes that all cells it was given at first have been started, or have failed.
    pub(crate) fn started(&self) {
        self.enter(BodyPhase::Running);
    }

    /// Notes that the body takes no new work.
    pub(crate) fn draining(&self) {
        self.enter(BodyPhase::Draining);
    }

    fn enter(&self, stage: BodyPhase) {
        // Who drains does not start any more.
        self.stage.fetch_max(stage as u8, Ordering::Relaxed);
    }

    /// Returns its connections; `None` if it has none, or none yet.
    pub(crate) fn nats(&self) -> Option<&Nats> {
        self.nats.get().map(|nats| &nats.0)
    }

    /// Returns the number of retries of its calls, by target.
    pub(crate) fn retries(&self) -> Vec<(Target, Retried)> {
        let mut all = self.retry.get().map(|retry| retry.0.retried()).unwrap_or_default();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// Returns its status in the fleet; `None` if it is in no fleet.
    pub(crate) fn following(&self) -> Option<Following> {
        self.following.get().map(|following| following.borrow().clone())
    }

    /// Returns its readiness.
    ///
    /// A body is not ready until its first specs have been applied, while it drains, and while it
    /// has lost NATS. A cell that is not ready does not change that, because the other cells still
    /// serve.
    pub(crate) fn readiness(&self) -> Readiness {
        let stage = self.stage.load(Ordering::Relaxed);
        let mut checks = vec![Check::new("started", stage > BodyPhase::Starting as u8, || {
            "its cells and flows are being started".to_owned()
        })];
        checks.extend((stage == BodyPhase::Draining as u8).then(|| {
            Check::new("draining", false, || {
                "it takes no new work and finishes what runs".to_owned()
            })
        }));
        checks.extend(self.nats().map(|nats| {
            let up = *nats.link().borrow() == LinkState::Up;
            let lost = || {
                format!("the connection to {} is lost; it is being built again", nats.server().url)
            };
            Check::new("nats", up, lost)
        }));
        let fleet = self.following().map(|following| {
            let why = || {
                following
                    .reason
                    .clone()
                    .unwrap_or_else(|| "it cannot follow its fleet now".to_owned())
            };
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
    /// Returns the readiness as text for a person, one line for each fact.
    pub(crate) fn text(&self) -> String {
        let mut text = if self.ready { "ready\n" } else { "not ready\n" }.to_owned();
        self.checks.iter().chain(&self.fleet).for_each(|check| text += &check.line());
        let all = self.cells;
        let away = self.cells_not_ready;
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
