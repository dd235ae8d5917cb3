//! From numbers that only grow to what happened in the last second.

use std::{cmp::Reverse, collections::HashMap, time::Instant};

use bus_nats::discovery::Endpoint;
use clap::ValueEnum;
use serde::Serialize;

use crate::cli::ls;

/// One target in one body, lately.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) target: String,
    pub(super) body: String,
    /// `None`: it is seen for the first time.
    pub(super) calls_per_s: Option<f64>,
    pub(super) errors_per_s: Option<f64>,
    /// Of the calls that ended since the last look; `None`: none did.
    pub(super) mean_us: Option<f64>,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    pub(super) restarts: u64,
    pub(super) state: String,
}

/// What an endpoint had counted, and when.
#[derive(Clone, Copy)]
struct Count {
    calls: u64,
    errors: u64,
    busy_us: f64,
    at: Instant,
}

/// Remembers the last look.
#[derive(Default)]
pub(super) struct Rates(HashMap<(String, String, String), Count>);

impl Rates {
    /// What happened since the last look. A cell that began anew counts from zero.
    pub(super) fn rows(&mut self, found: Vec<Endpoint>, at: Instant) -> Vec<Row> {
        let last = std::mem::take(&mut self.0);
        found.into_iter().map(|endpoint| self.row(&last, &endpoint, at)).collect()
    }

    fn row(&mut self, last: &HashMap<(String, String, String), Count>, endpoint: &Endpoint, at: Instant) -> Row {
        let (target, body) = (endpoint.target.to_string(), endpoint.body.to_string());
        let key = (target.clone(), body.clone(), endpoint.revision.to_string());
        let (calls, errors) = (endpoint.calls, endpoint.errors);
        let now = Count { calls, errors, busy_us: endpoint.mean.as_secs_f64() * 1e6 * as_f64(calls), at };
        let before = last.get(&key).copied();
        self.0.insert(key, now);
        let before = before.map(|before| {
            if before.calls > calls { Count { calls: 0, errors: 0, busy_us: 0.0, at: before.at } } else { before }
        });
        let rate = |count: fn(&Count) -> u64| -> Option<f64> {
            let before = before?;
            let seconds = at.duration_since(before.at).as_secs_f64();
            (seconds > 0.0).then(|| as_f64(count(&now).saturating_sub(count(&before))) / seconds)
        };
        let ended = before.map_or(0, |before| calls.saturating_sub(before.calls));
        let mean = before.filter(|_| ended > 0).map(|before| ((now.busy_us - before.busy_us) / as_f64(ended)).max(0.0));
        Row {
            target,
            body,
            calls_per_s: rate(|count| count.calls),
            errors_per_s: rate(|count| count.errors),
            mean_us: mean,
            in_flight: endpoint.in_flight,
            queued: endpoint.queued,
            restarts: endpoint.restarts,
            state: ls::state(endpoint),
        }
    }
}

/// Exact up to 2^53, and as good as that beyond.
#[expect(clippy::cast_precision_loss, reason = "a rate is shown with one digit")]
fn as_f64(number: u64) -> f64 {
    number as f64
}

/// By what rows are sorted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum Sort {
    #[default]
    Calls,
    Errors,
    Mean,
    Queued,
    Name,
}

impl Sort {
    pub(super) fn next(self) -> Self {
        match self {
            Self::Calls => Self::Errors,
            Self::Errors => Self::Mean,
            Self::Mean => Self::Queued,
            Self::Queued => Self::Name,
            Self::Name => Self::Calls,
        }
    }

    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Calls => "calls/s",
            Self::Errors => "errors/s",
            Self::Mean => "mean",
            Self::Queued => "queued",
            Self::Name => "name",
        }
    }

    /// The most first, then by name.
    pub(super) fn apply(self, rows: &mut [Row]) {
        let most = |row: &Row| match self {
            Self::Calls => row.calls_per_s.unwrap_or(0.0),
            Self::Errors => row.errors_per_s.unwrap_or(0.0),
            Self::Mean => row.mean_us.unwrap_or(0.0),
            Self::Queued => as_f64(row.queued),
            Self::Name => 0.0,
        };
        // Positive numbers have the order of their bits.
        rows.sort_by_cached_key(|row| (Reverse(most(row).to_bits()), row.target.clone(), row.body.clone()));
    }
}
