use std::time::Duration;

use cbs::{BoxFuture, BusError, Envelope, Handler, Side, Source, Span, Trace, Transport, Uuid};

use super::*;
use crate::metrics::{Exemplars, Form, cells, page::Page};

struct Nobody;

impl Handler for Nobody {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(std::future::ready(Ok(request)))
    }
}

fn service(target: &str, revision: &str) -> Result<Service, cbs::NameError> {
    let about =
        TargetInfo { language: "rust".into(), revision: revision.into(), ..TargetInfo::default() };
    let (target, about) = (target.parse()?, Arc::new(about));
    Ok(Service { target, handler: Arc::new(Nobody), about, stats: Arc::default() })
}

fn count(service: &Service, micros: u64) {
    let took = Duration::from_micros(micros);
    service.stats.calls.fetch_add(1, Ordering::Relaxed);
    service.stats.count_run(Duration::ZERO, took);
    service.stats.latency.record(took);
}

fn written(registry: &MetricsRegistry, form: Form) -> String {
    let mut page = Page::new(form, 0);
    cells::write(&mut page, &registry.read(form == Form::OpenMetrics));
    String::from_utf8(page.finish()).unwrap_or_default()
}

#[track_caller]
fn has(text: &str, line: &str) {
    assert!(text.lines().any(|one| one == line), "no line `{line}` in\n{text}");
}

#[test]
fn series_come_with_a_cell_and_go_with_it() -> Result<(), cbs::NameError> {
    let registry = Arc::<MetricsRegistry>::default();
    let cell = service("logic.greet", "abc")?;
    let listed = registry.list(&cell);
    let flow = registry.list(&service("flow greeting", "def")?);
    cell.stats.set_state("restarting".into(), None);
    let text = written(&registry, Form::Prometheus);
    has(
        &text,
        "cbs_cell_info{cell=\"logic.greet\",language=\"rust\",version=\"\",revision=\"abc\"} 1",
    );
    has(&text, "cbs_cell_ready{cell=\"logic.greet\"} 0");
    has(&text, "cbs_cell_ready{cell=\"flow.greeting\"} 1");
    has(&text, "cbs_calls_total{cell=\"logic.greet\",outcome=\"error\"} 0");
    assert!(!text.contains("cbs_call_duration_seconds_"), "never called, no histogram:\n{text}");
    drop(listed);
    let text = written(&registry, Form::Prometheus);
    assert!(!text.contains("logic.greet") && text.contains("flow.greeting"), "{text}");
    drop(flow);
    assert_eq!(registry.count(), 0);
    Ok(())
}

#[test]
fn what_only_grows_does_not_shrink_when_a_version_is_replaced() -> Result<(), cbs::NameError> {
    let registry = Arc::<MetricsRegistry>::default();
    let old = service("logic.greet", "old")?;
    let new = service("logic.greet", "new")?;
    let listed = registry.list(&old);
    (0..5).for_each(|_| count(&old, 100));
    old.stats.count_error(&Code::Timeout, "late".to_owned());
    let both = (listed, registry.list(&new));
    count(&new, 1_000);
    for revision in ["old", "new"] {
        let info = format!(
            "cbs_cell_info{{cell=\"logic.greet\",language=\"rust\",version=\"\",revision=\"{revision}\"}} 1"
        );
        has(&written(&registry, Form::Prometheus), &info);
    }
    drop(both.0);
    let text = written(&registry, Form::Prometheus);
    assert!(!text.contains("\"old\""), "{text}");
    has(&text, "cbs_calls_total{cell=\"logic.greet\",outcome=\"ok\"} 6");
    has(&text, "cbs_calls_total{cell=\"logic.greet\",outcome=\"error\"} 1");
    has(&text, "cbs_errors_total{cell=\"logic.greet\",code=\"timeout\"} 1");
    has(&text, "cbs_call_duration_seconds_bucket{cell=\"logic.greet\",le=\"0.000128\"} 5");
    has(&text, "cbs_call_duration_seconds_bucket{cell=\"logic.greet\",le=\"+Inf\"} 6");
    has(&text, "cbs_call_duration_seconds_count{cell=\"logic.greet\"} 6");
    has(&text, "cbs_call_duration_seconds_sum{cell=\"logic.greet\"} 0.001500000");
    drop(both.1);
    assert_eq!(written(&registry, Form::Prometheus).matches("logic.greet").count(), 0);
    Ok(())
}

#[test]
fn calls_that_went_well_never_shrink_though_errors_are_counted_in_two_steps()
-> Result<(), cbs::NameError> {
    let registry = Arc::<MetricsRegistry>::default();
    let cell = service("logic.greet", "")?;
    let _listed = registry.list(&cell);
    let well = || registry.read(false).first().map(|reading| reading.sums.well);
    count(&cell, 1);
    // Half of an error: answered, not yet counted as one.
    cell.stats.calls.fetch_add(1, Ordering::Relaxed);
    assert_eq!(well(), Some(2));
    cell.stats.errors.fetch_add(1, Ordering::Relaxed);
    assert_eq!(well(), Some(2), "1 would look as if the body had been started again");
    count(&cell, 1);
    count(&cell, 1);
    assert_eq!(well(), Some(3));
    Ok(())
}

#[test]
fn workers_of_two_versions_that_are_called_alike_are_one() -> Result<(), cbs::NameError> {
    let registry = Arc::<MetricsRegistry>::default();
    let versions = [service("logic.greet", "old")?, service("logic.greet", "new")?];
    let listed = versions.each_ref().map(|version| registry.list(version));
    let worker = |state: &str, credit| Worker {
        name: "lane \"0\"".into(),
        state: state.into(),
        in_flight: 2,
        lag_us: 1_500,
        credit_bytes: credit,
        ..Worker::default()
    };
    let well = worker("ready", Some(7));
    let away = worker("starting", None);
    versions[0].stats.set_workers(Some(Arc::new(move || vec![well.clone()])));
    versions[1].stats.set_workers(Some(Arc::new(move || vec![away.clone()])));
    let text = written(&registry, Form::Prometheus);
    let label = "{cell=\"logic.greet\",worker=\"lane \\\"0\\\"\"}";
    has(&text, &format!("cbs_worker_up{label} 0"));
    has(&text, &format!("cbs_worker_in_flight{label} 4"));
    has(&text, &format!("cbs_worker_loop_lag_seconds{label} 0.001500000"));
    has(&text, &format!("cbs_worker_credit_bytes{label} 7"));
    drop(listed);
    Ok(())
}

#[test]
fn an_exemplar_names_the_trace_of_the_last_recorded_call_of_its_bucket()
-> Result<(), cbs::NameError> {
    let registry = Arc::<MetricsRegistry>::default();
    let exemplars = Exemplars::new(registry.clone());
    let cell = service("logic.greet", "")?;
    let listed = registry.list(&cell);
    let span = |number: u8, micros: u64, flags: u8, side: Side| Span {
        trace: Trace { trace_id: [number; 16], span_id: [1; 8], flags },
        parent: None,
        side,
        target: cell.target.clone(),
        language: Text::default(),
        place: Source::default(),
        peer: Source::default(),
        id: Uuid::nil(),
        attempt: 0,
        began_ns: 1_000_000_000,
        waited: Duration::ZERO,
        elapsed: Duration::from_micros(micros),
        via: Transport::InProcess,
        error: None,
        notes: Vec::new(),
        notes_dropped: 0,
        tracestate: Text::default(),
    };
    for micros in [100, 100, 1_000_000_000] {
        count(&cell, micros);
    }
    exemplars.note(&span(1, 100, 1, Side::Server));
    exemplars.note(&span(2, 101, 1, Side::Server));
    exemplars.note(&span(3, 102, 0, Side::Server));
    exemplars.note(&span(4, 103, 1, Side::Client));
    exemplars.note(&span(5, 1_000_000_000, 1, Side::Server));
    exemplars.note(&Span { target: "logic.other".parse()?, ..span(6, 1, 1, Side::Server) });
    let text = written(&registry, Form::OpenMetrics);
    let bucket = "cbs_call_duration_seconds_bucket{cell=\"logic.greet\",le=";
    let two = "02".repeat(16);
    let five = "05".repeat(16);
    has(
        &text,
        &format!("{bucket}\"0.000128\"}} 2 # {{trace_id=\"{two}\"}} 0.000101000 1.000101000"),
    );
    has(
        &text,
        &format!("{bucket}\"+Inf\"}} 3 # {{trace_id=\"{five}\"}} 1000.000000000 1001.000000000"),
    );
    assert_eq!(text.matches("trace_id").count(), 2, "{text}");
    assert!(!written(&registry, Form::Prometheus).contains("trace_id"));
    drop(listed);
    let _again = registry.list(&service("logic.greet", "")?);
    assert!(
        registry.read(true).iter().all(|reading| reading.exemplars.is_none()),
        "forgotten with the cell"
    );
    Ok(())
}
