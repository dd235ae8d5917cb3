//! Writer of lines to standard error. Code that logs never waits for the reader of the log.
//!
//! One thread writes. Waiting lines are bounded in number and in bytes. A line that does not fit is
//! counted, and reported when there is space again.

use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::Duration,
};

use super::{super::counters::Counters, limit::Limiter};

/// Limit of the number of lines that wait.
const LINES_MAX: usize = 8_192;
/// Limit of the bytes that they may have together.
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// Limit of the time that a line for the operator waits for those before it.
const SETTLE_LIMIT: Duration = Duration::from_millis(100);
/// Limit of the time that the program's end waits for the last lines.
const END_LIMIT: Duration = Duration::from_secs(1);
/// Time between two reports that lines of cells were left out.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Writer of this program, if one was started.
static WRITER: OnceLock<Writer> = OnceLock::new();

/// Waits a moment until all lines that were logged before are written. Text that is written to
/// standard error directly then comes after them.
pub(crate) fn settle() {
    if let Some(writer) = WRITER.get() {
        writer.settled(SETTLE_LIMIT);
    }
}

/// Guard that waits until the last lines are written, for at most one second. It is dropped at the
/// program's end.
#[derive(Debug)]
pub(crate) struct LastLines(pub(super) ());

impl Drop for LastLines {
    fn drop(&mut self) {
        if let Some(writer) = WRITER.get() {
            writer.settled(END_LIMIT);
        }
    }
}

enum LogCommand {
    Line(Vec<u8>),
    /// Wakes the writer to report lines that were left out.
    Wake,
    /// Answered when all lines before it are written.
    Settled(SyncSender<()>),
}

/// Handle that takes lines. A clone sends to the same thread.
#[derive(Clone)]
pub(super) struct Writer {
    commands: SyncSender<LogCommand>,
    waiting: Arc<AtomicUsize>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the thread that writes. It ends with the program.
    pub(super) fn start(counters: Arc<Counters>, limiter: Arc<Limiter>) -> io::Result<Self> {
        let (commands, queue) = sync_channel(LINES_MAX);
        let writer = Self { commands, waiting: Arc::default(), counters };
        let waiting = writer.waiting.clone();
        let counters = writer.counters.clone();
        let wake = writer.clone();
        let awake = limiter.clone();
        awake.on_first(Box::new(move || drop(wake.commands.try_send(LogCommand::Wake))));
        std::thread::Builder::new()
            .name("cbs-stderr".to_owned())
            .spawn(move || write(&queue, &waiting, &counters, &limiter))?;
        drop(WRITER.set(writer.clone()));
        Ok(writer)
    }

    fn settled(&self, limit: Duration) {
        let (settled, done) = sync_channel(1);
        // A full queue is not waited for: standard error has no reader.
        if self.commands.try_send(LogCommand::Settled(settled)).is_ok() {
            // Not in time: the lines come later.
            _ = done.recv_timeout(limit);
        }
    }

    fn line(&self, line: &[u8]) {
        let fits = self.waiting.fetch_add(line.len(), Ordering::Relaxed) + line.len() <= BYTES_MAX;
        if !fits || self.commands.try_send(LogCommand::Line(line.to_owned())).is_err() {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
            self.counters.count_line_dropped();
        }
    }
}

/// Receives each line from tracing in one piece.
impl Write for Writer {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.line(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes until all senders are dropped.
fn write(
    queue: &Receiver<LogCommand>,
    waiting: &AtomicUsize,
    counters: &Counters,
    limiter: &Limiter,
) {
    let mut reported = 0;
    loop {
        let next = if limiter.has_news() {
            queue.recv_timeout(TELL_EVERY)
        } else {
            queue.recv().map_err(|_| RecvTimeoutError::Disconnected)
        };
        match next {
            Ok(LogCommand::Line(line)) => {
                // A missing reader is no reason to stop.
                drop(io::stderr().lock().write_all(&line));
                waiting.fetch_sub(line.len(), Ordering::Relaxed);
            }
            Ok(LogCommand::Settled(settled)) => drop(settled.try_send(())),
            Ok(LogCommand::Wake) | Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        limiter.report(TELL_EVERY);
        let dropped = counters.lines_dropped();
        if dropped > reported && waiting.load(Ordering::Relaxed) < BYTES_MAX / 2 {
            tracing::warn!(target: "cbs::log", "{} lines of the log were left out: standard error took no more", dropped - reported);
            reported = dropped;
        }
    }
}
