//! `cbs history`, `get` and `bodies`: the deployed entries, former heads, and the bodies of the
//! fleet.

use std::time::Duration;

use anyhow::Context;
use bus_nats::Nats;
use cbs::Target;
use clap::ValueEnum;
use fleet::{EntryStatus, Head, Presence};
use serde_json::json;
use tokio::time::timeout;

use super::{
    Globals, completions,
    deploy::{closing, connect, deployed, warn_of_lost_history},
    names, target,
};
use crate::{
    exit::{Failure, Outcome, Status},
    fleet::{Now, SpecDocument, Store, unless_denied, unplaced},
    output::{self, Format},
};

/// Lists what was deployed, the newest first.
#[derive(Debug, clap::Args)]
pub(crate) struct History {}

/// Prints the spec of a deployed cell or flow.
#[derive(Debug, clap::Args)]
pub(crate) struct Get {
    /// A cell (`logic.greet`) or a flow (`greeting`)
    #[arg(value_name = "NAME", value_parser = target, add = completions::targets())]
    target: Target,
    /// As its author wrote it, or with all that the fleet knows of it
    #[arg(long, short, value_enum, default_value_t)]
    output: Form,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Form {
    #[default]
    Yaml,
    Json,
}

/// Lists the bodies of the fleet and their states.
#[derive(Debug, clap::Args)]
pub(crate) struct Bodies {}

impl History {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = connect(globals).await?;
        let outcome = async {
            let store = deployed(globals, &nats).await?;
            let history = unless_denied(&nats, store.history()).await?;
            if history.heads().is_empty() {
                warn_of_lost_history(globals, &nats).await;
            }
            match globals.format {
                Format::Json => {
                    output::print_json(&history.heads().iter().rev().collect::<Vec<_>>())?;
                }
                Format::Human => {
                    let head = ["generation", "when", "who", "manifest", "message"];
                    output::print(output::table(head, history.heads().iter().rev().map(row)))?;
                    let now = unless_denied(&nats, store.now()).await?;
                    now.canaries().iter().for_each(output::report);
                }
            }
            Ok(Status::Done)
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

fn row(head: &Head) -> [String; 5] {
    [
        head.number.to_string(),
        moment(head.when_ms),
        head.who.clone(),
        head.manifest.short(),
        head.message.clone(),
    ]
}

/// Formats a moment as `2026-11-21 10:07:00`, in UTC, by Howard Hinnant's `civil_from_days`
/// (<https://howardhinnant.github.io/date_algorithms.html>).
fn moment(millis: u64) -> String {
    let seconds = Duration::from_millis(millis).as_secs();
    let days = seconds / 86_400 + 719_468;
    let rest = seconds % 86_400;
    let era = days / 146_097;
    let day = days % 146_097;
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (month, late) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year + era * 400 + late;
    format!(
        "{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02}",
        rest / 3_600,
        rest / 60 % 60,
        rest % 60
    )
}

impl Get {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = connect(globals).await?;
        let outcome = async {
            let store = deployed(globals, &nats).await?;
            let now = unless_denied(&nats, Box::pin(store.now())).await?;
            let Some((_, item)) = now.manifest.get(&self.target) else {
                let namespace = globals.namespace();
                let hint = names::hint(&self.target, &names::of(&now.manifest));
                let hint = hint.map(|hint| format!("; {hint}")).unwrap_or_default();
                let line = format_args!(
                    "{} is not deployed in the namespace {namespace}{hint}",
                    self.target
                );
                return Err(Failure::failed(line));
            };
            let Some(entry) = item.known() else {
                return Err(Failure::failed(format_args!(
                    "a newer `cbs` deployed {}: use that one",
                    self.target
                )));
            };
            let letter =
                SpecDocument::read(&unless_denied(&nats, store.spec(entry.version.spec)).await?)?;
            if self.output == Form::Yaml && globals.format == Format::Human {
                output::print_bytes(letter.text.trim_end().as_bytes())?;
                return Ok(Status::Done);
            }
            output::print_json(&json!({
                "target": self.target.to_string(),
                "head": now.head.map(|(head, _)| head.number),
                "entry": item,
                "document": letter.text,
                "schemas": letter.schemas,
            }))?;
            Ok(Status::Done)
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

impl Bodies {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = connect(globals).await?;
        let outcome = async {
            let bodies = unless_denied(&nats, Store::bodies(&nats, &globals.namespace())).await;
            let mut bodies =
                bodies.map_err(|error| Failure::not_started(format_args!("{error:#}")))?;
            let nowhere = match unplaced::is_any(&bodies) {
                true => explain_unplaced(globals, &nats, &mut bodies).await,
                false => Vec::new(),
            };
            match globals.format {
                Format::Json => output::print_json(&bodies)?,
                Format::Human if bodies.is_empty() => {
                    let namespace = globals.namespace();
                    output::report(format_args!(
                        "no body has joined the fleet of the namespace {namespace}; `cbs up` starts one"
                    ));
                }
                Format::Human => output::print(table(&bodies))?,
            }
            nowhere.iter().for_each(|line| output::report(output::sanitize(line)));
            Ok(Status::Done)
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

/// Limit of the time to read the manifest: a few requests, one after the other.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// Adds to each body's troubles the reason why it serves an entry that it should stop, if no other
/// body may have it. Returns a line for each entry that runs nowhere for the same reason.
async fn explain_unplaced(globals: &Globals, nats: &Nats, bodies: &mut [Presence]) -> Vec<String> {
    let deployed = async {
        let store = Store::existing(nats.clone(), globals.namespace())
            .await?
            .context("nothing was ever deployed")?;
        store.now().await
    };
    let deployed = timeout(READ_LIMIT, Box::pin(unless_denied(nats, deployed))).await;
    match deployed.map_err(anyhow::Error::from).flatten() {
        Ok(Now { head: Some((head, _)), manifest, .. }) => {
            unplaced::explain(bodies, head.hash(), &manifest)
        }
        Ok(_) => Vec::new(),
        Err(error) => {
            output::warn(output::sanitize(&format!("what is deployed cannot be read: {error:#}")));
            Vec::new()
        }
    }
}

fn table(bodies: &[Presence]) -> String {
    let head = ["body", "program", "platform", "labels", "runtimes", "generation", "state"];
    let rows = bodies.iter().map(|body| {
        let facts = &body.facts;
        let labels: Vec<String> =
            facts.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let runtimes: Vec<&str> = facts.runtimes.keys().map(String::as_str).collect();
        [
            facts.body.to_string(),
            facts.program.clone(),
            facts.platform.clone(),
            super::ls::or_dash(&labels.join(",")),
            runtimes.join(","),
            body.applied.map_or_else(|| "-".to_owned(), |applied| applied.number.to_string()),
            state(body),
        ]
    });
    let troubles = bodies.iter().flat_map(|body| {
        let reported = body
            .troubles
            .iter()
            .map(|trouble| trouble.reason.as_str())
            .chain(body.stuck.as_deref());
        reported
            .map(|reason| format!("\n{}: {}", body.facts.body, output::sanitize(reason)))
            .collect::<Vec<_>>()
    });
    let troubles: Vec<String> = troubles.collect();
    let gap = if troubles.is_empty() { "" } else { "\n" };
    format!("{}{gap}{}", output::table(head, rows), troubles.concat())
}

/// Formats the states of a body's entries: `3 ready, 1 starting`.
fn state(body: &Presence) -> String {
    let words = [
        (EntryStatus::Ready, "ready"),
        (EntryStatus::Canary, "ready, canary starting"),
        (EntryStatus::Judged, "ready, canary judged"),
        (EntryStatus::RolledBack, "ready, canary rolled back"),
        (EntryStatus::Starting, "starting"),
        (EntryStatus::Updating, "updating"),
        (EntryStatus::Failed, "failed"),
        (EntryStatus::Kept, "kept"),
        (EntryStatus::Extra, "extra"),
        (EntryStatus::Old, "old"),
        (EntryStatus::Refused, "refused"),
        (EntryStatus::RefusedOld, "refused, old serves"),
        (EntryStatus::Draining, "draining"),
    ];
    let counts = words.into_iter().map(|(status, word)| (body.states.count(status), word));
    let mut reported: Vec<String> = counts
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
    if body.draining {
        reported.push("ends".to_owned());
    }
    if reported.is_empty() { "idle".to_owned() } else { reported.join(", ") }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
