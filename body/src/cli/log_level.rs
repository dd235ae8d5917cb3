//! `cbs log-level`: the log filter of bodies, shown and changed while they run.

use std::time::Duration;

use bus_nats::Nats;
use cbs::{BodyId, BusError, CellError};
use serde_json::{Value, json};

use super::{Globals, call, input};
use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, Format},
    telemetry::{ASK_LOG, Filtered},
};

/// Time that bodies have to answer.
const WAIT: Duration = Duration::from_secs(2);

/// Shows or changes what bodies log, while they run.
///
/// Without a FILTER it shows the present one of each body. A filter is a level (`off`, `error`,
/// `warn`, `info`, `debug`, `trace`), or levels by target: `info,bus_nats=trace`; cells log as
/// `cbs::cell`. A body that is started again has the filter of its CBS_LOG. Whoever may publish on
/// `cbs.<ns>.ctl` may change it (`deploy/permissions`).
#[derive(Debug, clap::Args)]
pub(crate) struct LogLevel {
    /// The new filter, for example `debug` or `info,cbs::cell=debug`
    filter: Option<String>,
    /// Only this body [default: all bodies of the namespace]
    #[arg(long, value_name = "ID")]
    body: Option<BodyId>,
    /// Go back after this time to the filter that was last set for good
    #[arg(long = "for", value_name = "TIME", value_parser = input::duration, requires = "filter")]
    back_in: Option<Duration>,
}

type Answers = Vec<(BodyId, Result<Filtered, String>)>;

impl LogLevel {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = globals.nats.client(&globals.namespace()).await?;
        let answers = self.ask(&nats).await;
        nats.close().await;
        let answers = answers.map_err(|error| call::failed(&error, globals.format))?;
        if answers.is_empty() {
            let namespace = globals.namespace();
            return Err(Failure::failed(format_args!(
                "no body answers in the namespace {namespace}; `cbs up` runs one"
            )));
        }
        match globals.format {
            Format::Json => output::print_json(&answers.iter().map(document).collect::<Vec<_>>())?,
            Format::Human => output::print(table(&answers))?,
        }
        let failed: Vec<_> = answers
            .iter()
            .filter_map(|(body, answer)| Some((body, answer.as_ref().err()?)))
            .collect();
        match failed.as_slice() {
            [] => Ok(Status::Done),
            [(_, reason), ..] => {
                let bodies = output::count(failed.len(), "body did", "bodies did");
                Err(Failure::failed(format_args!(
                    "{bodies} not change its filter: {}",
                    output::sanitize(reason)
                )))
            }
        }
    }

    async fn ask(&self, nats: &Nats) -> Result<Answers, BusError> {
        let mut question = json!({ "ask": ASK_LOG });
        if let Some(question) = question.as_object_mut() {
            if let Some(filter) = &self.filter {
                question.insert("filter".to_owned(), filter.as_str().into());
            }
            if let Some(back_in) = self.back_in {
                question.insert(
                    "for_ms".to_owned(),
                    u64::try_from(back_in.as_millis()).unwrap_or(u64::MAX).into(),
                );
            }
        }
        let answers = match &self.body {
            None => nats.ask_all(&question, WAIT).await?,
            Some(body) => vec![(body.clone(), Ok(nats.ask(body, &question, WAIT).await?))],
        };
        Ok(answers.into_iter().map(|(body, answer)| (body, read(answer))).collect())
    }
}

fn read(answer: Result<Value, CellError>) -> Result<Filtered, String> {
    let answer = answer.map_err(|error| error.message)?;
    serde_json::from_value(answer).map_err(|error| format!("its answer cannot be read: {error}"))
}

fn document((body, answer): &(BodyId, Result<Filtered, String>)) -> Value {
    match answer {
        Ok(reported) => json!({ "body": body, "filter": reported.filter, "was": reported.was }),
        Err(error) => json!({ "body": body, "error": error }),
    }
}

fn table(answers: &Answers) -> String {
    let rows = answers.iter().map(|(body, answer)| match answer {
        Ok(reported) => {
            [body.to_string(), reported.filter.clone(), reported.was.clone().unwrap_or_default()]
        }
        Err(reason) => [body.to_string(), format!("unchanged: {reason}"), String::new()],
    });
    output::table(["body", "filter", "was"], rows)
}
