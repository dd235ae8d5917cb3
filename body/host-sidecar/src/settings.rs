//! The limits of a process, and of the time to wait for it.

use std::time::Duration;

use cbs::Namespace;

/// Limits of every process of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The body's namespace, which the process gets in its welcome.
    pub namespace: Namespace,
    /// Limit of the size of a frame that is read from a process, in bytes. Set it a little above
    /// the limit of the bus.
    pub frame_bytes_max: usize,
    /// Limit of the bytes that a process may send before it is given more. It bounds the memory
    /// that one process can fill in the body: lines to print, questions, calls into the bus.
    pub credit: u64,
    /// Limit of the calls and events of one process that the body carries out at once. Others are
    /// `overloaded`.
    pub requests_max: u32,
    /// Number of lines of each of a process's outputs that are logged in a second.
    pub lines_per_second: u32,
    /// Number of lines that are logged at once before [`Self::lines_per_second`] counts.
    pub lines_burst: u32,
    /// The soft limit of open files that a process begins with, unless its `limits.files` gives
    /// another one; `None`: the body's own.
    pub files_soft: Option<u64>,
    /// Limits of the times to wait.
    pub times: Timeouts,
}

impl Settings {
    /// Returns the defaults: frames of 1 MiB (NATS' own default for messages) and 64 KiB of header,
    /// 1 MiB of credit, 256 calls and events at once, 200 lines a second and 1,000 at once.
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

    /// Returns the same settings for a bus that takes messages of this many bytes.
    #[must_use]
    pub fn with_payload_max(self, bytes: usize) -> Self {
        Self { frame_bytes_max: bytes.saturating_add(64 * 1024), ..self }
    }
}

/// Limits of the times to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Limit of the time from the start of a process to its hello.
    pub hello: Duration,
    /// Limit of the time from welcome to ready: the start hook.
    pub ready: Duration,
    /// Limit of the time from drain to the end of the process; then it gets SIGTERM. Together with
    /// [`Self::term`] it must be less than the supervisor's limit of a stop.
    pub drain: Duration,
    /// Limit of the time from SIGTERM to SIGKILL.
    pub term: Duration,
    /// Time between two pings.
    pub ping: Duration,
    /// Limit of the time without a pong. A process that is later hangs, and is killed.
    pub pong: Duration,
    /// Limit of the time for which abandoned calls may fill all of a process's capacity. After that
    /// the process is killed.
    pub cancel: Duration,
    /// Time without a call after which a process beyond the least number is stopped.
    pub idle: Duration,
    /// Time before a process is started again while others run. Each further restart doubles it.
    pub backoff: Duration,
    /// Limit of the time before a restart. A process that was ready for as long begins again with
    /// [`Self::backoff`].
    pub backoff_max: Duration,
}

impl Default for Timeouts {
    /// Returns the defaults: 10 s to hello, 15 s to ready, 5 s to drain and 2 s after SIGTERM; a
    /// ping a second and 5 s for a pong; 2 s for cancelled calls; 20 s idle; 100 ms to 10 s before
    /// a restart.
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
