//! Defaults and bounds of numbers, one place for the reader, the editors' schema and the docs.

use std::{ops::RangeInclusive, time::Duration};

/// Default limit of the time of one run of a flow: enough for several calls of the default length
/// one after the other.
pub const FLOW_TIMEOUT_DEFAULT: Duration = Duration::from_secs(30);

/// Range of calls at once. More than a million is a typing mistake.
pub(crate) const CONCURRENCY: RangeInclusive<u64> = 1..=1_000_000;
/// Range of calls that wait. With 0 a call that cannot start is refused at once.
pub(crate) const QUEUE: RangeInclusive<u64> = 0..=1_000_000;
/// Range of attempts after the first.
pub(crate) const RETRIES: RangeInclusive<u64> = 1..=100;
/// Range of processes or lanes of one cell in one body.
pub(crate) const PROCESSES: RangeInclusive<u64> = 1..=256;
/// Range of the calls of one `each` that run at once.
pub(crate) const PARALLEL: RangeInclusive<u64> = 1..=10_000;
/// Limit of the steps of one flow. The plan's table of which step may read which grows with the
/// square of their number.
pub(crate) const STEPS_MAX: usize = 1_000;
/// Range of open files of one process. Below 16 no process starts.
pub(crate) const FILES: RangeInclusive<u64> = 16..=1_048_576;
/// Range of memory of one process, in bytes: from 1 MiB to 1 PiB.
pub(crate) const MEMORY: RangeInclusive<u64> = 1 << 20..=1 << 50;
/// Range of bodies that run a cell. More than a thousand is a typing mistake.
pub(crate) const REPLICAS: RangeInclusive<u64> = 1..=1_000;
/// Limit of the bytes of a label's key or value.
pub(crate) const LABEL_BYTES_MAX: usize = 63;
/// Limit of the labels that a cell may require of a body. Its entry in a manifest has 2 KiB in all.
pub(crate) const PLACE_LABELS_MAX: usize = 8;
/// Range of a canary's share of the calls, in percent.
pub(crate) const SHARE: RangeInclusive<u64> = 1..=99;
/// Range of the calls that a canary answers before anything is decided.
pub(crate) const CANARY_CALLS: RangeInclusive<u64> = 1..=1_000_000;
/// Range of the errors that a canary may have more than the old revision, in percent of its calls.
pub(crate) const ERRORS: RangeInclusive<u64> = 0..=100;
/// Range of a canary's time, in percent of the old revision's.
pub(crate) const SLOWER: RangeInclusive<u64> = 100..=100_000;
/// Range of every duration: from 1 ms to a day.
pub(crate) const DURATION: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(86_400);
/// Limit of the bytes of a file of specs and of a schema: 1 MiB, also the default limit of a value
/// in NATS.
pub(crate) const FILE_BYTES_MAX: u64 = 1 << 20;
