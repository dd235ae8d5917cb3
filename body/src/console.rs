//! The terminal on which cells print and ask.

use std::{
    io::{self, BufRead, IsTerminal, Write},
    sync::Arc,
};

use cbs::{BoxFuture, CellError, Code, Console};
use tokio::sync::{Mutex, mpsc, oneshot};

/// Limit of lines that wait for the writer. A cell that prints one more waits too.
const LINES_WAITING_MAX: usize = 256;
/// Limit of the length of an answer, in bytes.
const ANSWER_BYTES_MAX: u64 = 64 * 1024;

/// The program's own terminal. One writer handles all output. If questions are allowed, there is
/// one question at a time.
pub(crate) struct Terminal {
    lines: mpsc::Sender<Line>,
    asking: Option<Arc<Mutex<()>>>,
}

/// Terminal that holds back what is printed, for a program that writes to standard error as well.
/// The held lines are shown once, at the end.
pub(crate) struct Held {
    terminal: Terminal,
    lines: Mutex<Vec<String>>,
}

impl Held {
    /// Wraps a terminal.
    pub(crate) fn new(terminal: Terminal) -> Self {
        Self { terminal, lines: Mutex::default() }
    }

    /// Prints the lines that were held back.
    ///
    /// # Errors
    /// The lines cannot be written.
    pub(crate) async fn release(&self) -> Result<(), CellError> {
        for line in std::mem::take(&mut *self.lines.lock().await) {
            self.terminal.print(line).await?;
        }
        Ok(())
    }
}

impl Console for Held {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async move {
            self.lines.lock().await.push(line);
            Ok(())
        })
    }

    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        self.terminal.ask(question)
    }
}

struct Line {
    text: String,
    written: oneshot::Sender<io::Result<()>>,
}

impl Terminal {
    /// Makes a terminal for a body that serves: standard input is never read.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn silent() -> io::Result<Self> {
        Ok(Self { lines: writer()?, asking: None })
    }

    /// Makes a terminal for a program with a user or a pipe: questions are answered from standard
    /// input.
    ///
    /// # Errors
    /// No thread can be started.
    pub(crate) fn asking() -> io::Result<Self> {
        Ok(Self { asking: Some(Arc::default()), ..Self::silent()? })
    }
}

impl Console for Terminal {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async move {
            let (written, done) = oneshot::channel();
            let sent = self.lines.send(Line { text: line, written }).await;
            let gone = || io::Error::other("its writer has ended");
            let result =
                if sent.is_ok() { done.await.unwrap_or_else(|_| Err(gone())) } else { Err(gone()) };
            result.map_err(|error| broken("standard output cannot be written", &error))
        })
    }

    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async move {
            let Some(asking) = &self.asking else { return Ok(None) };
            // Held by the reader, not by this future: a caller that gives up leaves a reader
            // behind, and the next question must not be answered by the same line.
            let turn = asking.clone().lock_owned().await;
            let answer = tokio::task::spawn_blocking(move || {
                let answer = read_answer(&question);
                drop(turn);
                answer
            });
            answer
                .await
                .map_err(io::Error::other)
                .flatten()
                .map_err(|error| broken("standard input cannot be read", &error))
        })
    }
}

/// Starts the thread that writes to standard output. A slow reader delays the cells that print, and
/// no other work. The thread ends with the last sender.
fn writer() -> io::Result<mpsc::Sender<Line>> {
    let (lines, mut waiting) = mpsc::channel::<Line>(LINES_WAITING_MAX);
    std::thread::Builder::new().name("cbs-stdout".to_owned()).spawn(move || {
        while let Some(line) = waiting.blocking_recv() {
            let mut stdout = io::stdout().lock();
            let result = writeln!(stdout, "{}", line.text).and_then(|()| stdout.flush());
            // The caller may have given up; the line is printed all the same.
            let _ = line.written.send(result);
        }
    })?;
    Ok(lines)
}

/// Reads one line of standard input. The question is shown where the user can see it. Returns
/// `None` at the end of input.
fn read_answer(question: &str) -> io::Result<Option<String>> {
    let mut stdin = io::stdin().lock();
    if io::stdin().is_terminal() {
        let mut stderr = io::stderr().lock();
        write!(stderr, "{question}").and_then(|()| stderr.flush())?;
    }
    let mut answer = Vec::new();
    let read = io::Read::take(&mut stdin, ANSWER_BYTES_MAX).read_until(b'\n', &mut answer)?;
    if io::stdin().is_terminal() && !answer.ends_with(b"\n") {
        // Ctrl-D ends the answer, and not the question's line.
        writeln!(io::stderr())?;
    }
    if read as u64 == ANSWER_BYTES_MAX && !answer.ends_with(b"\n") {
        return Err(io::Error::other(format!(
            "a line has more than {} KiB",
            ANSWER_BYTES_MAX / 1024
        )));
    }
    let answer = String::from_utf8(answer).map_err(|_| io::Error::other("it is no UTF-8 text"))?;
    Ok((read > 0).then(|| answer.trim_end_matches(['\r', '\n']).to_owned()))
}

fn broken(what: &str, error: &io::Error) -> CellError {
    CellError::new(Code::Internal, format!("{what}: {error}"))
}
