//! `cbs doctor`: a check of what this machine has and lacks.

use std::{io::IsTerminal, path::Path, process::Stdio, time::Duration};

use bus_nats::{Nats, ServerInfo, URL_DEFAULT, server};
use serde::Serialize;
use tokio::process::Command;

use super::Globals;
use crate::{
    exit::{Outcome, Status},
    identity,
    output::{self, BAD, Format, GOOD, WARNING},
    runfile,
};

/// Limit of the time in which a program reports its version.
const VERSION_LIMIT: Duration = Duration::from_secs(5);
/// The oldest server that the project is tested with.
const SERVER_VERSION_MIN: (u64, u64) = (2, 12);
/// The oldest Rust that the project builds with.
const RUST_VERSION_MIN: (u64, u64) = (1, 95);

/// Shows what this machine has and lacks, and what to do about it.
#[derive(Debug, clap::Args)]
pub(crate) struct Doctor {}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    /// Not as expected, but nothing depends on it.
    Note,
    Missing,
}

/// One line of the table.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    state: State,
    found: String,
    todo: String,
}

impl Finding {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self { what, state: State::Ok, found: found.into(), todo: String::new() }
    }

    fn note(what: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { what, state: State::Note, found: found.into(), todo: todo.into() }
    }

    fn missing(what: &'static str, found: impl Into<String>, todo: impl Into<String>) -> Self {
        Self { state: State::Missing, ..Self::note(what, found, todo) }
    }
}

impl Doctor {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let (program, mut server, rust) = tokio::join!(program(), server(globals), rust());
        // Who has a server needs no program to start one.
        let served = server.first().is_some_and(|server| server.state == State::Ok);
        let program = match program.state {
            State::Missing if served => Finding { state: State::Note, ..program },
            _ => program,
        };
        let mut findings = vec![program];
        findings.append(&mut server);
        findings.extend([rust, python(), dart().await, terminal()]);
        match globals.format {
            Format::Json => output::print_json(&findings)?,
            Format::Human => output::print(table(&findings))?,
        }
        let missing = findings.iter().any(|finding| finding.state == State::Missing);
        Ok(if missing { Status::Failed } else { Status::Done })
    }
}

/// Checks the program that `demo` and `up` start if no server is named.
async fn program() -> Finding {
    const WHAT: &str = "nats-server";
    let path = match server::find() {
        Ok(path) => path,
        Err(missing) => return Finding::missing(WHAT, "no program", missing.to_string()),
    };
    let found = version(&path, &["--version"]).await;
    match found.as_deref().map(|line| (line, numbers(line))) {
        Some((_, Some(version))) if version < SERVER_VERSION_MIN => Finding::missing(
            WHAT,
            format!("{} {}.{}", path.display(), version.0, version.1),
            "install 2.12 or newer",
        ),
        Some((line, Some(_))) => Finding::ok(WHAT, format!("{} ({line})", path.display())),
        _ => Finding::missing(
            WHAT,
            path.display().to_string(),
            "its version cannot be read: install nats-server 2.12",
        ),
    }
}

/// Checks the server that a client command would use now.
async fn server(globals: &Globals) -> Vec<Finding> {
    const WHAT: &str = "NATS server";
    let known = globals.nats.named().map(str::to_owned).or_else(runfile::find);
    let is_known = known.is_some();
    let url = known.unwrap_or_else(|| URL_DEFAULT.to_owned());
    let options = globals.nats.options(&url, &globals.namespace(), identity::client());
    match Nats::connect_client(options).await {
        Ok(nats) => {
            let info = nats.server();
            nats.close().await;
            reported(&info)
        }
        Err(error) if is_known => vec![Finding::missing(WHAT, error.message, error.hint)],
        // Another server at the usual port that refuses this client (password, TLS) is no error.
        Err(error) if runfile::lives(&url) => vec![Finding::note(WHAT, error.message, error.hint)],
        Err(_) => {
            vec![Finding::note(
                WHAT,
                "none runs for this folder",
                "`cbs demo` and `cbs up` start one of their own",
            )]
        }
    }
}

fn reported(info: &ServerInfo) -> Vec<Finding> {
    let found = format!("{} at {}", info.version, info.url);
    let server = match numbers(&info.version) {
        Some(version) if version >= SERVER_VERSION_MIN => Finding::ok("NATS server", found),
        _ => Finding::missing("NATS server", found, "upgrade it to 2.12 or newer"),
    };
    let jetstream = if info.jetstream {
        Finding::ok("JetStream", "on")
    } else {
        Finding::note(
            "JetStream",
            "off",
            "calls work without; durable topics will need `jetstream {}` in its configuration",
        )
    };
    let payload =
        Finding::ok("largest message", format!("{} KiB (max_payload)", info.max_payload / 1024));
    vec![server, jetstream, payload]
}

async fn rust() -> Finding {
    const WHAT: &str = "Rust";
    const MEND: &str = "cells in Rust need Rust 1.95 or newer: https://rustup.rs";
    let cargo = version(Path::new("cargo"), &["--version"]).await;
    match (version(Path::new("rustc"), &["--version"]).await, cargo) {
        (Some(rustc), Some(_))
            if numbers(&rustc).is_some_and(|version| version >= RUST_VERSION_MIN) =>
        {
            Finding::ok(WHAT, rustc)
        }
        (Some(rustc), Some(_)) => Finding::note(WHAT, rustc, MEND),
        _ => Finding::note(WHAT, "no rustc and cargo on PATH", MEND),
    }
}

/// Checks the libpython of this program, and the modules that its cells can import.
#[cfg(feature = "python")]
fn python() -> Finding {
    const WHAT: &str = "Python";
    let about = host_python::python_info();
    let library = about
        .library
        .as_ref()
        .map_or_else(|| "linked in".into(), |path| path.display().to_string());
    let found =
        format!("{} ({library}), cells import from {}", about.version, about.environment.display());
    match about.problem {
        Some(problem) => Finding::missing(WHAT, found, problem.to_string()),
        None if about.has_msgspec => Finding::ok(WHAT, found),
        None => {
            Finding::note(WHAT, found, "msgspec is not there yet: the first Python cell fetches it")
        }
    }
}

#[cfg(not(feature = "python"))]
fn python() -> Finding {
    Finding::note(
        "Python",
        "not built in",
        "for cells in Python build `cbs` with the feature `python` (its default)",
    )
}

/// Checks the Dart that compiles Dart cells.
async fn dart() -> Finding {
    const WHAT: &str = "Dart";
    // It is run once to be believed.
    match tokio::task::spawn_blocking(host_sidecar::dart::find).await {
        Ok(Ok(dart)) => Finding::ok(WHAT, format!("{} ({})", dart.version, dart.path.display())),
        Ok(Err(error)) => Finding::note(WHAT, "none", error.to_string()),
        Err(error) => Finding::note(WHAT, "unknown", error.to_string()),
    }
}

fn terminal() -> Finding {
    let words = |is_terminal| if is_terminal { "terminal" } else { "no terminal" };
    let input = std::io::stdin().is_terminal();
    let output = std::io::stdout().is_terminal();
    Finding::ok("terminal", format!("input: {}, output: {}", words(input), words(output)))
}

/// Returns the first line that a program prints about itself; `None` if it cannot be run, fails or
/// hangs.
async fn version(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(VERSION_LIMIT, command.output()).await.ok()?.ok()?;
    let line = String::from_utf8_lossy(&output.stdout).lines().next().map(str::to_owned);
    line.filter(|_| output.status.success())
}

/// Finds the first `major.minor` in a text.
fn numbers(text: &str) -> Option<(u64, u64)> {
    text.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(|word| {
        let mut parts = word.split('.').map(str::parse);
        Some((parts.next()?.ok()?, parts.next()?.ok()?))
    })
}

fn table(findings: &[Finding]) -> String {
    let rows = findings.iter().map(|finding| {
        let state = match finding.state {
            State::Ok => "ok",
            State::Note => "note",
            State::Missing => "missing",
        };
        [finding.what.to_owned(), state.to_owned(), finding.found.clone(), finding.todo.clone()]
    });
    let table = output::table(["what", "state", "found", "what to do"], rows);
    let mut lines = table.lines();
    let head = lines.next().unwrap_or_default().to_owned();
    let body = lines.zip(findings).map(|(line, finding)| coloured(line, finding));
    std::iter::once(head).chain(body).collect::<Vec<_>>().join("\n")
}

fn coloured(line: &str, finding: &Finding) -> String {
    let (word, style) = match finding.state {
        State::Ok => (" ok ", GOOD),
        State::Note => (" note ", WARNING),
        State::Missing => (" missing ", BAD),
    };
    line.replacen(word, &format!("{style}{word}{style:#}"), 1)
}

#[cfg(test)]
#[path = "doctor_tests.rs"]
mod tests;
