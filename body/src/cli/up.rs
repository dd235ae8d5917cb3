//! `cbs up`: runs a body.

mod files;
mod joining;

use std::{path::Path, sync::Arc, time::Duration};

use bus_nats::Nats;
use cbs::{BodyId, NativeCell, Target};
use clap::ValueEnum;
use futures::{Stream, StreamExt, stream};
use model::Route;
use serde_json::json;

use super::{Globals, dev::Live, input};
use crate::{
    app::{App, Change, Ended, Plan, TargetStatus, hosts},
    console::Terminal,
    exit::{Failure, Outcome, Status},
    health::BodyStatus,
    http::{self, Http},
    identity,
    nats::{ServerChoice, Store, Whose, not_connected},
    output::{self, BOLD, Format},
    signals::Signals,
    specs,
    telemetry::{self, Telemetry},
    watch::Watch,
};

/// Folder where our own server keeps its streams, relative to the working folder.
const STORE: &str = ".cbs/nats";
/// Time that `cbs dev` gives running calls to finish: its user waits.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Limit of the cells for which an example input is searched: the user waits.
const EXAMPLES_MAX: usize = 32;

/// Share of traces that a body records whole by default.
const TRACE_RATIO: f64 = 0.01;
/// Share of traces that `cbs dev` records whole by default.
const TRACE_RATIO_DEV: f64 = 1.0;

/// Runs cells and flows until SIGINT or SIGTERM, then finishes what runs.
///
/// With PATHs it runs these specs; without any it joins the fleet and runs its part of what
/// `cbs deploy` says.
#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    paths: specs::OptionalPaths,
    /// Label of the body, for the `place` and `spread` of deployed cells; may be given several
    /// times
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = joining::label, conflicts_with = "paths")]
    labels: Vec<(String, String)>,
    /// The body's id [default: <host>-<6 random>]
    #[arg(long, value_name = "ID")]
    body: Option<BodyId>,
    /// Route of calls to cells whose spec names none: here first, or always over NATS
    #[arg(long, value_enum, default_value_t)]
    route: RouteName,
    #[command(flatten)]
    http: http::Flags,
    #[command(flatten)]
    telemetry: telemetry::Flags,
    /// Time limit to finish running calls when asked to stop
    #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "30s")]
    drain_timeout: Duration,
    /// Follow the files: what is saved serves a moment later, without a failed call
    #[arg(long, requires = "paths")]
    watch: bool,
    /// Set when `cbs dev` runs it.
    #[arg(skip)]
    live: Option<Live>,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum RouteName {
    #[default]
    LocalFirst,
    Nats,
}

impl Up {
    pub(crate) async fn run(&self, globals: &Globals, cells: Vec<NativeCell>) -> Outcome {
        self.run_with(globals, cells, self.paths.given()).await
    }

    /// Makes the command as `cbs dev` runs it: it waits for files that do not exist yet, and shows
    /// calls.
    pub(super) fn dev(
        body: Option<BodyId>,
        http: http::Flags,
        telemetry: telemetry::Flags,
        live: Live,
    ) -> Self {
        Self {
            paths: specs::OptionalPaths::default(),
            labels: Vec::new(),
            body,
            route: RouteName::default(),
            http,
            telemetry,
            drain_timeout: DRAIN_TIMEOUT,
            watch: true,
            live: Some(live),
        }
    }

    /// Runs these specs; without any, joins the fleet.
    pub(super) async fn run_with(
        &self,
        globals: &Globals,
        cells: Vec<NativeCell>,
        static_specs: Option<specs::Paths>,
    ) -> Outcome {
        let specs = static_specs.map(|paths| self.read(paths)).transpose()?;
        files::raise_limit(specs.as_ref().map(|read| &read.specs));
        let mut signals = Signals::new()?;
        let status =
            BodyStatus::new(self.body.clone().unwrap_or_else(identity::body), globals.namespace());
        let ratio = if self.live.is_some() { TRACE_RATIO_DEV } else { TRACE_RATIO };
        let telemetry = Telemetry::start(&self.telemetry, ratio, &globals.log, &status)?;
        status.recorded(telemetry.counters());
        // First of all: probes may ask from the beginning.
        let http = Http::open(&self.http, &status).await?;
        let view =
            BodyView { status, http: http.as_ref().map(Http::url), telemetry: telemetry.clone() };
        let outcome = self.run_seen(globals, cells, specs, view, &mut signals).await;
        if let Some(http) = http {
            http.close().await;
        }
        telemetry.stop().await;
        outcome
    }

    async fn run_seen(
        &self,
        globals: &Globals,
        cells: Vec<NativeCell>,
        specs: Option<StaticSpecs>,
        view: BodyView,
        signals: &mut Signals,
    ) -> Outcome {
        let mut server = tokio::select! {
            server = globals.nats.host(Store::Kept(Path::new(STORE))) => server?,
            signal = signals.next() => return Err(too_soon(signal)),
        };
        let url = server.url().map(str::to_owned);
        let discovery = Discovery::new(&server);
        let outcome = tokio::select! {
            outcome = async {
                match specs {
                    Some(specs) => {
                        let server = ServerAddress { url: url.as_deref(), discovery };
                        self.serve(globals, specs, cells, server, &view, signals).await
                    }
                    None => Box::pin(self.join(globals, cells, url.as_deref(), &view, signals)).await,
                }
            } => outcome,
            never = server.keep() => match never {},
        };
        server.stop().await;
        outcome
    }

    /// Reads the first specs. `cbs dev` starts without those that have mistakes, and reports them.
    fn read(&self, paths: specs::Paths) -> Result<StaticSpecs, Failure> {
        match paths.load() {
            Ok(specs) => {
                specs::tell_notes(specs.notes());
                Ok(StaticSpecs { specs, wrong: None, paths })
            }
            Err(error @ spec::Error::Mistakes(_)) if self.live.is_some() => {
                Ok(StaticSpecs { specs: spec::Specs::default(), wrong: Some(error), paths })
            }
            Err(error) => Err(specs::failure(&error)),
        }
    }

    async fn serve(
        &self,
        globals: &Globals,
        StaticSpecs { specs, wrong, paths }: StaticSpecs,
        cells: Vec<NativeCell>,
        ServerAddress { url, discovery }: ServerAddress<'_>,
        view: &BodyView,
        signals: &mut Signals,
    ) -> Outcome {
        let namespace = globals.namespace();
        let body = view.status.body.clone();
        let route = self.route();
        let console = Arc::new(Terminal::silent()?);
        let watch = self.watch.then(|| Watch::new(paths, &specs, wrong.as_ref())).transpose();
        let watch = watch.map_err(|error| {
            Failure::not_started(format_args!("files cannot be watched: {error}"))
        })?;
        let (patient, call_tap) =
            (self.live.is_some(), self.live.map(Live::call_tap).transpose()?.flatten());
        let planning = async {
            let nats = match url {
                Some(url) => {
                    let options = globals.nats.options(url, &namespace, body.clone());
                    Some(Nats::connect(options).await.map_err(|error| not_connected(&error))?)
                }
                None => None,
            };
            let server = nats.as_ref().map(Nats::server);
            let hosts = hosts(cells, &namespace, nats.as_ref(), self.watch)?;
            if let Some(nats) = &nats {
                view.telemetry.answer(nats);
                joining::warn_of_both(nats, &namespace, &specs).await;
            }
            let plan = Plan {
                specs,
                hosts,
                status: view.status.clone(),
                route,
                console,
                observer: None,
                call_tap,
                span_sink: view.telemetry.span_sink(),
                patient,
            };
            Ok::<_, Failure>((plan, nats, server))
        };
        let (plan, nats, server) = tokio::select! {
            planned = planning => planned?,
            signal = signals.next() => return Err(too_soon(signal)),
        };
        let stops =
            stream::unfold(signals, |signals| async { Some((signals.next().await, signals)) });
        let mut stops = std::pin::pin!(stops);
        let (app, told_to_stop) = start(plan, nats, &mut stops).await?;
        let address = server.map(|server| server.url);
        let statuses = app.statuses();
        let (address, http) = (address.as_deref(), view.http.as_deref());
        let mut report =
            ReadyReport { globals, body: &body, address, http, discovery, patient, statuses };
        if told_to_stop.is_none() {
            report.report()?;
        }
        let stops = stream::iter(told_to_stop).chain(stops);
        let news = stream::unfold(watch, |watch| async {
            let mut watch = watch?;
            Some((watch.next().await, Some(watch)))
        });
        // Without a watch no event ever comes.
        let news = news.chain(stream::pending());
        let tell_again = |app: &App, changes: &[Change]| {
            if patient && changes.iter().any(Change::is_of_the_table) {
                report.statuses = app.statuses();
                // A closed terminal must not stop the body.
                drop(report.report());
            }
        };
        let (stops, news) = (std::pin::pin!(stops), std::pin::pin!(news));
        self.ended(&app.run(stops, news, self.drain_timeout, tell_again).await)
    }

    fn route(&self) -> Route {
        match self.route {
            RouteName::LocalFirst => Route::LocalFirst,
            RouteName::Nats => Route::Nats,
        }
    }

    fn ended(&self, ended: &Ended) -> Outcome {
        match ended {
            Ended::Drained => Ok(Status::Done),
            Ended::TimeUp => {
                let time = output::short(self.drain_timeout);
                Err(Failure::failed(format_args!(
                    "what ran was not finished within {time}; it was cut off"
                )))
            }
            Ended::AtOnce => Err(Failure::failed("stopped at once; what ran was cut off")),
        }
    }
}

/// Starts the body. If it cannot start, its connection is closed before our own server is stopped:
/// a lost connection would cause one more error message.
async fn start(
    plan: Plan,
    nats: Option<Nats>,
    stops: &mut (impl Stream<Item = &'static str> + Unpin),
) -> Result<(App, Option<&'static str>), Failure> {
    let started = App::start(plan, nats.clone(), stops).await;
    if let (Err(_), Some(nats)) = (&started, nats) {
        nats.close().await;
    }
    started
}

fn too_soon(signal: &str) -> Failure {
    Failure::failed(format_args!("stopped by {signal} before it was ready"))
}

/// Specs that are given on the command line, and read.
struct StaticSpecs {
    specs: spec::Specs,
    /// Mistakes in spite of which `cbs dev` starts.
    wrong: Option<spec::Error>,
    paths: specs::Paths,
}

/// Server of a body; without a URL the body runs in process.
struct ServerAddress<'a> {
    url: Option<&'a str>,
    discovery: Discovery,
}

/// The status of a body for observers outside.
struct BodyView {
    status: Arc<BodyStatus>,
    /// Address for HTTP requests.
    http: Option<String>,
    telemetry: Arc<Telemetry>,
}

/// Way in which other commands find the server.
enum Discovery {
    /// Without an option, in this folder.
    Known,
    /// Only if it is named.
    ToBeNamed,
    /// There is no server, for this reason.
    Nowhere(String),
}

impl Discovery {
    fn new(server: &ServerChoice) -> Self {
        match server {
            ServerChoice::Running { whose: Whose::Named, .. } => Self::ToBeNamed,
            ServerChoice::Running { .. } | ServerChoice::Own(_) => Self::Known,
            ServerChoice::Missing(reason) => Self::Nowhere(reason.clone()),
        }
    }
}

/// Report when the body is ready, for a person or a program.
struct ReadyReport<'a> {
    globals: &'a Globals,
    body: &'a BodyId,
    address: Option<&'a str>,
    /// Address at which the body answers over HTTP.
    http: Option<&'a str>,
    discovery: Discovery,
    /// True if there may be no specs yet.
    patient: bool,
    statuses: Vec<TargetStatus>,
}

impl ReadyReport<'_> {
    fn report(&self) -> std::io::Result<()> {
        let unsupported = self.statuses.iter().filter(|status| status.cannot_run()).count();
        if unsupported > 0 {
            let all = self.statuses.len();
            output::warn(format_args!(
                "{unsupported} of {all} cannot run in this body; the others do"
            ));
        }
        if let Discovery::Nowhere(reason) = &self.discovery {
            output::warn(format_args!("in process, without NATS: {reason}"));
        }
        match self.globals.format {
            Format::Json => output::print_json(&json!({
                "body": self.body, "namespace": self.globals.namespace(), "nats": self.address, "http": self.http,
                "targets": self.statuses,
            })),
            Format::Human => output::print(self.text()),
        }
    }

    fn text(&self) -> String {
        let nats = self.address.unwrap_or("none, calls stay in this process");
        let body =
            format!("body {}, namespace {}, NATS {nats}", self.body, self.globals.namespace());
        if self.patient && self.statuses.is_empty() {
            return format!(
                "{body}\nno cells here yet: what is written into this folder runs a moment later\n\
                 try: {BOLD}cbs new cell demo.shout --lang python{BOLD:#}"
            );
        }
        let rows = self.statuses.iter().map(|status| {
            let name = match &status.target {
                Target::Cell(name) => name.to_string(),
                other => other.to_string(),
            };
            let state = match &status.reason {
                Some(reason) => format!("{}: {reason}", status.state),
                None => status.state.clone(),
            };
            [name, status.language.to_owned(), status.subject.clone(), state]
        });
        let table = output::table(["cell", "language", "subject", "state"], rows);
        let call =
            self.call().map(|call| format!("\ntry: {BOLD}{call}{BOLD:#}")).unwrap_or_default();
        format!("{table}\n\n{body}{call}")
    }

    /// Returns a call of a ready cell, with an input that the cell accepts, for the user to paste
    /// into another terminal in the same folder. An idempotent cell is preferred. Returns `None` if
    /// no schema describes a cell's input.
    fn call(&self) -> Option<String> {
        let address = self.address?;
        let is_cell =
            |status: &&TargetStatus| status.is_ready() && matches!(status.target, Target::Cell(_));
        let mut cells: Vec<_> = self.statuses.iter().filter(is_cell).collect();
        cells.sort_by_key(|status| !status.idempotent);
        let (name, input) = cells
            .into_iter()
            .take(EXAMPLES_MAX)
            .find_map(|status| Some((status.target.name(), status.example()?.to_string())))?;
        let input = shlex::try_quote(&input).ok()?;
        let namespace = self
            .globals
            .namespace_given()
            .map(|name| format!(" --namespace {name}"))
            .unwrap_or_default();
        let server = match self.discovery {
            Discovery::ToBeNamed => format!(" --nats {}", shlex::try_quote(address).ok()?),
            _ => String::new(),
        };
        Some(format!("cbs call {name} {input}{namespace}{server}"))
    }
}
