//! The command line: one file for each command.

mod call;
mod check;
mod completions;
mod demo;
mod deploy;
mod describe;
mod dev;
mod doctor;
mod events;
mod flow;
mod history;
mod input;
mod log_level;
mod ls;
mod names;
mod new;
mod top;
mod trace;
mod up;

use std::io;

pub(crate) use self::{completions::answer as answer_shell, input::duration};
use cbs::{FlowName, Namespace, NativeCell, Target};
use clap::{Parser, Subcommand};

use crate::{
    exit::{Failure, Outcome, Status},
    nats,
    output::Format,
    telemetry::Log,
};

const AFTER_HELP: &str = "Exit status: 0 done, 1 the work failed, 2 could not start, 64 wrong usage.\n\
    The log goes to standard error; CBS_LOG filters it (`debug`, `info,bus_nats=trace`).";

/// Cells on NATS: each does one task, and they meet only on the bus.
#[derive(Debug, Parser)]
#[command(name = "cbs", version, after_help = AFTER_HELP, disable_help_subcommand = true, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    globals: Globals,
}

/// Options of every command.
#[derive(Clone, Debug, clap::Args)]
struct Globals {
    /// The namespace: keeps things apart, not people [default: default; of `demo`: a new one]
    #[arg(long, global = true, env = "CBS_NAMESPACE", value_name = "NAME", hide_env_values = true, value_parser = namespace)]
    namespace: Option<OptionalNamespace>,
    /// The form of what goes to standard output
    #[arg(long, global = true, value_enum, default_value_t)]
    format: Format,
    #[command(flatten)]
    nats: nats::Flags,
    /// The program's log.
    #[arg(skip)]
    log: Log,
}

impl Globals {
    fn namespace_given(&self) -> Option<Namespace> {
        self.namespace.clone().flatten()
    }

    fn namespace(&self) -> Namespace {
        self.namespace_given().unwrap_or_default()
    }
}

/// A namespace, or `None` for an empty variable, which counts as not set.
type OptionalNamespace = Option<Namespace>;

fn namespace(text: &str) -> Result<OptionalNamespace, cbs::NameError> {
    if text.is_empty() { Ok(None) } else { Namespace::new(text).map(Some) }
}

/// Reads a target: a name with a dot is a cell, one without a dot is a flow.
fn target(text: &str) -> Result<Target, cbs::NameError> {
    if text.contains([' ', '.']) { text.parse() } else { FlowName::new(text).map(Target::Flow) }
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Up(up::Up),
    Dev(dev::Dev),
    Check(check::Check),
    Call(call::Call),
    Flow(flow::Flow),
    Ls(ls::Ls),
    Describe(describe::Describe),
    Deploy(deploy::Deploy),
    Diff(deploy::DiffSpecs),
    Undeploy(deploy::Undeploy),
    Rollback(deploy::Rollback),
    History(history::History),
    Get(history::Get),
    Bodies(history::Bodies),
    Events(events::Events),
    Top(top::Top),
    Trace(trace::Trace),
    LogLevel(log_level::LogLevel),
    New(new::New),
    Doctor(doctor::Doctor),
    Completions(completions::Completions),
}

/// Reads the arguments. Help and version are printed here, and end with `Done`. Wrong arguments end
/// with `Usage`.
pub(crate) fn parse() -> Result<Cli, Failure> {
    Cli::try_parse().map_err(|error| {
        let status = if error.use_stderr() { Status::Usage } else { Status::Done };
        match error.print() {
            // A closed pipe is no error.
            Err(unwritten)
                if status == Status::Done && unwritten.kind() != io::ErrorKind::BrokenPipe =>
            {
                unwritten.into()
            }
            _ => Failure { status, message: String::new() },
        }
    })
}

impl Cli {
    /// Returns the level of the log, unless `CBS_LOG` sets another: bodies log their work, the
    /// other commands only errors.
    pub(crate) fn log_level(&self) -> &'static str {
        if matches!(self.command, Command::Up(_) | Command::Dev(_)) { "info" } else { "warn" }
    }

    /// Runs the command of the arguments.
    pub(crate) fn run(self, cells: Vec<NativeCell>, log: Log) -> Outcome {
        let Self { command, mut globals } = self;
        globals.log = log;
        match command {
            Command::Demo(demo) => on_all_cores(demo.run(&globals)),
            Command::Up(up) => on_all_cores(up.run(&globals, cells)),
            Command::Dev(dev) => on_all_cores(dev.run(&globals, cells)),
            Command::Check(check) => check.run(globals.format),
            Command::Call(call) => on_this_thread(call.run(&globals)),
            Command::Flow(flow) => on_this_thread(flow.run(&globals)),
            Command::Ls(ls) => on_this_thread(ls.run(&globals)),
            Command::Describe(describe) => on_this_thread(describe.run(&globals)),
            Command::Deploy(deploy) => on_this_thread(deploy.run(&globals)),
            Command::Diff(diff) => on_this_thread(diff.run(&globals)),
            Command::Undeploy(undeploy) => on_this_thread(undeploy.run(&globals)),
            Command::Rollback(rollback) => on_this_thread(rollback.run(&globals)),
            Command::History(history) => on_this_thread(history.run(&globals)),
            Command::Get(get) => on_this_thread(get.run(&globals)),
            Command::Bodies(bodies) => on_this_thread(bodies.run(&globals)),
            Command::Events(events) => on_this_thread(events.run(&globals)),
            Command::Trace(trace) => on_this_thread(trace.run(&globals)),
            Command::LogLevel(log_level) => on_this_thread(log_level.run(&globals)),
            Command::Top(top) => on_this_thread(top.run(&globals)),
            Command::New(new) => new.run(globals.format),
            Command::Doctor(doctor) => on_this_thread(doctor.run(&globals)),
            Command::Completions(completions) => completions.run(),
        }
    }
}

fn on_all_cores(work: impl Future<Output = Outcome>) -> Outcome {
    run_on(&mut tokio::runtime::Builder::new_multi_thread(), work)
}

/// Runs on one thread, for a command that makes a call and ends: starting threads would be most of
/// its work.
fn on_this_thread(work: impl Future<Output = Outcome>) -> Outcome {
    run_on(&mut tokio::runtime::Builder::new_current_thread(), work)
}

fn run_on(builder: &mut tokio::runtime::Builder, work: impl Future<Output = Outcome>) -> Outcome {
    let runtime = builder.enable_all().build().map_err(Failure::not_started)?;
    let outcome = runtime.block_on(work);
    // A thread that still waits for a line of standard input must not hold up the end.
    runtime.shutdown_background();
    outcome
}
