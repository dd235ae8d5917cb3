//! A body: hosts, bus and cells wired together, from specs to the last answered call.

mod flows;
mod standing;

use std::{sync::Arc, time::Duration};

use bus::{InProcess, Link, Retry, RetryPolicy, Route, Router};
use bus_nats::{Announced, Nats};
use cbs::{BodyBus, BodyId, Console, Home, Namespace, NativeCell, Target};
use futures::{Stream, StreamExt, future::join_all};
use host::{NativeHost, Restarts, StepObserver, Supervisor, Watchdog};
use spec::{CellSpec, Specs};
use tokio::time::{Instant, timeout_at};

use self::flows::Flows;
pub(crate) use self::standing::Standing;
use crate::exit::Failure;

/// How long cells may take to be ready before the body says where they stand.
const READY_LIMIT: Duration = Duration::from_secs(10);

/// What a body is made of.
pub(crate) struct Plan {
    pub(crate) specs: Specs,
    /// The Rust cells that are linked in.
    pub(crate) cells: Vec<NativeCell>,
    pub(crate) namespace: Namespace,
    pub(crate) body: BodyId,
    /// How calls travel whose cell's spec does not say.
    pub(crate) route: Route,
    pub(crate) console: Arc<dyn Console>,
    /// Watches the steps of flows.
    pub(crate) observer: Option<Arc<dyn StepObserver>>,
}

/// A body that runs.
pub(crate) struct App {
    namespace: Namespace,
    bus: Arc<Retry>,
    local: Arc<InProcess>,
    nats: Option<Nats>,
    cells: Vec<host::Running>,
    /// Keeps cells in the answers to discovery also while they are restarted.
    announced: Vec<Announced>,
    flows: Flows,
    /// What cannot run here, and why.
    unfit: Vec<(Arc<CellSpec>, String)>,
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
    /// failed, or take too long: [`Self::standings`] tells).
    ///
    /// # Errors
    /// When nothing can run here, or what is linked in cannot be hosted.
    pub(crate) async fn start(plan: Plan, nats: Option<Nats>) -> Result<Self, Failure> {
        let host = NativeHost::new(plan.cells.clone())
            .map_err(|errors| Failure::failed(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        let (bus, local) = wire(&plan, nats.as_ref());
        let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
        let home = |target: Target| Home::new(target, plan.body.clone(), bus.clone(), plan.console.clone());
        let (mut cells, mut unfit) = (Vec::new(), Vec::new());
        for spec in plan.specs.cells() {
            match supervisor.start(spec.clone(), home(spec.name.clone().into())) {
                Ok(running) => cells.push(running),
                Err(error) => unfit.push((spec.clone(), error.to_string())),
            }
        }
        let announced = announce(&cells, nats.as_ref()).await;
        let (flows, _) = tokio::join!(
            Flows::start(plan.specs.flows(), home, plan.observer.as_ref()),
            join_all(cells.iter().map(|cell| cell.ready(READY_LIMIT))),
        );
        // Without it a cell that blocks is not named; that is no reason not to run.
        let watchdog = Watchdog::start().inspect_err(|error| tracing::warn!(%error, "no watchdog")).ok();
        let app =
            Self { namespace: plan.namespace, bus, local, nats, cells, announced, flows, unfit, _watchdog: watchdog };
        if app.cells.is_empty() && app.flows.is_empty() {
            let reasons: Vec<_> = app.unfit.iter().map(|(_, reason)| reason.as_str()).collect();
            return Err(Failure::failed(format_args!("nothing can run here: {}", reasons.join("; "))));
        }
        Ok(app)
    }

    /// The body's bus.
    pub(crate) fn bus(&self) -> Arc<dyn BodyBus> {
        self.bus.clone()
    }

    /// Where every cell and flow of the specs stands.
    pub(crate) fn standings(&self) -> Vec<Standing> {
        let cells = self.cells.iter().map(|cell| Standing::of_cell(&self.namespace, cell));
        let unfit = self.unfit.iter().map(|(spec, reason)| Standing::of_unfit(&self.namespace, spec, reason));
        let mut all: Vec<_> = cells.chain(unfit).chain(self.flows.standings(&self.namespace)).collect();
        all.sort_by(|one, other| one.target.cmp(&other.target));
        all
    }

    /// Serves until `stops` says stop for the first time, then takes no new work and finishes
    /// what runs, for `drain` at the most and until `stops` says stop again.
    pub(crate) async fn run(self, mut stops: impl Stream<Item = &'static str> + Unpin, drain: Duration) -> Ended {
        if let Some(why) = stops.next().await {
            tracing::info!("{why}: finishing what runs, for {} s at the most; again stops at once", drain.as_secs());
        }
        tokio::select! {
            ended = self.stop(drain) => ended,
            Some(_) = stops.next() => Ended::AtOnce,
        }
    }

    /// Takes no new work, finishes what runs for `drain` at the most, and leaves the bus.
    pub(crate) async fn stop(self, drain: Duration) -> Ended {
        let until = Instant::now() + drain;
        drop(self.announced);
        // Flows first: their runs need the cells. What is not done at the time limit is dropped, and with
        // it what it serves.
        let drained = async {
            self.flows.stop().await;
            join_all(self.cells.into_iter().map(host::Running::stop)).await;
        };
        let ended = if timeout_at(until, drained).await.is_ok() { Ended::Drained } else { Ended::TimeUp };
        self.local.close();
        if let Some(nats) = &self.nats {
            nats.close().await;
        }
        ended
    }
}

/// Tells discovery of all cells. Without it they serve as well, so what fails here is only logged.
async fn announce(cells: &[host::Running], nats: Option<&Nats>) -> Vec<Announced> {
    let Some(nats) = nats else { return Vec::new() };
    let mut announced = Vec::with_capacity(cells.len());
    for cell in cells {
        match nats.announce(cell.service().clone()).await {
            Ok(one) => announced.push(one),
            Err(error) => tracing::warn!(cell = %cell.spec().name, "discovery cannot be told: {error}"),
        }
    }
    announced
}

/// Puts the bus together: retries around the router around the body's own cells and NATS.
fn wire(plan: &Plan, nats: Option<&Nats>) -> (Arc<Retry>, Arc<InProcess>) {
    let mut settings = bus::Settings { body: plan.body.as_str().into(), ..bus::Settings::default() };
    if let Some(nats) = nats {
        settings.payload_max = nats.server().max_payload;
    }
    let local = InProcess::new(settings);
    let router = Router::new(local.clone(), nats.map(|nats| Link { bus: nats.bus(), elsewhere: nats.elsewhere() }));
    router.set_route(plan.route);
    let cells = || plan.specs.cells().map(|spec| (Target::from(spec.name.clone()), spec));
    let flows = plan.specs.flows().map(|spec| Target::from(spec.name.clone()));
    let known: Vec<Target> = cells().map(|(target, _)| target).chain(flows).collect();
    router.set_routes(cells().map(|(target, spec)| (target, spec.route.map(route))));
    if let Some(nats) = nats {
        nats.know(known.clone());
    }
    router.set_known(known);
    let retry = Retry::new(Arc::new(router));
    retry.set_all(cells().map(|(target, spec)| (target, retry_policy(spec))));
    (Arc::new(retry), local)
}

fn route(route: spec::Route) -> Route {
    match route {
        spec::Route::LocalFirst => Route::LocalFirst,
        spec::Route::Nats => Route::Nats,
    }
}

fn retry_policy(spec: &CellSpec) -> Option<RetryPolicy> {
    spec.retry.as_ref().map(|retry| RetryPolicy {
        max: retry.max,
        backoff: retry.backoff,
        backoff_max: retry.backoff_max,
        idempotent: spec.idempotent,
    })
}
