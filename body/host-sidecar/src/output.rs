//! The standard output and error of a process, as lines of the body's log.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use cbs::Stats;
use host::TokenBucket;
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::{MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// Limit of a line in bytes. A longer line is cut.
const LINE_BYTES_MAX: usize = 8 * 1024;
/// Number of bytes that are read at once: a quarter of what a pipe holds by default.
const READ_BYTES: usize = 16 * 1024;
/// Time between two reports of dropped lines.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// Number of the last lines that are kept for the report of the process's end, and the length of
/// each.
const LAST_LINES: usize = 10;
const LAST_LINE_CHARS: usize = 300;

/// Kind of output of a process: standard output or standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

impl Stream {
    fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// The last lines of an output, for the report of the process's end.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastLines(Arc<Mutex<VecDeque<String>>>);

impl LastLines {
    fn push(&self, line: &str) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LAST_LINES {
            lines.pop_front();
        }
        lines.push_back(line.chars().take(LAST_LINE_CHARS).collect());
    }

    /// Returns the lines as one text.
    pub(crate) fn text(&self) -> String {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// Target of the lines of one output: the body's log, within a limit.
pub(crate) struct Output {
    pub(crate) stream: Stream,
    /// Name of the cell.
    pub(crate) cell: Arc<str>,
    pub(crate) pid: u32,
    /// Number of lines that are logged in a second, and number of lines that are logged at once.
    pub(crate) lines_per_second: u32,
    pub(crate) lines_burst: u32,
    pub(crate) last: LastLines,
}

impl Output {
    /// Reads the output to its end, and never waits for anything else: the log must not hold up the
    /// process. After `enough` is cancelled, it reads what is there and waits for no more.
    pub(crate) async fn read(self, mut pipe: impl AsyncRead + Unpin, enough: CancellationToken) {
        let mut bucket = TokenBucket::new(self.lines_per_second, self.lines_burst, Instant::now());
        let mut dropped = 0u64;
        let mut lines = Lines::default();
        let mut buffer = vec![0; READ_BYTES];
        let mut report = interval(TELL_EVERY);
        report.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let read = tokio::select! {
                biased;
                _ = report.tick(), if dropped > 0 => {
                    self.report(std::mem::take(&mut dropped));
                    continue;
                }
                read = pipe.read(&mut buffer) => read,
                () = enough.cancelled() => Ok(0),
            };
            // An output that cannot be read counts as closed.
            let bytes = buffer.get(..read.unwrap_or(0)).unwrap_or_default();
            let mut each = |line: &[u8]| {
                let line = String::from_utf8_lossy(line);
                self.last.push(&line);
                if bucket.take(Instant::now()) {
                    self.log(&line);
                } else {
                    dropped += 1;
                    Stats::lines_dropped().fetch_add(1, Ordering::Relaxed);
                }
            };
            if bytes.is_empty() {
                lines.end(&mut each);
                break;
            }
            lines.feed(bytes, &mut each);
        }
        if dropped > 0 {
            self.report(dropped);
        }
    }

    fn log(&self, line: &str) {
        tracing::info!(target: "cbs::cell", cell = %self.cell, pid = self.pid, stream = self.stream.as_str(), "{line}");
    }

    fn report(&self, dropped: u64) {
        // This is not logged as a line of the cell: the cell's share of the log is used up.
        tracing::warn!(
            target: "cbs::log",
            cell = %self.cell,
            pid = self.pid,
            stream = self.stream.as_str(),
            dropped,
            "{dropped} lines were left out: more than {} a second", self.lines_per_second
        );
    }
}

/// Splits bytes into lines of at most [`LINE_BYTES_MAX`]. The rest of a longer line is left out.
#[derive(Debug, Default)]
struct Lines {
    line: Vec<u8>,
    /// Set if the line is longer than the part of it that is kept.
    cut: bool,
}

impl Lines {
    fn feed(&mut self, bytes: &[u8], each: &mut impl FnMut(&[u8])) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, whole) =
                piece.strip_suffix(b"\n").map_or((piece, false), |text| (text, true));
            let left = LINE_BYTES_MAX - self.line.len();
            self.cut |= text.len() > left;
            self.line.extend(text.iter().take(left));
            if whole {
                self.end_line(each);
            }
        }
    }

    /// Ends the last line, also without a line break.
    fn end(&mut self, each: &mut impl FnMut(&[u8])) {
        if !self.line.is_empty() {
            self.end_line(each);
        }
    }

    fn end_line(&mut self, each: &mut impl FnMut(&[u8])) {
        if std::mem::take(&mut self.cut) {
            self.line.extend(" … (cut)".as_bytes());
        } else if self.line.last() == Some(&b'\r') {
            self.line.pop();
        }
        each(&self.line);
        self.line.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(pieces: &[&[u8]]) -> Vec<String> {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        let mut each = |line: &[u8]| found.push(String::from_utf8_lossy(line).into_owned());
        for piece in pieces {
            lines.feed(piece, &mut each);
        }
        lines.end(&mut each);
        found
    }

    #[test]
    fn lines_are_whole_however_they_arrive() {
        assert_eq!(lines(&[b"on", b"e\ntwo\r\n\nfo", b"ur"]), ["one", "two", "", "four"]);
    }

    #[test]
    fn a_long_line_is_cut_and_the_next_is_not() {
        let long = vec![b'x'; LINE_BYTES_MAX + 1];
        let found = lines(&[&long, &long, b"\nshort\n"]);
        assert_eq!(
            found.iter().map(String::len).collect::<Vec<_>>(),
            [LINE_BYTES_MAX + " … (cut)".len(), 5]
        );
        let exact = vec![b'x'; LINE_BYTES_MAX];
        assert_eq!(lines(&[&exact, b"\n"]).first().map(String::len), Some(LINE_BYTES_MAX));
    }

    #[test]
    fn bytes_that_are_no_text_become_one() {
        assert_eq!(lines(&[b"a\xffb\n"]), ["a\u{fffd}b"]);
    }

    #[test]
    fn the_last_lines_are_few_and_short() {
        let last = LastLines::default();
        (0..100).for_each(|number| last.push(&format!("{number}{}", "é".repeat(1_000))));
        let text = last.text();
        assert_eq!(text.lines().count(), LAST_LINES);
        assert!(
            text.starts_with("90é")
                && text.lines().all(|line| line.chars().count() == LAST_LINE_CHARS)
        );
    }
}
