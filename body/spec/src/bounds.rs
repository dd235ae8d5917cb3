//! Defaults and bounds of numbers, one place for the reader, the editors' schema and the docs.

use std::{ops::RangeInclusive, time::Duration};

/// How many calls of a cell run at once in a body unless its spec says otherwise.
pub const CONCURRENCY_DEFAULT: usize = 64;
/// How many more calls may wait unless the spec says otherwise.
pub const QUEUE_DEFAULT: usize = 256;
/// The most time one call may take unless the spec says otherwise.
pub const CELL_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// The most time one run of a flow may take unless its spec says otherwise: several calls of
/// the default length one after the other.
pub const FLOW_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);
/// The wait before a second attempt unless the spec says otherwise.
pub const BACKOFF_DEFAULT: Duration = Duration::from_millis(100);
/// The longest wait between attempts unless the spec says otherwise (or the first wait, where
/// that is longer).
pub const BACKOFF_MAX_DEFAULT: Duration = Duration::from_secs(5);

/// Calls at once: more than a million is a slip of the pen.
pub(crate) const CONCURRENCY: RangeInclusive<u64> = 1..=1_000_000;
/// Calls that wait; 0 refuses at once.
pub(crate) const QUEUE: RangeInclusive<u64> = 0..=1_000_000;
/// Attempts after the first.
pub(crate) const RETRIES: RangeInclusive<u64> = 1..=100;
/// Processes or lanes of one cell in one body.
pub(crate) const PROCESSES: RangeInclusive<u64> = 1..=256;
/// Calls of one `each` at once.
pub(crate) const PARALLEL: RangeInclusive<u64> = 1..=10_000;
/// Steps of one flow: what the plan knows of who may read whom grows with their square.
pub(crate) const STEPS_MAX: usize = 1_000;
/// Open files of one process: below 16 nothing starts.
pub(crate) const FILES: RangeInclusive<u64> = 16..=1_048_576;
/// Memory of one process: from 1 MiB to 1 PiB.
pub(crate) const MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 50;
/// Bodies that run a cell: more than a thousand is a slip of the pen.
pub(crate) const REPLICAS: RangeInclusive<u64> = 1..=1_000;
/// The most bytes of a label's key or value.
pub(crate) const LABEL_BYTES_MAX: usize = 63;
/// The most labels that a cell may ask of a body: its entry in a manifest has 2 KiB for all.
pub(crate) const PLACE_LABELS_MAX: usize = 8;
/// A canary's share of the calls, in percent.
pub(crate) const SHARE: RangeInclusive<u64> = 1..=99;
/// Calls that a canary answers before anything is decided.
pub(crate) const CANARY_CALLS: RangeInclusive<u64> = 1..=1_000_000;
/// Errors that a canary may have more than the old revision, in percent of its calls.
pub(crate) const ERRORS: RangeInclusive<u64> = 0..=100;
/// A canary's time in percent of the old revision's.
pub(crate) const SLOWER: RangeInclusive<u64> = 100..=100_000;
/// Every duration: from 1 ms to a day.
pub(crate) const DURATION: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);
/// A file of specs, and a schema: 1 MiB, which is also the largest value NATS takes by default.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
