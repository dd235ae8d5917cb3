//! Metrics of a body, for Prometheus and similar systems.
//!
//! Nothing is counted here. The numbers are those that the cells' guards, the bus and the hosts
//! count anyway, and they are read on request. Series come and go with the cells.

mod bounds;
mod cells;
mod exemplars;
mod lag;
mod page;
mod process;
mod registry;

use std::sync::Arc;

use bus_nats::LinkState;

pub(crate) use self::{
    exemplars::Exemplars,
    lag::Lag,
    page::Form,
    registry::{CANNOT_RUN, MetricsRegistry, NotReady, Registration},
};
use self::{
    page::{Kind, Page, Seconds, labels},
    registry::Reading,
};
use crate::health::BodyStatus;

/// Approximate bytes of a page without any cell.
const BYTES: usize = 16 * 1024;

/// Writes all metrics of a body. Takes time with many cells (about 40 ms with 10,000), so do not
/// call it on a task of the runtime.
pub(crate) fn page(status: &BodyStatus, lag: Option<&Lag>, form: Form) -> Vec<u8> {
    let cells = status.registry().read(form == Form::OpenMetrics);
    let mut page = Page::new(form, BYTES + page_bytes(&cells));
    let version = labels(&[("version", env!("CARGO_PKG_VERSION"))]);
    page.family("cbs_build_info", Kind::Info, "The program.");
    page.sample(&version, true);
    page.family("cbs_body_info", Kind::Info, "The body.");
    page.sample(
        &labels(&[("body", status.body.as_str()), ("namespace", status.namespace.as_str())]),
        true,
    );
    cells::write(&mut page, &cells);
    cells::write_retries(&mut page, &status.retries());
    nats(&mut page, status);
    fleet(&mut page, status);
    telemetry(&mut page, status);
    runtime(&mut page, lag);
    process::write(&mut page);
    page.finish()
}

fn page_bytes(cells: &[Reading]) -> usize {
    let called = cells.iter().filter(|reading| reading.was_called()).count();
    called * cells::BYTES_EACH + (cells.len() - called) * cells::BYTES_EACH / 4
}

/// Writes the metrics of the body's connections; nothing if it has none.
fn nats(page: &mut Page, status: &BodyStatus) {
    let Some(nats) = status.nats() else { return };
    let counters = nats.counters();
    let connected = *nats.link().borrow() == LinkState::Up;
    page.one(
        "cbs_nats_connected",
        Kind::Gauge,
        "Whether all connections to NATS are up: 1 or 0.",
        connected,
    );
    for (name, help, count) in [
        ("cbs_nats_reconnections_total", "Connections that were built again.", counters.reconnects),
        (
            "cbs_nats_clients_replaced_total",
            "Clients that ended by themselves.",
            counters.clients_replaced,
        ),
        (
            "cbs_nats_slow_consumers_total",
            "Times that a full buffer dropped messages.",
            counters.slow_consumers,
        ),
        (
            "cbs_nats_stale_requests_total",
            "Requests refused whose caller had long given up.",
            counters.stale,
        ),
        (
            "cbs_nats_bodies_ejected_total",
            "Times that an unresponsive body was ejected: its calls go to other bodies.",
            counters.ejections,
        ),
    ] {
        page.one(name, Kind::Counter, help, count);
    }
}

/// Writes the status of the body in its fleet; nothing if it is in none.
fn fleet(page: &mut Page, status: &BodyStatus) {
    let Some(following) = status.following() else { return };
    let head = following.head_number.unwrap_or(0);
    let troubles = following.troubles;
    page.one(
        "cbs_fleet_following",
        Kind::Gauge,
        "Whether it may change what it runs: 1 or 0.",
        following.following,
    );
    page.one(
        "cbs_fleet_converged",
        Kind::Gauge,
        "Whether it runs its desired state: 1 or 0.",
        following.converged,
    );
    page.one(
        "cbs_fleet_head_number",
        Kind::Gauge,
        "The number of the deploy that it has applied; 0: none yet.",
        head,
    );
    page.one(
        "cbs_fleet_troubles",
        Kind::Gauge,
        "Deployed cells and flows that this body cannot run or start, or that were rolled back.",
        troubles,
    );
}

/// Writes the metrics of spans, of the export, and of the log.
fn telemetry(page: &mut Page, status: &BodyStatus) {
    // Lines that sidecars and interpreters leave out are counted there.
    let mut lines = cbs::Stats::lines_dropped().load(std::sync::atomic::Ordering::Relaxed);
    if let Some(counters) = status.counters() {
        lines += counters.log_lines_dropped();
        page.one(
            "cbs_spans_recorded_total",
            Kind::Counter,
            "Spans recorded.",
            counters.spans_recorded(),
        );
        page.one("cbs_spans_kept", Kind::Gauge, "Spans in memory now.", counters.spans_kept());
        page.one(
            "cbs_spans_kept_bytes",
            Kind::Gauge,
            "Memory that they take.",
            counters.spans_kept_bytes(),
        );
        let signal = |signal| labels(&[("signal", signal)]);
        page.family(
            "cbs_otlp_exported_total",
            Kind::Counter,
            "Spans and lines that the OTLP receiver took.",
        );
        counters.otlp_exported().for_each(|(of, count)| page.sample(&signal(of), count));
        page.family(
            "cbs_otlp_dropped_total",
            Kind::Counter,
            "Spans and lines that never reached the OTLP receiver.",
        );
        counters
            .otlp_dropped()
            .for_each(|(of, why, count)| page.sample_of(&signal(of), ("reason", why), count));
    }
    page.one(
        "cbs_log_lines_dropped_total",
        Kind::Counter,
        "Lines that were left out of the log.",
        lines,
    );
}

fn runtime(page: &mut Page, lag: Option<&Lag>) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        let metrics = runtime.metrics();
        page.one(
            "cbs_runtime_workers",
            Kind::Gauge,
            "Threads that run tasks.",
            metrics.num_workers(),
        );
        page.one(
            "cbs_runtime_tasks",
            Kind::Gauge,
            "Tasks that are alive.",
            metrics.num_alive_tasks(),
        );
    }
    if let Some(lag) = lag {
        let help = "Largest lag of a task's wake-up in the last 15 s; a millisecond or two is the timer's own.";
        page.one("cbs_runtime_lag_seconds", Kind::Gauge, help, Seconds(lag.greatest_ns()));
    }
}

/// Makes a body with this number of cells that were all called, without hosts and without a bus.
/// The returned function writes one page and returns the number of its bytes; its argument is true
/// for OpenMetrics. For benchmarks.
pub(crate) fn of_cells(cells: usize) -> impl Fn(bool) -> usize + Send {
    let status = BodyStatus::new(crate::identity::body(), cbs::Namespace::default());
    let listed: Vec<Registration> =
        (0..cells).filter_map(|number| called(status.registry(), number)).collect();
    move |open| {
        debug_assert_eq!(listed.len(), cells, "all names are names");
        page(&status, None, if open { Form::OpenMetrics } else { Form::Prometheus }).len()
    }
}

fn called(registry: &Arc<MetricsRegistry>, number: usize) -> Option<Registration> {
    struct Nobody;
    impl cbs::Handler for Nobody {
        fn handle(
            &self,
            request: cbs::Envelope,
        ) -> cbs::BoxFuture<'_, Result<cbs::Envelope, cbs::BusError>> {
            Box::pin(std::future::ready(Ok(request)))
        }
    }
    let target = format!("organ{}.cell{number}", number % 100).parse().ok()?;
    let about = cbs::TargetInfo {
        language: "rust".into(),
        revision: "0123456789ab".into(),
        ..Default::default()
    };
    let service = cbs::Service {
        target,
        handler: Arc::new(Nobody),
        about: Arc::new(about),
        stats: Arc::default(),
    };
    // One call of each duration up to half a second.
    for micros in (0..20).map(|power| 1_u64 << power) {
        let took = std::time::Duration::from_micros(micros);
        service.stats.calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        service.stats.count_run(std::time::Duration::ZERO, took);
        service.stats.latency.record(took);
    }
    service.stats.set_state("ready".into(), None);
    Some(registry.list(&service))
}
