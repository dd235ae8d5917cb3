//! Live list of calls: caller and callee of each call, one line for each.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    app::{CallRecord, CallTap},
    output::{self, BAD, FAINT, Format, GOOD, WARNING},
};

/// Limit of calls that wait to be printed. More calls are only counted.
const WAITING_MAX: usize = 1_024;
/// Limit of lines in one window: nobody reads more.
const LINES_MAX: usize = 20;
/// Time of one window, in which [`LINES_MAX`] lines may be printed.
const WINDOW: Duration = Duration::from_secs(1);

/// Shows calls, unless it is quiet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Live {
    quiet: bool,
    format: Format,
}

impl Live {
    pub(super) fn new(quiet: bool, format: Format) -> Self {
        Self { quiet, format }
    }

    /// Returns the function that receives each call. It never waits for the terminal. The printing
    /// thread ends when the function is dropped.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn call_tap(self) -> io::Result<Option<CallTap>> {
        if self.quiet {
            return Ok(None);
        }
        let (report, calls) = sync_channel(WAITING_MAX);
        let lost = Arc::new(AtomicU64::new(0));
        let counted = lost.clone();
        std::thread::Builder::new()
            .name("cbs-calls".to_owned())
            .spawn(move || show(&calls, &counted, self.format))?;
        Ok(Some(Arc::new(move |record| {
            if report.try_send(record).is_err() {
                lost.fetch_add(1, Ordering::Relaxed);
            }
        })))
    }
}

/// Prints calls until no caller is left.
fn show(calls: &Receiver<CallRecord>, lost: &AtomicU64, format: Format) {
    let mut window = Window::new(format);
    loop {
        let next = match window.remains(Instant::now()) {
            None => calls.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(time) => calls.recv_timeout(time),
        };
        window.more += lost.swap(0, Ordering::Relaxed);
        let lines = match &next {
            Ok(record) => window.take(Some(record), Instant::now()),
            Err(RecvTimeoutError::Timeout) => window.take(None, Instant::now()),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        // A closed terminal must not stop the body.
        lines.iter().for_each(|line| drop(output::print(line)));
    }
}

/// The lines of one second.
struct Window {
    format: Format,
    ends: Option<Instant>,
    lines: usize,
    /// Calls that were not shown.
    more: u64,
    /// Number of these that failed.
    failed: u64,
}

impl Window {
    fn new(format: Format) -> Self {
        Self { format, ends: None, lines: 0, more: 0, failed: 0 }
    }

    fn remains(&self, now: Instant) -> Option<Duration> {
        self.ends.map(|ends| ends.saturating_duration_since(now))
    }

    /// Returns the lines to print now.
    fn take(&mut self, record: Option<&CallRecord>, now: Instant) -> Vec<String> {
        let mut lines = Vec::new();
        if self.ends.is_some_and(|ends| ends <= now) {
            lines.extend((self.more > 0).then(|| self.rest()));
            *self = Self::new(self.format);
        }
        let Some(record) = record else { return lines };
        self.ends.get_or_insert(now + WINDOW);
        if self.lines < LINES_MAX {
            self.lines += 1;
            lines.push(line(record, self.format));
        } else {
            self.more += 1;
            self.failed += u64::from(!matches!(record.outcome, Some(Ok(()))));
        }
        lines
    }

    /// Returns one line for all calls that were not shown.
    fn rest(&self) -> String {
        let Self { more, failed, .. } = self;
        match self.format {
            Format::Json => json!({ "more": more, "failed": failed }).to_string(),
            Format::Human if *failed > 0 => {
                format!("{FAINT}… and {more} more calls{FAINT:#}, {BAD}{failed} failed{BAD:#}")
            }
            Format::Human => format!("{FAINT}… and {more} more calls{FAINT:#}"),
        }
    }
}

fn line(record: &CallRecord, format: Format) -> String {
    let now = output::moment(cbs::now_ms());
    let outcome = match &record.outcome {
        None => "given up",
        Some(Ok(())) => "ok",
        Some(Err(code)) => code.as_str(),
    };
    if format == Format::Json {
        let line = json!({
            "time": now, "source": record.source.as_str(), "target": record.target.to_string(), "outcome": outcome,
            "via": record.via.to_string(), "elapsed_us": record.elapsed.as_secs_f64() * 1e6,
        });
        return line.to_string();
    }
    let style = match &record.outcome {
        None => WARNING,
        Some(Ok(())) => GOOD,
        Some(Err(_)) => BAD,
    };
    let time = now.get(11..23).unwrap_or(&now);
    let source = if record.source.is_empty() { "a client" } else { short(record.source.as_str()) };
    let (source, target) = (output::sanitize(source), record.target.to_string());
    let via = record.via;
    let took = output::short(record.elapsed);
    let outcome = output::sanitize(outcome);
    format!(
        "{FAINT}{time}{FAINT:#} {source} -> {} {style}{outcome}{style:#} {FAINT}{via}{FAINT:#} {took}",
        short(&target)
    )
}

/// Returns the short form of a target: only the name of a cell, or `flow` with the name of a flow.
fn short(target: &str) -> &str {
    target.strip_prefix("cell ").unwrap_or(target)
}

#[cfg(test)]
mod tests {
    use cbs::{Code, Transport};

    use super::*;

    fn record(outcome: Option<Result<(), Code>>) -> Result<CallRecord, cbs::NameError> {
        let target = "logic.greet".parse()?;
        let via = Transport::Nats;
        let elapsed = Duration::from_millis(2);
        Ok(CallRecord { source: "flow greeting".into(), target, outcome, via, elapsed })
    }

    #[test]
    fn a_line_says_who_called_whom_how_it_ended_how_far_and_how_long() -> Result<(), cbs::NameError>
    {
        let text =
            anstream::adapter::strip_str(&line(&record(Some(Ok(())))?, Format::Human)).to_string();
        assert!(text.ends_with(" flow greeting -> logic.greet ok nats 2.0 ms"), "{text}");
        let client = CallRecord { source: Default::default(), ..record(None)? };
        let text = anstream::adapter::strip_str(&line(&client, Format::Human)).to_string();
        assert!(text.contains(" a client -> logic.greet given up "), "{text}");
        Ok(())
    }

    #[test]
    fn a_flood_has_twenty_lines_a_second_and_one_that_counts_the_rest() -> Result<(), cbs::NameError>
    {
        let mut window = Window::new(Format::Human);
        let start = Instant::now();
        let failed = record(Some(Err(Code::Timeout)))?;
        let lines: Vec<String> = (0..100).flat_map(|_| window.take(Some(&failed), start)).collect();
        assert_eq!(lines.len(), 20);
        assert_eq!(window.remains(start), Some(WINDOW));
        let rest = window.take(None, start + WINDOW).concat();
        assert!(rest.contains("80 more calls") && rest.contains("80 failed"), "{rest}");
        assert_eq!(window.take(Some(&failed), start + 2 * WINDOW).len(), 1);
        assert_eq!(window.take(None, start + 3 * WINDOW), Vec::<String>::new());
        Ok(())
    }
}
