//! `cbs dev`: the first steps of a developer, and then the loop of edit and run.

mod live;

use cbs::{BodyId, NativeCell};

pub(super) use self::live::Live;
use super::{Globals, up::Up};
use crate::{exit::Outcome, http, specs, telemetry};

/// Runs what is in the folder, follows its files, and shows who calls whom.
///
/// One terminal is enough: it starts NATS if there is none, prints what runs and a call ready to
/// paste, and serves what is saved a moment later, without a failed call. An empty folder is
/// fine: it waits for the first cell.
#[derive(Debug, clap::Args)]
pub(crate) struct Dev {
    /// Files and folders of specs; of a folder what `cbs up` reads of it and of its `specs`
    /// [default: .]
    #[arg(value_name = "PATH")]
    paths: Vec<std::path::PathBuf>,
    /// The folder of JSON Schemas [default: the nearest `schemas` in or above a spec's folder]
    #[arg(long, value_name = "DIR")]
    schemas: Option<std::path::PathBuf>,
    /// Flows may call cells that no spec declares: they run elsewhere
    #[arg(long)]
    allow_remote: bool,
    /// The body's id [default: <host>-<6 random>]
    #[arg(long, value_name = "ID")]
    body: Option<BodyId>,
    #[command(flatten)]
    http: http::Flags,
    #[command(flatten)]
    telemetry: telemetry::Flags,
    /// Do not show who calls whom
    #[arg(long, short)]
    quiet: bool,
}

impl Dev {
    pub(crate) async fn run(self, globals: &Globals, cells: Vec<NativeCell>) -> Outcome {
        let Self { mut paths, schemas, allow_remote, body, http, telemetry, quiet } = self;
        if paths.is_empty() {
            paths.push(".".into());
        }
        let paths = specs::Paths { paths, schemas, allow_remote, growing: true };
        Up::dev(body, http, telemetry, Live::new(quiet, globals.format))
            .run_with(globals, cells, Some(paths))
            .await
    }
}
