//! What bounds a process, and the waiting for it.

use std::time::Duration;

use cbs::Namespace;

/// What bounds every process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The body's namespace, told to the process.
    pub namespace: Namespace,
    /// The largest frame that is read from a process, in bytes; set it a little above what the bus takes.
    pub frame_bytes_max: usize,
    /// How many bytes a process may send before it is given more. What one process can make the body
    /// hold is bounded by it: lines to print, questions, calls into the bus.
    pub credit: u64,
    /// How many calls and events of one process the body carries out at once; more are `overloaded`.
    pub requests_max: u32,
    /// How many lines of each of a process's outputs are logged a second.
    pub lines_per_second: u32,
    /// How many lines are logged at once before [`Self::lines_per_second`] counts.
    pub lines_burst: u32,
    /// The soft limit of open files that a process begins with, unless its `limits.files` says another; `None`: the
    /// body's own.
    pub files_soft: Option<u64>,
    /// How long what is waited for.
    pub times: Timeouts,
}

impl Settings {
    /// The defaults: frames of 1 MiB (NATS' own default for messages) and 64 KiB of header, 1 MiB of
    /// credit, 256 calls and events at once, 200 lines a second and 1,000 at once.
    #[must_use]
    pub fn new(namespace: Namespace) -> Self {
        let mebibyte = 1024 * 1024;
        Self {
            namespace,
            frame_bytes_max: mebibyte + 64 * 1024,
            credit: mebibyte as u64,
            requests_max: 256,
            lines_per_second: 200,
            lines_burst: 1_000,
            files_soft: None,
            times: Timeouts::default(),
        }
    }

    /// The same settings for a bus that takes messages of this many bytes.
    #[must_use]
    pub fn with_payload_max(self, bytes: usize) -> Self {
        Self { frame_bytes_max: bytes.saturating_add(64 * 1024), ..self }
    }
}

/// How long what is waited for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// From the start of a process to its hello.
    pub hello: Duration,
    /// From welcome to ready: the start hook.
    pub ready: Duration,
    /// From drain to the end of the process; then it gets SIGTERM. With [`Self::term`] less than the
    /// supervisor gives to a stop.
    pub drain: Duration,
    /// From SIGTERM to SIGKILL.
    pub term: Duration,
    /// Between two pings.
    pub ping: Duration,
    /// A process whose pong stays out for so long hangs, and is killed.
    pub pong: Duration,
    /// A process all of whose room is taken by calls that were given up, and stays so for this long, is killed.
    pub cancel: Duration,
    /// A process beyond the least number that was not called for so long is stopped.
    pub idle: Duration,
    /// The wait before a process is started again while others live; each further one doubles it.
    pub backoff: Duration,
    /// The longest such wait; a process that was ready for as long begins anew.
    pub backoff_max: Duration,
}

impl Default for Timeouts {
    /// 10 s to hello, 15 s to ready, 5 s to drain and 2 s after SIGTERM; a ping a second and 5 s for a
    /// pong; 2 s for cancelled calls; 20 s idle; 100 ms to 10 s before a restart.
    fn default() -> Self {
        Self {
            hello: Duration::from_secs(10),
            ready: Duration::from_secs(15),
            drain: Duration::from_secs(5),
            term: Duration::from_secs(2),
            ping: Duration::from_secs(1),
            pong: Duration::from_secs(5),
            cancel: Duration::from_secs(2),
            idle: Duration::from_secs(20),
            backoff: Duration::from_millis(100),
            backoff_max: Duration::from_secs(10),
        }
    }
}
