//! A body: hosts, bus and cells wired together, from specs to the last answered call.

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

use bus::Routing;
use bus_nats::Nats;
use cbs::{BodyBus, CellEnv, Console, Namespace, SpanSink, Target};
use futures::{Stream, StreamExt};
use host::{StepObserver, Watchdog};
use spec::Specs;
use tokio::time::{Instant, timeout_at};

pub(crate) use self::{
    calls::{CallRecord, CallTap},
    cells::Change,
    hosts::{Hosts, hosts},
    instances::{Deployed, Instance, Instances, LifecycleEvent},
    target_status::TargetStatus,
    traced::{client_span, client_span_of, ended},
    wiring::CallPolicy,
};
use self::{cells::Cells, flows::Flows, wiring::Wiring};
use crate::{exit::Failure, health::BodyStatus};

/// After how long a new version that was not ready in time is started again.
const START_AGAIN: Duration = Duration::from_secs(5);

/// What a body is made of.
pub(crate) struct Plan {
    pub(crate) specs: Specs,
    pub(crate) hosts: Hosts,
    /// Who it is, and what it shows of itself.
    pub(crate) status: Arc<BodyStatus>,
    /// How calls travel whose cell's spec does not say.
    pub(crate) route: Routing,
    pub(crate) console: Arc<dyn Console>,
    /// Watches the steps of flows.
    pub(crate) observer: Option<Arc<dyn StepObserver>>,
    /// Is told of every call.
    pub(crate) call_tap: Option<CallTap>,
    /// Takes the spans of calls.
    pub(crate) span_sink: Option<Arc<dyn SpanSink>>,
    /// Whether it runs also while nothing can run here: specs are yet to come.
    pub(crate) patient: bool,
}

/// A body that runs.
pub(crate) struct App {
    namespace: Namespace,
    wiring: Wiring,
    cells: Cells,
    flows: Flows,
    _watchdog: Option<Watchdog>,
}

/// How a body ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// All that ran was finished.
    Drained,
    /// The time to finish was over.
    TimeUp,
    /// It was told to stop at once.
    AtOnce,
}

impl App {
    /// Starts all cells and flows that can run here, and waits until they are ready (or have
    /// failed, or take too long: [`Self::statuses`] tells), or until `stops` says stop: those that are ready have calls by
    /// then, which [`Self::stop`] finishes. Gives that word too.
    ///
    /// # Errors
    /// When nothing can run here.
    pub(crate) async fn start(
        plan: Plan,
        nats: Option<Nats>,
        stops: &mut (impl Stream<Item = &'static str> + Unpin),
    ) -> Result<(Self, Option<&'static str>), Failure> {
        let Plan { specs, hosts, status, route, console, observer, call_tap, span_sink, patient } = plan;
        let (namespace, body) = (status.namespace.clone(), status.body.clone());
        let wiring = Wiring::new(status.clone(), route, nats, call_tap, span_sink.clone());
        let (bus, reply_max) = (wiring.bus.clone(), wiring.reply_max());
        let env = Arc::new(move |target: Target| {
            let env = CellEnv::new(target, body.clone(), bus.clone(), console.clone());
            env.with_span_sink(span_sink.clone()).with_reply_max(reply_max)
        });
        let registry = status.registry();
        let cells = Cells::new(&hosts, env.clone(), wiring.nats.clone(), wiring.events.clone(), registry.clone());
        let flows = Flows::new(env, observer, registry.clone());
        // Without it a cell that blocks is not named; that is no reason not to run.
        let watchdog = Watchdog::start().inspect_err(|error| tracing::warn!(%error, "no watchdog")).ok();
        let mut app = Self { namespace, wiring, cells, flows, _watchdog: watchdog };
        let hurry = app.cells.hurry();
        let mut reported = None;
        {
            let mut applied = std::pin::pin!(app.apply(&specs));
            tokio::select! {
                biased;
                _ = &mut applied => {}
                Some(why) = stops.next() => {
                    reported = Some(why);
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
        Ok((app, reported))
    }

    /// Makes the body run these specs instead of those it has, without a failed call: what is new
    /// takes calls before what is old stops. A cell whose new version does not become ready
    /// keeps its old one.
    pub(crate) async fn apply(&mut self, specs: &Specs) -> Vec<Change> {
        self.wiring.adopt(specs);
        let (mut changes, flows) = tokio::join!(self.cells.apply(specs), self.flows.apply(specs));
        changes.extend(flows);
        changes
    }

    /// The body's bus.
    pub(crate) fn bus(&self) -> Arc<dyn BodyBus> {
        self.wiring.bus.clone()
    }

    /// Where every cell and flow of the specs stands.
    pub(crate) fn statuses(&self) -> Vec<TargetStatus> {
        let mut all: Vec<_> =
            self.cells.statuses(&self.namespace).chain(self.flows.statuses(&self.namespace)).collect();
        all.sort_by(|one, other| one.target.cmp(&other.target));
        all
    }

    /// Serves until `stops` says stop for the first time, then takes no new work and finishes
    /// what runs, for `drain` at the most and until `stops` says stop again. Meanwhile it runs
    /// whatever specs `news` brings, tells what became of them, and then `changed`.
    pub(crate) async fn run(
        mut self,
        mut stops: impl Stream<Item = &'static str> + Unpin,
        mut news: impl Stream<Item = Specs> + Unpin,
        drain: Duration,
        mut changed: impl FnMut(&Self, &[Change]),
    ) -> Ended {
        let hurry = self.cells.hurry();
        // The last specs, where a cell of theirs is to be started again.
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
                        // What is not ready is not waited for. What was replaced has calls to finish.
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

    /// Takes no new work, finishes what runs until then at the latest, and leaves the bus.
    pub(crate) async fn stop(self, until: Instant) -> Ended {
        self.wiring.draining();
        // Flows first: their runs need the cells. What is not done at the time limit is dropped, and with
        // it what it serves.
        let drained = async {
            self.flows.stop().await;
            self.cells.stop().await;
        };
        let ended = if timeout_at(until, drained).await.is_ok() { Ended::Drained } else { Ended::TimeUp };
        self.wiring.close().await;
        ended
    }
}

/// Until when a body that is told to stop may finish what runs; a person is told so, and why.
fn time_limit(why: Option<&str>, drain: Duration) -> Instant {
    if let Some(why) = why {
        tracing::info!("{why}: finishing what runs, for {} s at the most; again stops at once", drain.as_secs());
    }
    Instant::now() + drain
}

/// These specs, if any, after a while.
async fn later(specs: &mut Option<Specs>) -> Option<Specs> {
    if specs.is_some() {
        tokio::time::sleep(START_AGAIN).await;
    }
    specs.take()
}
