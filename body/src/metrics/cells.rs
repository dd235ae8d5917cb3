//! Metrics of cells and flows.

use bus::Retried;
use cbs::{Code, Target};
use model::Phase;

use super::{
    bounds::BOUNDS,
    page::{Kind, Page, Seconds, labels},
    registry::{Reading, name},
};

/// Approximate bytes of the metrics of a target that was called.
pub(super) const BYTES_EACH: usize = 3_000;

/// Name and help of a family, and the function that reads its number.
type Told = (&'static str, &'static str, fn(&Reading) -> u64);

/// Writes all families of cells and flows.
pub(super) fn write(page: &mut Page, all: &[Reading]) {
    page.family("cbs_cell_info", Kind::Info, "What a cell or flow of this body is.");
    for reading in all {
        for about in &reading.about {
            let what = [
                ("language", &*about.language),
                ("version", &*about.version),
                ("revision", &*about.revision),
            ];
            page.sample(&format!("{},{}", reading.label, labels(&what)), true);
        }
    }
    let gauges: [Told; 3] = [
        ("cbs_cell_ready", "Whether calls reach it: 1 or 0.", |it| u64::from(it.ready)),
        ("cbs_calls_in_flight", "Calls that run now.", |it| it.in_flight),
        ("cbs_calls_queued", "Calls that wait in the queue now.", |it| it.queued),
    ];
    for (name, help, number) in gauges {
        page.family(name, Kind::Gauge, help);
        all.iter().for_each(|reading| page.sample(&reading.label, number(reading)));
    }
    page.family(
        "cbs_calls_total",
        Kind::Counter,
        "Calls that were answered, with a reply or with an error.",
    );
    for reading in all {
        page.sample_of(&reading.label, ("outcome", "ok"), reading.sums.well);
        page.sample_of(&reading.label, ("outcome", "error"), reading.sums.errors);
    }
    page.family(
        "cbs_errors_total",
        Kind::Counter,
        "Errors by their code; a cell's own codes are one, domain.",
    );
    for reading in all {
        for (code, count) in Code::kinds().zip(reading.sums.by_code).filter(|(_, count)| *count > 0)
        {
            page.sample_of(&reading.label, ("code", code), count);
        }
    }
    let counters: [Told; 2] = [
        (
            "cbs_calls_shed_total",
            "Calls refused because the cell had no capacity to run them in time.",
            |it| it.sums.shed,
        ),
        ("cbs_restarts_total", "Number of restarts.", |it| it.sums.restarts),
    ];
    for (name, help, number) in counters {
        page.family(name, Kind::Counter, help);
        all.iter().for_each(|reading| page.sample(&reading.label, number(reading)));
    }
    page.family(
        "cbs_call_wait_seconds_total",
        Kind::Counter,
        "Time that calls waited in the queue before they ran.",
    );
    all.iter().for_each(|reading| page.sample(&reading.label, Seconds(reading.sums.waited_ns)));
    page.family(
        "cbs_call_duration_seconds",
        Kind::Histogram,
        "Duration of calls that ran, from arrival to answer, the wait in the queue included.",
    );
    all.iter().for_each(|reading| histogram(page, reading));
    workers(page, all);
}

/// Writes the histogram of a target; nothing if it was never called.
fn histogram(page: &mut Page, reading: &Reading) {
    if !reading.was_called() {
        return;
    }
    let ends = BOUNDS.iter().map(|(_, end)| *end).chain(["+Inf"]);
    let mut all = 0_u64;
    for (bucket, (end, count)) in ends.zip(reading.sums.took).enumerate() {
        all = all.saturating_add(count);
        let exemplar =
            reading.exemplars.as_ref().and_then(|exemplars| exemplars.get(bucket)?.as_ref());
        page.bucket(&reading.label, end, all, exemplar);
    }
    let sum = reading.sums.busy_ns.saturating_add(reading.sums.waited_ns);
    page.sum_and_count(&reading.label, Seconds(sum), all);
}

fn workers(page: &mut Page, all: &[Reading]) {
    let workers: Vec<_> = all
        .iter()
        .flat_map(|reading| reading.workers.iter().map(move |worker| (reading, worker)))
        .map(|(reading, worker)| {
            (format!("{},{}", reading.label, labels(&[("worker", &worker.name)])), worker)
        })
        .collect();
    if workers.is_empty() {
        return;
    }
    page.family("cbs_worker_up", Kind::Gauge, "Whether a lane or process takes calls: 1 or 0.");
    workers.iter().for_each(|(label, worker)| {
        page.sample(label, Phase::read(&worker.state) == Some(Phase::Ready));
    });
    page.family("cbs_worker_in_flight", Kind::Gauge, "Calls that it runs now.");
    workers.iter().for_each(|(label, worker)| page.sample(label, worker.in_flight));
    page.family("cbs_worker_queued", Kind::Gauge, "Calls that wait in it for their turn.");
    workers.iter().for_each(|(label, worker)| page.sample(label, worker.queued));
    let seconds = |micros: u64| Seconds(micros.saturating_mul(1_000));
    page.family("cbs_worker_loop_lag_seconds", Kind::Gauge, "Lag of its event loop.");
    workers.iter().for_each(|(label, worker)| page.sample(label, seconds(worker.lag_us)));
    page.family(
        "cbs_worker_lock_wait_seconds",
        Kind::Gauge,
        "Time that it waits for a shared lock.",
    );
    workers.iter().for_each(|(label, worker)| page.sample(label, seconds(worker.lock_wait_us)));
    page.family("cbs_worker_restarts_total", Kind::Counter, "Number of restarts.");
    workers.iter().for_each(|(label, worker)| page.sample(label, worker.restarts));
    let credits =
        || workers.iter().filter_map(|(label, worker)| Some((label, worker.credit_bytes?)));
    if credits().next().is_some() {
        page.family(
            "cbs_worker_credit_bytes",
            Kind::Gauge,
            "Bytes that its process takes before it must be waited for.",
        );
        credits().for_each(|(label, credit)| page.sample(label, credit));
    }
}

/// Writes the number of retries of calls of this body, by the cell that was called.
pub(super) fn write_retries(page: &mut Page, all: &[(Target, Retried)]) {
    if all.is_empty() {
        return;
    }
    let label = |target: &Target| labels(&[("cell", &name(target))]);
    page.family(
        "cbs_retries_total",
        Kind::Counter,
        "Attempts after the first of this body's calls, by the cell that was called.",
    );
    all.iter().for_each(|(target, retried)| page.sample(&label(target), retried.again));
    page.family(
        "cbs_retries_denied_total",
        Kind::Counter,
        "Retries that were denied because the retry budget was spent.",
    );
    all.iter().for_each(|(target, retried)| page.sample(&label(target), retried.denied));
}
