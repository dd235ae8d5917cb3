//! `cbs top`: the load of the fleet, second by second.

mod rates;
mod screen;

use std::time::{Duration, Instant};

use bus_nats::Nats;
use serde_json::json;

use self::{
    rates::{Rates, Row, Sort},
    screen::{Key, Screen},
};
use super::{Globals, call, ls::DISCOVERY_WAIT};
use crate::{
    exit::{Outcome, Status},
    output::{self, BAD, FAINT, Format},
    signals::Signals,
};

/// Time between two requests to the bodies.
const PERIOD: Duration = Duration::from_secs(1);

/// Shows how busy each cell and flow is, second by second.
///
/// The numbers are the bodies' own, added up; ON says of how many. CALLS/S and ERR/S are of the
/// last second; P50 and P99 are of the calls that ran and ended in it, the wait in queues
/// included: half of them, and 99 of 100, took no longer. RUN and WAIT are calls in flight and in
/// queues now.
/// Keys: `s` sorts by another column, `b` shows each body or all as one, `q` ends it.
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// Look for one second, print one table, and end
    #[arg(long)]
    once: bool,
    /// By what to sort
    #[arg(long, value_enum, default_value_t)]
    sort: Sort,
    /// Show each body by itself
    #[arg(long)]
    by_body: bool,
}

impl Top {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let mut signals = Signals::new()?;
        let nats = globals.nats.client(&globals.namespace()).await?;
        let outcome = tokio::select! {
            outcome = self.watch(&nats, globals) => outcome,
            // Whoever has seen enough is done.
            _ = signals.next() => Ok(Status::Done),
        };
        nats.close().await;
        outcome
    }

    async fn watch(&self, nats: &Nats, globals: &Globals) -> Outcome {
        let mut rates = Rates::default();
        let mut sort = self.sort;
        let mut by_body = self.by_body;
        let mut shown = by_body;
        let live = !self.once && globals.format == Format::Human;
        // Puts the terminal back when it is dropped, also where the person ends it by a signal.
        let mut screen = live.then(Screen::open).transpose()?;
        let mut rows = rates.rows(look(nats, globals).await?, Instant::now(), by_body);
        let mut next = tokio::time::interval_at(tokio::time::Instant::now() + PERIOD, PERIOD);
        next.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut trouble = None;
        loop {
            if let Some(screen) = &mut screen
                && !screen.show(&page(&mut rows, (sort, shown), globals, trouble.as_deref()))?
            {
                return Ok(Status::Done);
            }
            tokio::select! {
                _ = next.tick() => match nats.discover(DISCOVERY_WAIT).await {
                    Ok(found) => (rows, trouble, shown) = (rates.rows(found, Instant::now(), by_body), None, by_body),
                    // A server that is away for a while comes back; until then the last numbers
                    // stand.
                    Err(error) if live => trouble = Some(error.to_string()),
                    Err(error) => return Err(call::failed(&error, globals.format)),
                },
                key = Screen::key(screen.as_mut()) => {
                    match key {
                        Key::Quit => return Ok(Status::Done),
                        Key::Sort => sort = sort.next(),
                        // Shown with the next reading: the sums cannot be separated.
                        Key::Bodies => by_body = !by_body,
                        Key::Other => {}
                    }
                    continue;
                }
            }
            if live {
                continue;
            }
            sort.apply(&mut rows);
            let read = match globals.format {
                Format::Json => output::print_on(
                    json!({ "time": output::moment(cbs::now_ms()), "targets": rows }),
                )?,
                Format::Human => output::print_on(table(&rows, by_body))?,
            };
            // It ends with its reader (`cbs top | head -1`), as the live page does.
            if self.once || !read {
                return Ok(Status::Done);
            }
        }
    }
}

async fn look(
    nats: &Nats,
    globals: &Globals,
) -> Result<Vec<bus_nats::discovery::Endpoint>, crate::exit::Failure> {
    nats.discover(DISCOVERY_WAIT).await.map_err(|error| call::failed(&error, globals.format))
}

/// Formats the page on the screen.
fn page(
    rows: &mut [Row],
    (sort, by_body): (Sort, bool),
    globals: &Globals,
    trouble: Option<&str>,
) -> String {
    sort.apply(rows);
    let (calls, errors) = rows.iter().fold((0.0, 0.0), |(calls, errors), row| {
        (calls + row.calls_per_s.unwrap_or(0.0), errors + row.errors_per_s.unwrap_or(0.0))
    });
    let targets = output::count(rows.len(), "line", "lines");
    let head = format!(
        "namespace {}, {targets}, {calls:.0} calls/s, {errors:.0} errors/s",
        globals.namespace()
    );
    let keys = format!(
        "{FAINT}sorted by {}; s sorts otherwise, b shows bodies, q ends{FAINT:#}",
        sort.word()
    );
    let trouble = trouble
        .map(|why| format!("\n{BAD}not now:{BAD:#} {}", output::sanitize(why)))
        .unwrap_or_default();
    format!("{head}\n{keys}{trouble}\n\n{}", table(rows, by_body))
}

fn table(rows: &[Row], by_body: bool) -> String {
    // Ten columns in the eighty of a usual terminal.
    let head = [
        "target",
        if by_body { "body" } else { "on" },
        "calls/s",
        "err/s",
        "p50",
        "p99",
        "run",
        "wait",
        "restarts",
        "state",
    ];
    let number = |rate: Option<f64>| rate.map_or_else(|| "-".to_owned(), rate_text);
    let time = |us: Option<u64>| {
        us.map_or_else(|| "-".to_owned(), |us| output::short(Duration::from_micros(us)))
    };
    output::table(
        head,
        rows.iter().map(|row| {
            [
                short(&row.target).to_owned(),
                row.bodies
                    .first()
                    .filter(|_| by_body)
                    .cloned()
                    .unwrap_or_else(|| row.bodies.len().to_string()),
                number(row.calls_per_s),
                number(row.errors_per_s),
                time(row.p50_us),
                time(row.p99_us),
                row.in_flight.to_string(),
                row.queued.to_string(),
                row.restarts.to_string(),
                row.state.clone(),
            ]
        }),
    )
}

/// Returns the short form of a target: only the name of a cell, or `flow` with the name of a flow.
fn short(target: &str) -> &str {
    target.strip_prefix("cell ").unwrap_or(target)
}

/// Formats a rate, with one digit after the point if the rate is small.
fn rate_text(rate: f64) -> String {
    if rate < 99.95 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}
