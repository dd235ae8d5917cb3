//! `cbs up` without paths: the body joins the fleet of its namespace.

use std::{collections::BTreeSet, sync::Arc};

use bus_nats::Nats;
use cbs::{Namespace, NativeCell, Target};
use futures::stream;
use serde_json::json;
use spec::Specs;

use super::{BodyView, Globals, Up, too_soon};
use crate::{
    app::{Instances, hosts},
    console::Terminal,
    exit::{Failure, Outcome},
    fleet::{Driver, Joining, Store},
    health::BodyStatus,
    nats::not_connected,
    output::{self, Format},
    signals::Signals,
};

/// Limit of the bytes of a label's key or value.
const LABEL_BYTES_MAX: usize = fleet::LABELS_MAX.1;

/// Reads `key=value`.
pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let fits = |part: &str| {
        (1..=LABEL_BYTES_MAX).contains(&part.len()) && !part.chars().any(char::is_control)
    };
    match text.split_once('=') {
        Some((key, value)) if fits(key) && fits(value) => Ok((key.to_owned(), value.to_owned())),
        _ => Err(format!(
            "write key=value, each of 1 to {LABEL_BYTES_MAX} bytes, for example zone=a"
        )),
    }
}

/// Limit of the time that a body with its own specs searches for deployed specs of the same names.
const LOOK_LIMIT: std::time::Duration = std::time::Duration::from_secs(2);

/// Warns of specs of this body that are deployed as well: this body runs its own ones.
pub(super) async fn warn_of_both(nats: &Nats, namespace: &Namespace, specs: &Specs) {
    if !nats.server().jetstream {
        return;
    }
    let look = async {
        let store = Store::existing(nats.clone(), namespace.clone()).await.ok()??;
        store.now().await.ok()
    };
    let Ok(Some(now)) = tokio::time::timeout(LOOK_LIMIT, look).await else { return };
    let cells = specs.cells().map(|spec| Target::from(spec.name.clone()));
    let own = cells.chain(specs.flows().map(|spec| Target::from(spec.name.clone())));
    let both: Vec<String> =
        own.filter(|it| now.manifest.get(it).is_some()).map(|it| it.to_string()).collect();
    if !both.is_empty() {
        let names = both.join(", ");
        output::warn(format_args!(
            "also deployed to the fleet: {names}; this body runs its own specs of them"
        ));
    }
}

impl Up {
    pub(super) async fn join(
        &self,
        globals: &Globals,
        cells: Vec<NativeCell>,
        url: Option<&str>,
        view: &BodyView,
        signals: &mut Signals,
    ) -> Outcome {
        let BodyView { status, http, telemetry } = view;
        let namespace = &status.namespace;
        let body = &status.body;
        let Some(url) = url else {
            return Err(Failure::not_started(
                "a fleet meets on a NATS server, and there is none; `cbs doctor` says what is missing",
            ));
        };
        let starting = async {
            let options = globals.nats.options(url, namespace, body.clone());
            let nats = Nats::connect(options).await.map_err(|error| not_connected(&error))?;
            telemetry.answer(&nats);
            let driver = self.driver(view, cells, &nats);
            if driver.is_err() {
                nats.close().await;
            }
            let mut driver = driver?;
            status.joined(driver.following());
            driver.join().await;
            status.started();
            Ok::<_, Failure>((driver, nats.server().url))
        };
        let (driver, address) = tokio::select! {
            started = starting => started?,
            signal = signals.next() => return Err(too_soon(signal)),
        };
        match globals.format {
            Format::Json => output::print_json(&json!({
                "body": body, "namespace": namespace, "nats": address, "http": http,
            }))?,
            Format::Human => output::print(format_args!(
                "body {body}, namespace {namespace}, NATS {address}\nin the fleet: `cbs deploy PATHS` says what runs, `cbs bodies` who runs it"
            ))?,
        }
        let stops =
            stream::unfold(signals, |signals| async { Some((signals.next().await, signals)) });
        self.ended(&Box::pin(driver.run(std::pin::pin!(stops))).await)
    }

    fn driver(
        &self,
        BodyView { status, telemetry, .. }: &BodyView,
        cells: Vec<NativeCell>,
        nats: &Nats,
    ) -> Result<Driver, Failure> {
        let BodyStatus { namespace, body, .. } = &**status;
        if !nats.server().jetstream {
            return Err(Failure::not_started(
                "the server offers no JetStream, and a fleet keeps its state there: start it with `-js`, or run `cbs up PATHS`",
            ));
        }
        let natives: BTreeSet<Target> =
            cells.iter().filter_map(|cell| cell.name().parse().ok().map(Target::Cell)).collect();
        let hosts = hosts(cells, namespace, Some(nats), false)?;
        let console = Arc::new(Terminal::silent()?);
        let instances = Instances::new(
            &hosts,
            status.clone(),
            self.route(),
            console,
            nats.clone(),
            telemetry.span_sink(),
        );
        let joining = Joining {
            body: body.clone(),
            namespace: namespace.clone(),
            labels: self.labels.iter().cloned().collect(),
            natives,
            drain: self.drain_timeout,
        };
        Driver::new(joining, instances, nats.clone())
    }
}
