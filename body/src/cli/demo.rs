//! `cbs demo`: the greeting flow, over the real bus.

use std::{
    io::IsTerminal,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use bus::Route;
use bus_nats::Nats;
use cbs::{BodyId, Envelope, FlowName, Namespace, Target};
use host::{StepObserver, StepReport};
use spec::Specs;

use super::{Globals, call};
use crate::{
    app::{App, Plan},
    console::{Held, Terminal},
    exit::{Failure, Outcome, Status},
    identity,
    nats::{Found, Store, not_connected},
    output::{self, BAD, BOLD, FAINT, Format},
    signals::Signals,
};

/// How long the end of the demo may take; nothing runs any more by then.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// How long a run may take: a person types.
const RUN_LIMIT: Duration = Duration::from_secs(6 * 60);

/// The specs of the greeting, linked in: the demo needs no files.
const SPECS: [(&str, &str); 4] = [
    ("specs/cells/io.prompt_name.yaml", include_str!("../../../specs/cells/io.prompt_name.yaml")),
    ("specs/cells/logic.greet.yaml", include_str!("../../../specs/cells/logic.greet.yaml")),
    ("specs/cells/io.print_greeting.yaml", include_str!("../../../specs/cells/io.print_greeting.yaml")),
    ("specs/flows/greeting.yaml", include_str!("../../../specs/flows/greeting.yaml")),
];
const SCHEMAS: &[(&str, &str)] = &[
    ("demo/v1/MaybeName", include_str!("../../../specs/schemas/demo/v1/MaybeName.json")),
    ("demo/v1/Name", include_str!("../../../specs/schemas/demo/v1/Name.json")),
    ("demo/v1/Greeting", include_str!("../../../specs/schemas/demo/v1/Greeting.json")),
];

/// Runs the greeting flow: three cells, over NATS.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Whom to greet [default: who is asked on the terminal, a piped line, $USER, world]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

impl Demo {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let mut signals = Signals::new()?;
        let server = tokio::select! {
            server = globals.nats.host(Store::Temporary) => server?,
            signal = signals.next() => return Err(stopped(signal)),
        };
        let outcome = self.run_on(&server, globals, &mut signals).await;
        server.kill().await;
        outcome
    }

    async fn run_on(&self, server: &Found, globals: &Globals, signals: &mut Signals) -> Outcome {
        let namespace = globals.namespace_given().unwrap_or_else(identity::demo_namespace);
        let body = identity::body();
        let nats = match server.url() {
            Some(url) => {
                let options = globals.nats.options(url, &namespace, body.clone());
                Some(Nats::connect(options).await.map_err(|error| not_connected(&error))?)
            }
            None => None,
        };
        output::tell(opening(server, nats.as_ref(), &namespace));
        tokio::select! {
            outcome = self.greet(globals, nats.clone(), namespace, body) => outcome,
            signal = signals.next() => {
                if std::io::stdin().is_terminal() {
                    // The question, or the terminal's own `^C`, has left its line open.
                    output::tell("");
                }
                if let Some(nats) = nats {
                    nats.close().await;
                }
                Err(stopped(signal))
            }
        }
    }

    async fn greet(&self, globals: &Globals, nats: Option<Nats>, namespace: Namespace, body: BodyId) -> Outcome {
        let specs = specs()?;
        // The greeting comes last, after the lines about the steps: who asks for it by a pipe and
        // who sits at the terminal both find it at the end.
        let console = Arc::new(Held::new(Terminal::asking()?));
        let plan = Plan {
            observer: Some(Arc::new(Steps::new(&specs))),
            specs,
            cells: crate::greeting_cells(),
            namespace,
            body,
            route: Route::Nats,
            console: console.clone(),
        };
        let app = App::start(plan, nats).await?;
        let flow = FlowName::new("greeting").map_err(Failure::failed)?;
        let input =
            self.name.as_ref().map_or_else(|| serde_json::json!({}), |name| serde_json::json!({ "name": name }));
        let request = Envelope { timeout: Some(RUN_LIMIT), ..Envelope::request(Target::Flow(flow), input.to_string()) };
        let started = Instant::now();
        let answer = app.bus().call(request).await;
        let took = started.elapsed();
        app.stop(STOP_LIMIT).await;
        let answer = answer.map_err(|error| call::failed(&error, globals.format))?;
        output::tell(format_args!("{FAINT}flow greeting done in {}{FAINT:#}", output::short(took)));
        match globals.format {
            Format::Json => output::print_bytes(&answer.payload)?,
            Format::Human => console.release().await.map_err(Failure::failed)?,
        }
        Ok(Status::Done)
    }
}

fn stopped(signal: &str) -> Failure {
    Failure::failed(format_args!("stopped by {signal}"))
}

fn specs() -> Result<Specs, Failure> {
    let options = spec::Options { embedded_schemas: SCHEMAS, ..spec::Options::default() };
    let texts = SPECS.map(|(file, text)| (PathBuf::from(file), text));
    spec::load_texts(texts, &options).map_err(|error| crate::specs::failure(&error))
}

/// The first line: where the greeting travels.
fn opening(server: &Found, nats: Option<&Nats>, namespace: &Namespace) -> String {
    match (nats.map(Nats::server), server) {
        (Some(info), server) => {
            let (version, url, origin) = (info.version, info.url, server.origin());
            format!("{BOLD}NATS server {version} at {url}{BOLD:#} ({origin}), namespace {namespace}")
        }
        (None, Found::Missing(reason)) => format!("{BOLD}in process, without NATS{BOLD:#}: {reason}"),
        (None, _) => format!("{BOLD}in process, without NATS{BOLD:#}"),
    }
}

/// Tells every step of the flow in one line.
struct Steps {
    /// What each cell is written in.
    languages: Vec<(Target, &'static str)>,
}

impl Steps {
    fn new(specs: &Specs) -> Self {
        Self { languages: specs.cells().map(|cell| (cell.name.clone().into(), cell.language())).collect() }
    }
}

impl StepObserver for Steps {
    fn finished(&self, report: &StepReport<'_>) {
        let language = self.languages.iter().find(|(target, _)| target == report.target).map_or("-", |(_, l)| l);
        let (cell, time) = (report.target.name(), output::short(report.elapsed));
        output::tell(match &report.outcome {
            Ok(()) => {
                format!("  {cell:<18}  {language:<6}  {}  {:<4}  {time:>7}", report.body, report.distance)
            }
            Err(error) => format!("  {cell:<18}  {language:<6}  {BAD}{}{BAD:#}  {time:>7}", error.code),
        });
    }
}
