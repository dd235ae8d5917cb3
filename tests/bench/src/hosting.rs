//! A body as `cbs up` wires it: supervised cells; retries around the router, which calls local
//! cells or NATS; flows beside the cells; a watchdog.

use std::{path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context as _, anyhow};
use bus::{InProcess, Link, RetryingBus, Router, Settings};
use bus_nats::{Nats, Options};
use cbs::{BodyBus, BodyId, CellEnv, Namespace, NativeCell, Serving, SpanSink, Target};
use futures::future::{join_all, try_join_all};
use host::{CallLimits, FlowHandler, NativeHost, Restarts, Running, Supervisor, Watchdog};
use model::CallPolicy;
use spec::Specs;

use crate::cells::Silent;

/// Limit of the time until calls reach all cells of a body.
const READY_LIMIT: Duration = Duration::from_secs(60);

/// A body in this process.
pub(crate) struct Body {
    bus: Arc<RetryingBus>,
    nats: Option<Nats>,
    cells: Vec<Running>,
    flows: Vec<Box<dyn Serving>>,
    _watchdog: Watchdog,
}

impl Body {
    /// Starts cells and flows by their specs; with a server's address on NATS too. Waits until
    /// calls reach them.
    pub(crate) async fn start(
        url: Option<&str>,
        namespace: &Namespace,
        cells: Vec<NativeCell>,
        specs: &str,
    ) -> anyhow::Result<Self> {
        Self::start_recorded(url, namespace, cells, specs, None).await
    }

    /// Starts a body that reports its calls to a recorder.
    pub(crate) async fn start_recorded(
        url: Option<&str>,
        namespace: &Namespace,
        cells: Vec<NativeCell>,
        specs: &str,
        span_sink: Option<Arc<dyn SpanSink>>,
    ) -> anyhow::Result<Self> {
        let specs =
            spec::load_texts([(PathBuf::from("bench.yaml"), specs)], &spec::Options::default())?;
        let id = BodyId::new("bench-body")?;
        let nats = match url {
            Some(url) => Some(connect(url, namespace, id.clone()).await?),
            None => None,
        };
        let bus = wire(&specs, &id, nats.as_ref());
        let host = NativeHost::new(cells).map_err(|errors| anyhow!("{errors:?}"))?;
        let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
        let env = |target: Target| {
            CellEnv::new(target, id.clone(), bus.clone(), Arc::new(Silent))
                .with_span_sink(span_sink.clone())
        };
        let started =
            specs.cells().map(|spec| supervisor.start(spec.clone(), env(spec.name.clone().into())));
        let cells: Vec<Running> = started.collect::<Result<_, _>>()?;
        for ready in join_all(cells.iter().map(|cell| cell.ready(READY_LIMIT))).await {
            ready.map_err(|state| {
                anyhow!("a cell is {}: {}", state.phase, state.reason.unwrap_or_default())
            })?;
        }
        let flows = try_join_all(specs.flows().map(async |spec| {
            let env = Arc::new(env(spec.name.clone().into()));
            let handler = FlowHandler::new(
                spec.plan.clone(),
                env,
                CallLimits { timeout: spec.timeout, ..CallLimits::default() },
                None,
            );
            bus.serve(handler.service(Arc::default())).await
        }));
        let flows = flows.await?;
        Ok(Self { bus, nats, cells, flows, _watchdog: Watchdog::start()? })
    }

    /// The bus of the body's own cells.
    pub(crate) fn bus(&self) -> Arc<dyn BodyBus> {
        self.bus.clone()
    }

    /// Stops the body in order.
    pub(crate) async fn stop(self) {
        join_all(self.flows.into_iter().map(Serving::stop)).await;
        join_all(self.cells.into_iter().map(Running::stop)).await;
        if let Some(nats) = self.nats {
            nats.close().await;
        }
    }
}

/// Opens a body's connections.
async fn connect(url: &str, namespace: &Namespace, body: BodyId) -> anyhow::Result<Nats> {
    let options = Options { namespace: namespace.clone(), ..Options::new(url, body) };
    Nats::connect(options).await.context("the body does not connect")
}

/// Connects a client of the bodies in a namespace.
pub(crate) async fn client(url: &str, namespace: &Namespace) -> anyhow::Result<Nats> {
    let options =
        Options { namespace: namespace.clone(), ..Options::new(url, BodyId::new("bench-client")?) };
    Nats::connect_client(options).await.context("the client does not connect")
}

fn wire(specs: &Specs, body: &BodyId, nats: Option<&Nats>) -> Arc<RetryingBus> {
    let local = InProcess::new(Settings { body: body.as_str().into(), ..Settings::default() });
    let router = Router::new(
        local,
        nats.map(|nats| Link { bus: nats.bus(), other_bodies: nats.other_bodies() }),
    );
    let cells = || specs.cells().map(|spec| (Target::from(spec.name.clone()), spec));
    let declared: Vec<Target> = cells().map(|(target, _)| target).collect();
    router.set_routes(cells().map(|(target, spec)| (target, spec.policy.route)));
    if let Some(nats) = nats {
        nats.declare(declared.clone());
    }
    router.set_declared(declared);
    let retry = RetryingBus::new(Arc::new(router));
    let policy = CallPolicy::default();
    retry.set_all(cells().map(|(target, _)| (target, &policy)));
    Arc::new(retry)
}
