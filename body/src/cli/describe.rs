//! `cbs describe`: all that is known about one cell or flow.

use std::time::Duration;

use bus_nats::discovery::Endpoint;
use cbs::{Subject, Target};

use super::{
    Globals, completions,
    ls::{self, or_dash},
    names, target,
};
use crate::{
    exit::{Outcome, Status},
    output::{self, BOLD, Format},
};

/// Prints all that is known about one cell or flow.
#[derive(Debug, clap::Args)]
pub(crate) struct Describe {
    /// A cell (`logic.greet`) or a flow (`greeting`)
    #[arg(value_name = "NAME", value_parser = target, add = completions::targets())]
    target: Target,
}

impl Describe {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let (mut found, deployed) = ls::discover_or(globals, |found| {
            found.iter().all(|endpoint| endpoint.target != self.target)
        })
        .await?;
        let known = names::served(&found);
        found.retain(|endpoint| endpoint.target == self.target);
        if found.is_empty() {
            return Err(ls::nobody(globals, &self.target, &(&known | &deployed)));
        }
        match globals.format {
            Format::Json => output::print_json(&found)?,
            Format::Human => output::print(self.text(globals, &found))?,
        }
        Ok(Status::Done)
    }

    fn text(&self, globals: &Globals, found: &[Endpoint]) -> String {
        let subject = Subject::of(&globals.namespace(), &self.target).to_string();
        let mut lines = vec![format!("{BOLD}{}{BOLD:#}", self.target)];
        let mut say = |word: &str, values: Vec<&str>| {
            let mut values: Vec<String> =
                values.into_iter().filter(|v| !v.is_empty()).map(output::sanitize).collect();
            values.sort();
            values.dedup();
            if !values.is_empty() {
                lines.push(format!("  {word:<12} {}", values.join(", ")));
            }
        };
        let all = |field: fn(&Endpoint) -> &str| found.iter().map(field).collect();
        say("description", all(|endpoint| &endpoint.description));
        say("subject", vec![&subject]);
        say("language", all(|endpoint| &endpoint.language));
        say("version", all(|endpoint| &endpoint.version));
        say("revision", all(|endpoint| &endpoint.revision));
        say("input", all(|endpoint| &endpoint.input));
        say("output", all(|endpoint| &endpoint.output));
        say("reason", all(|endpoint| &endpoint.reason));
        say("last error", all(|endpoint| &endpoint.last_error));
        lines.push(String::new());
        lines.push(bodies(found));
        if found.iter().any(|endpoint| !endpoint.workers.is_empty()) {
            lines.extend([String::new(), workers(found)]);
        }
        lines.extend(found.iter().filter_map(troubles));
        lines.join("\n")
    }
}

/// Returns the errors on the connections of an endpoint's body; `None` if there were none.
fn troubles(endpoint: &Endpoint) -> Option<String> {
    let counters = &endpoint.connections;
    let reported: Vec<String> = [
        (counters.reconnects, "connections built again"),
        (
            counters.clients_replaced,
            "of them with a new client, after a message that cannot be read",
        ),
        (counters.slow_consumers, "times messages were dropped for a full buffer"),
        (counters.stale, "requests refused as stale"),
        (counters.ejections, "silent bodies passed over"),
        (counters.server_errors, "errors reported by the server"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, what)| format!("{count} {what}"))
    .collect();
    (!reported.is_empty())
        .then(|| format!("{}: {}", output::sanitize(&endpoint.body), reported.join(", ")))
}

fn bodies(found: &[Endpoint]) -> String {
    let head = [
        "body",
        "revision",
        "state",
        "restarts",
        "calls",
        "errors",
        "shed",
        "in flight",
        "queued",
        "p50",
        "p99",
    ];
    let time = |endpoint: &Endpoint, percent| match endpoint.latency.percentile(percent) {
        Some(us) => output::short(Duration::from_micros(us)),
        None => "-".to_owned(),
    };
    output::table(
        head,
        found.iter().map(|endpoint| {
            [
                endpoint.body.to_string(),
                or_dash(&endpoint.revision),
                ls::state(endpoint),
                endpoint.restarts.to_string(),
                endpoint.calls.to_string(),
                endpoint.errors.to_string(),
                endpoint.shed.to_string(),
                endpoint.in_flight.to_string(),
                endpoint.queued.to_string(),
                time(endpoint, 50),
                time(endpoint, 99),
            ]
        }),
    )
}

/// Formats the table of lanes and processes that run it.
fn workers(found: &[Endpoint]) -> String {
    let head = ["body", "worker", "state", "in flight", "queued", "lag", "lock wait", "restarts"];
    let all = found
        .iter()
        .flat_map(|endpoint| endpoint.workers.iter().map(|worker| (&endpoint.body, worker)));
    output::table(
        head,
        all.map(|(body, worker)| {
            [
                body.to_string(),
                worker.name.to_string(),
                worker.state.to_string(),
                worker.in_flight.to_string(),
                worker.queued.to_string(),
                output::short(Duration::from_micros(worker.lag_us)),
                output::short(Duration::from_micros(worker.lock_wait_us)),
                worker.restarts.to_string(),
            ]
        }),
    )
}
