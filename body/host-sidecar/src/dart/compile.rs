//! The compiler, with a time limit.

use std::{
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

use process::{Exit, Options, Process};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::timeout,
};

use super::{Dart, Form, cache::PACKAGES};

/// Limit of the compiler's output in bytes: more than any person reads. The rest is read and
/// dropped, and the text says so.
const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Text between place and message of every mistake that the compiler finds.
const MISTAKE: &str = ": Error: ";

/// Reason why there is no program.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The source has mistakes. The text is all output of the compiler.
    Mistakes(String),
    /// The compilation took longer than its limit.
    TooSlow,
    /// The source is not at fault: this Dart cannot compile ahead of time here. One line.
    Impossible(String),
}

/// Kind of share of the machine that a compilation takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effort {
    /// A caller waits for the result.
    Full,
    /// The time of the machine that calls leave unused.
    Spare,
}

/// Compiles a source to a program or to a kernel. Its packages are those of the configuration in
/// its folder. Dropping the future ends the compiler.
pub(super) async fn compile(
    dart: &Dart,
    source: &Path,
    (form, output): (Form, &Path),
    effort: Effort,
    time_max: Duration,
) -> Result<(), Refusal> {
    let mut command = Command::new(&dart.path);
    command.args(["--suppress-analytics", "compile"]);
    match form {
        Form::Program | Form::Source => command.arg("exe"),
        // The kernel is made without Dart's own libraries, which every Dart has: 0.3 MB instead of
        // 9, and half of the time.
        Form::Kernel => command.args(["kernel", "--no-link-platform"]),
    };
    command
        .arg("--packages")
        .arg(source.with_file_name(PACKAGES))
        .arg("--output")
        .arg(output)
        .arg(source);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let niceness = (effort == Effort::Spare).then_some(NICENESS);
    // The compiler starts processes of its own: all of them end together.
    let mut process = Process::spawn(command, Options { niceness, ..Options::default() })
        .await
        .map_err(|error| Refusal::Impossible(error.to_string()))?;
    let Ok((exit, said)) = timeout(time_max, outcome(&mut process)).await else {
        return Err(Refusal::TooSlow);
    };
    if exit.is_success() && output.is_file() {
        tracing::debug!(source = %source.display(), said = said.trim(), "compiled");
        Ok(())
    } else if said.contains(MISTAKE) {
        Err(Refusal::Mistakes(said.trim_end().to_owned()))
    } else {
        Err(Refusal::Impossible(format!("{exit}: {}", said.lines().last().unwrap_or_default())))
    }
}

/// Niceness of a compilation that nobody waits for. On a busy machine Linux gives it a weight of
/// 110, and a call a weight of 1,024.
const NICENESS: i32 = 10;

/// Waits for the end, and returns its kind and the text of both outputs, one after the other.
async fn outcome(process: &mut Process) -> (Exit, String) {
    let stdout = process.stdout.take();
    let stderr = process.stderr.take();
    let (out, mut err) = tokio::join!(read(stdout), read(stderr));
    err.push_str(&out);
    (process.ended().await, err)
}

/// Reads a pipe to its end, as text.
async fn read(pipe: Option<impl AsyncRead + Unpin>) -> String {
    let Some(mut pipe) = pipe else { return String::new() };
    let mut text = Vec::new();
    let mut dropped = 0;
    let mut piece = vec![0; 16 << 10];
    while let Ok(count) = pipe.read(&mut piece).await {
        let Some(new) = piece.get(..count).filter(|new| !new.is_empty()) else { break };
        let fits = new.len().min(OUTPUT_BYTES_MAX - text.len());
        text.extend_from_slice(new.get(..fits).unwrap_or_default());
        dropped += new.len() - fits;
    }
    let mut text = String::from_utf8_lossy(&text).into_owned();
    if dropped > 0 {
        text.push_str(&format!("\n… and {dropped} more bytes"));
    }
    text
}
