//! A body: hosts, bus and cells, connected and run from the specs until the last call is answered.

mod calls;
mod cells;
mod events;
mod example;
mod flows;
mod hosts;
mod instances;
mod target_status;
mod traced;
mod wiring;

use std::{sync::Arc, time::Duration};

use bus_nats::Nats;
use cbs::{BodyBus, CellEnv, Console, Namespace, SpanSink, Target};
use futures::{Stream, StreamExt};
use host::{StepObserver, Watchdog};
use model::Route;
use spec::Specs;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::{
    calls::{CallRecord, CallTap},
    cells::Change,
    hosts::{Hosts, hosts},
    instances::{Deployed, Instance, Instances, LifecycleEvent},
    target_status::TargetStatus,
    traced::{client_span, client_span_of, ended},
};
use self::{cells::Cells, flows::Flows, wiring::Wiring};
use crate::{exit::Failure, health::BodyStatus};

/// Time after which a new version that was not ready in time is started again.
const START_AGAIN: Duration = Duration::from_secs(5);

/// Parts and settings that a body is made of.
pub(crate) struct Plan {
    pub(crate) specs: Specs,
    pub(crate) hosts: Hosts,
    /// Identity and status of the body.
    pub(crate) status: Arc<BodyStatus>,
    /// Route of calls whose cell's spec sets none.
    pub(crate) route: Route,
    pub(crate) console: Arc<dyn Console>,
    /// Observer of the steps of flows.
    pub(crate) observer: Option<Arc<dyn StepObserver>>,
    /// Receives a record of every call.
    pub(crate) call_tap: Option<CallTap>,
    /// Receives the spans of calls.
    pub(crate) span_sink: Option<Arc<dyn SpanSink>>,
    /// Set while the body is to run even if nothing can run here, because specs come later.
    pub(crate) patient: bool,
}

/// Running body.
pub(crate) struct App {
    namespace: Namespace,
    wiring: Wiring,
    cells: Cells,
    flows: Flows,
    _watchdog: Option<Watchdog>,
}

/// Kind of end of a body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All running work was finished.
    Drained,
    /// The time to finish was over.
    TimeUp,
    /// It received a request to stop at once.
    AtOnce,
}

impl App {
    /// Starts all cells and flows that can run here. Waits until they are ready, have failed or
    /// take too long ([`Self::statuses`] returns which), or until `stops` gives a reason to stop.
    /// Cells that are ready by then have calls, which [`Self::stop`] finishes. Returns that reason
    /// too.
    ///
    /// # Errors
    /// Nothing can run here.
    pub(crate) async fn start(
        plan: Plan,
        nats: Option<Nats>,
        stops: &mut (impl Stream<Item = &'static str> + Unpin),
    ) -> Result<(Self, Option<&'static str>), Failure> {
        let Plan { specs, hosts, status, route, console, observer, call_tap, span_sink, patient } =
            plan;
        let namespace = status.namespace.clone();
        let body = status.body.clone();
        let wiring = Wiring::new(status.clone(), route, nats, call_tap, span_sink.clone());
        let bus = wiring.bus.clone();
        let reply_max = wiring.reply_max();
        let env = Arc::new(move |target: Target| {
            let env = CellEnv::new(target, body.clone(), bus.clone(), console.clone());
            env.with_span_sink(span_sink.clone()).with_reply_max(reply_max)
        });
        let registry = status.registry();
        let cells = Cells::new(
            &hosts,
            env.clone(),
            wiring.nats.clone(),
            wiring.events.clone(),
            registry.clone(),
        );
        let flows = Flows::new(env, observer, registry.clone());
        // Without the watchdog a blocking cell is not named in the log; the body runs all the same.
        let watchdog =
            Watchdog::start().inspect_err(|error| tracing::warn!(%error, "no watchdog")).ok();
        let mut app = Self { namespace, wiring, cells, flows, _watchdog: watchdog };
        let hurry = app.cells.hurry();
        let mut stopped = None;
        {
            let mut applied = std::pin::pin!(app.apply(&specs));
            tokio::select! {
                biased;
                _ = &mut applied => {}
                Some(why) = stops.next() => {
                    stopped = Some(why);
                    hurry.cancel();
                    applied.await;
                }
            }
        }
        if let Some(reasons) = app.cells.nothing().filter(|_| app.flows.is_empty() && !patient) {
            return Err(Failure::failed(format_args!("nothing can run here: {reasons}")));
        }
        status.started();
        app.wiring.events.body("joined");
        app.wiring.events.settle().await;
        Ok((app, stopped))
    }

    /// Makes the body run these specs instead of its present ones, without a failed call: new
    /// versions take calls before old ones stop. A cell whose new version does not become ready
    /// keeps its old one.
    pub(crate) async fn apply(&mut self, specs: &Specs) -> Vec<Change> {
        self.wiring.adopt(specs);
        let (mut changes, flows) = tokio::join!(self.cells.apply(specs), self.flows.apply(specs));
        changes.extend(flows);
        changes
    }

    /// Returns the body's bus.
    pub(crate) fn bus(&self) -> Arc<dyn BodyBus> {
        self.wiring.bus.clone()
    }

    /// Returns the status of every cell and flow of the specs.
    pub(crate) fn statuses(&self) -> Vec<TargetStatus> {
        let mut all: Vec<_> = self
            .cells
            .statuses(&self.namespace)
            .chain(self.flows.statuses(&self.namespace))
            .collect();
        all.sort_by(|one, other| one.target.cmp(&other.target));
        all
    }

    /// Serves until `stops` gives a first reason to stop. Then takes no new work and finishes
    /// running work, for at most `drain`, or until `stops` gives a second reason. Until then it
    /// applies the specs that `news` brings, reports each change, and then calls `changed`.
    pub(crate) async fn run(
        mut self,
        mut stops: impl Stream<Item = &'static str> + Unpin,
        mut news: impl Stream<Item = Specs> + Unpin,
        drain: Duration,
        mut changed: impl FnMut(&Self, &[Change]),
    ) -> Ended {
        let hurry = self.cells.hurry();
        // The last specs, if one of their cells must be started again.
        let mut again = None;
        let until = loop {
            let specs = tokio::select! {
                why = stops.next() => break time_limit(why, drain),
                Some(specs) = news.next() => specs,
                Some(specs) = later(&mut again) => specs,
            };
            let since = Instant::now();
            let changes = {
                let mut applied = std::pin::pin!(self.apply(&specs));
                tokio::select! {
                    biased;
                    changes = &mut applied => changes,
                    why = stops.next() => {
                        // Cells that are not ready are not waited for. Replaced versions have calls
                        // to finish.
                        hurry.cancel();
                        let until = time_limit(why, drain);
                        tokio::select! {
                            _ = timeout_at(until, applied) => break until,
                            Some(_) = stops.next() => return Ended::AtOnce,
                        }
                    }
                }
            };
            changes.iter().for_each(|change| change.report(since.elapsed()));
            changed(&self, &changes);
            again = self.cells.has_slow().then_some(specs);
        };
        tokio::select! {
            ended = self.stop(until) => ended,
            Some(_) = stops.next() => Ended::AtOnce,
        }
    }

    /// Takes no new work, finishes running work by `until` at the latest, and leaves the bus.
    pub(crate) async fn stop(self, until: Instant) -> Ended {
        self.wiring.draining();
        // Flows stop first: their runs need the cells. Work that is not done at the time limit is
        // dropped, together with its cells and flows.
        let drained = async {
            self.flows.stop().await;
            self.cells.stop().await;
        };
        let ended =
            if timeout_at(until, drained).await.is_ok() { Ended::Drained } else { Ended::TimeUp };
        self.wiring.close().await;
        ended
    }
}

/// Returns the time limit of a body that stops, and logs the reason of the stop for the operator.
fn time_limit(why: Option<&str>, drain: Duration) -> Instant {
    if let Some(why) = why {
        tracing::info!(
            "{why}: finishing what runs, for {} s at the most; again stops at once",
            drain.as_secs()
        );
    }
    Instant::now() + drain
}

/// Returns these specs, if there are any, after [`START_AGAIN`].
async fn later(specs: &mut Option<Specs>) -> Option<Specs> {
    if specs.is_some() {
        tokio::time::sleep(START_AGAIN).await;
    }
    specs.take()
}
