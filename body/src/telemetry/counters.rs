//! Counters of the telemetry itself. They are read without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Kind of exported data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal {
    /// Spans of calls.
    Traces = 0,
    /// Lines of the log.
    Logs = 1,
}

/// Reason why a span or line was not exported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The queue was full.
    QueueFull = 0,
    /// The receiver could not be reached, or did not answer in time, several times.
    Failed = 1,
    /// The receiver refused it.
    Refused = 2,
    /// The program ended before it was sent.
    Stopped = 3,
}

const SIGNALS: [&str; 2] = ["traces", "logs"];
const REASONS: [&str; 4] = ["queue-full", "failed", "refused", "stopped"];

/// Counters since the start. Each only grows, except those of the spans in memory.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    recorded: AtomicU64,
    kept: AtomicU64,
    kept_bytes: AtomicU64,
    exported: [AtomicU64; SIGNALS.len()],
    dropped: [[AtomicU64; REASONS.len()]; SIGNALS.len()],
    lines_dropped: AtomicU64,
    lines_limited: AtomicU64,
}

impl Counters {
    /// Returns the number of spans recorded.
    pub(crate) fn spans_recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Returns the number of spans in memory now.
    pub(crate) fn spans_kept(&self) -> u64 {
        self.kept.load(Ordering::Relaxed)
    }

    /// Returns the bytes of the spans in memory now.
    pub(crate) fn spans_kept_bytes(&self) -> u64 {
        self.kept_bytes.load(Ordering::Relaxed)
    }

    /// Returns the number of items that the receiver took, by signal.
    pub(crate) fn otlp_exported(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        SIGNALS
            .iter()
            .zip(&self.exported)
            .map(|(signal, count)| (*signal, count.load(Ordering::Relaxed)))
    }

    /// Returns the number of items that never reached the receiver, by signal and reason.
    pub(crate) fn otlp_dropped(
        &self,
    ) -> impl Iterator<Item = (&'static str, &'static str, u64)> + '_ {
        let of = |(signal, counts): (&&'static str, &'_ [AtomicU64; REASONS.len()])| {
            let signal = *signal;
            let read = |(reason, count): (&&'static str, &AtomicU64)| {
                (signal, *reason, count.load(Ordering::Relaxed))
            };
            REASONS.iter().zip(counts).map(read).collect::<Vec<_>>()
        };
        SIGNALS.iter().zip(&self.dropped).flat_map(of)
    }

    /// Returns the number of log lines that standard error did not take in time, and those beyond a
    /// cell's limit.
    pub(crate) fn log_lines_dropped(&self) -> u64 {
        self.lines_dropped.load(Ordering::Relaxed) + self.lines_limited.load(Ordering::Relaxed)
    }

    pub(super) fn count_recorded(&self) {
        self.recorded.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts the spans and bytes that came into memory, and those that were removed.
    pub(super) fn count_kept(&self, came: (u64, u64), went: (u64, u64)) {
        // Gauges that are one moment too high are better than ones that fall below zero.
        self.kept.fetch_add(came.0, Ordering::Relaxed);
        self.kept_bytes.fetch_add(came.1, Ordering::Relaxed);
        self.kept.fetch_sub(went.0, Ordering::Relaxed);
        self.kept_bytes.fetch_sub(went.1, Ordering::Relaxed);
    }

    pub(super) fn count_exported(&self, signal: Signal, count: usize) {
        if let Some(exported) = self.exported.get(signal as usize) {
            exported.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn count_dropped(&self, signal: Signal, reason: Reason, count: usize) {
        if let Some(dropped) =
            self.dropped.get(signal as usize).and_then(|reasons| reasons.get(reason as usize))
        {
            dropped.fetch_add(count as u64, Ordering::Relaxed);
        }
    }

    pub(super) fn count_line_dropped(&self) {
        self.lines_dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_line_limited(&self) {
        self.lines_limited.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn lines_dropped(&self) -> u64 {
        self.lines_dropped.load(Ordering::Relaxed)
    }
}
