//! The signals that ask the program to stop.

use std::{io, time::Duration};

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::Instant,
};

/// Time within which further signals count as the same request: a process manager that signals a
/// process and then its group, GNU `timeout`, a key that is held down.
const SAME_WISH: Duration = Duration::from_secs(1);

/// Receiver of SIGINT and SIGTERM, from the moment when it is made.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// Time until which further signals count as the same request.
    same_until: Option<Instant>,
}

impl Signals {
    /// Takes the two signals over from the system.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        let (interrupt, terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, same_until: None })
    }

    /// Waits for the next request to stop, and returns the name of its signal. Cancel-safe.
    pub(crate) async fn next(&mut self) -> &'static str {
        loop {
            let name = tokio::select! {
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.terminate.recv() => "SIGTERM",
            };
            let now = Instant::now();
            if self.same_until.is_none_or(|until| now >= until) {
                self.same_until = Some(now + SAME_WISH);
                return name;
            }
        }
    }
}
