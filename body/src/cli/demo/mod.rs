//! `cbs demo`: the greeting flow, over the real bus.

mod greeting;
mod steps;

use std::{
    io::IsTerminal,
    sync::Arc,
    time::{Duration, Instant},
};

use bus_nats::Nats;
use cbs::{BodyId, Envelope, FlowName, Namespace, Target};
use futures::stream;
use model::Route;

use self::{greeting::Greeting, steps::Steps};
use super::{Globals, call};
use crate::{
    app::{App, Plan, hosts},
    console::{Held, Terminal},
    exit::{Failure, Outcome, Status},
    health::BodyStatus,
    identity,
    nats::{ServerChoice, Store, not_connected},
    output::{self, BOLD, FAINT, Format},
    signals::Signals,
    telemetry::{self, Telemetry},
};

/// Limit of the time for the end of the demo, when no cell runs any more.
const STOP_LIMIT: Duration = Duration::from_secs(2);
/// Limit of the time for a run: a person types.
const RUN_LIMIT: Duration = Duration::from_secs(6 * 60);

/// Runs the greeting flow: three cells, over NATS.
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Whom to greet [default: who is asked on the terminal, a piped line, $USER, world]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// In three languages: prompt in Rust, greet in Python (once it fails, and is tried again),
    /// print in Dart
    #[arg(long)]
    polyglot: bool,
    #[command(flatten)]
    telemetry: telemetry::Flags,
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

    async fn run_on(
        &self,
        server: &ServerChoice,
        globals: &Globals,
        signals: &mut Signals,
    ) -> Outcome {
        let namespace = globals.namespace_given().unwrap_or_else(identity::demo_namespace);
        let body = identity::body();
        let nats = match server.url() {
            Some(url) => {
                let options = globals.nats.options(url, &namespace, body.clone());
                Some(Nats::connect(options).await.map_err(|error| not_connected(&error))?)
            }
            None => None,
        };
        output::report(opening(server, nats.as_ref(), &namespace));
        tokio::select! {
            outcome = self.greet(globals, nats.clone(), namespace, body) => outcome,
            signal = signals.next() => {
                if std::io::stdin().is_terminal() {
                    // The prompt, or the terminal's own `^C`, has not ended its line.
                    output::report("");
                }
                if let Some(nats) = nats {
                    nats.close().await;
                }
                Err(stopped(signal))
            }
        }
    }

    async fn greet(
        &self,
        globals: &Globals,
        nats: Option<Nats>,
        namespace: Namespace,
        body: BodyId,
    ) -> Outcome {
        let hosts = hosts(crate::greeting_cells(), &namespace, nats.as_ref(), false)?;
        let greeting =
            if self.polyglot { Greeting::polyglot(&hosts)? } else { Greeting::native()? };
        let specs = greeting.specs.clone();
        // The greeting comes last, after the lines about the steps: who asks for it by a pipe and
        // who sits at the terminal both find it at the end.
        let console = Arc::new(Held::new(Terminal::asking()?));
        let status = BodyStatus::new(body, namespace);
        // Its person may look: all is recorded.
        let telemetry = Telemetry::start(&self.telemetry, 1.0, &globals.log, &status)?;
        if let Some(nats) = &nats {
            telemetry.answer(nats);
        }
        let plan = Plan {
            observer: Some(Arc::new(Steps::new(&specs))),
            specs,
            hosts,
            status,
            route: Route::Nats,
            console: console.clone(),
            call_tap: None,
            span_sink: telemetry.span_sink(),
            patient: false,
        };
        let (app, _) = App::start(plan, nats, &mut stream::pending()).await?;
        let flow = FlowName::new("greeting").map_err(Failure::failed)?;
        let input = self
            .name
            .as_ref()
            .map_or_else(|| serde_json::json!({}), |name| serde_json::json!({ "name": name }));
        let request = Envelope {
            timeout: Some(RUN_LIMIT),
            ..Envelope::request(Target::Flow(flow), input.to_string())
        };
        let started = Instant::now();
        let trace = request.id.simple();
        let answer = app.bus().call(request).await;
        let took = started.elapsed();
        app.stop(tokio::time::Instant::now() + STOP_LIMIT).await;
        telemetry.stop().await;
        let answer = answer.map_err(|error| call::failed(&error, globals.format))?;
        output::report(format_args!(
            "{FAINT}flow greeting done in {}, trace {trace}{FAINT:#}",
            output::short(took)
        ));
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

/// Returns the first line: the server and the namespace of the greeting.
fn opening(server: &ServerChoice, nats: Option<&Nats>, namespace: &Namespace) -> String {
    match (nats.map(Nats::server), server) {
        (Some(info), server) => {
            let version = info.version;
            let url = info.url;
            let origin = server.origin();
            format!(
                "{BOLD}NATS server {version} at {url}{BOLD:#} ({origin}), namespace {namespace}"
            )
        }
        (None, ServerChoice::Missing(reason)) => {
            format!("{BOLD}in process, without NATS{BOLD:#}: {reason}")
        }
        (None, _) => format!("{BOLD}in process, without NATS{BOLD:#}"),
    }
}
