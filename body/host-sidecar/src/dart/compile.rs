//! The compiler, with a time limit.

use std::{
    path::Path,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::{Child, Command},
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
    if effort == Effort::Spare {
        be_nice(&mut command);
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    // The compiler starts processes of its own: all of them end together.
    command.process_group(0).kill_on_drop(true);
    let child = command.spawn().map_err(|error| Refusal::Impossible(error.to_string()))?;
    let mut family = Family { child };
    let Ok((status, said)) = timeout(time_max, family.outcome()).await else {
        return Err(Refusal::TooSlow);
    };
    match status {
        Ok(status) if status.success() && output.is_file() => {
            tracing::debug!(source = %source.display(), said = said.trim(), "compiled");
            Ok(())
        }
        Ok(_) if said.contains(MISTAKE) => Err(Refusal::Mistakes(said.trim_end().to_owned())),
        Ok(status) => Err(Refusal::Impossible(format!(
            "{status}: {}",
            said.lines().last().unwrap_or_default()
        ))),
        Err(error) => Err(Refusal::Impossible(error.to_string())),
    }
}

/// Niceness of a compilation that nobody waits for. On a busy machine Linux gives it a weight of
/// 110, and a call a weight of 1,024.
const NICE: i32 = 10;

fn be_nice(command: &mut Command) {
    let prepare = || {
        // If the priority cannot be lowered, it stays as it is.
        // SAFETY: it takes a number and changes nothing but this process's priority.
        let _ = unsafe { nix::libc::nice(NICE) };
        Ok(())
    };
    // SAFETY: between fork and exec there is one call, and that is safe in a signal handler:
    // setpriority.
    unsafe { command.pre_exec(prepare) };
}

struct Family {
    child: Child,
}

impl Family {
    /// Waits for the end, and returns the status and the text of both outputs, one after the other.
    async fn outcome(&mut self) -> (std::io::Result<ExitStatus>, String) {
        let stdout = self.child.stdout.take();
        let stderr = self.child.stderr.take();
        let (out, mut err) = tokio::join!(read(stdout), read(stderr));
        err.push_str(&out);
        (self.child.wait().await, err)
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        // After a process has been waited for, it has no id here, and another process may have its
        // number.
        if let Some(id) = self.child.id().and_then(|id| i32::try_from(id).ok()) {
            _ = killpg(Pid::from_raw(id), Signal::SIGKILL);
        }
    }
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
