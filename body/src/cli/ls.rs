//! `cbs ls`: the cells and flows, and the bodies that run them.

use std::{collections::BTreeSet, time::Duration};

use bus_nats::discovery::Endpoint;
use cbs::Target;
use model::Phase;

use super::{Globals, completions, names, target};
use crate::{
    exit::{Failure, Outcome, Status},
    output::{self, Format},
};

/// Time that bodies have to answer: longer than the random delay of their answers.
pub(super) const DISCOVERY_WAIT: Duration = Duration::from_millis(300);

/// Lists the cells and flows of the namespace and the bodies that serve them.
#[derive(Debug, clap::Args)]
pub(crate) struct Ls {
    /// Only these cells (`logic.greet`) and flows (`greeting`)
    #[arg(value_name = "NAME", value_parser = target, add = completions::targets())]
    targets: Vec<Target>,
}

impl Ls {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let is_missing = |found: &[Endpoint]| {
            self.targets
                .iter()
                .find(|target| found.iter().all(|endpoint| endpoint.target != **target))
                .cloned()
        };
        let (mut found, deployed) =
            discover_or(globals, |found| is_missing(found).is_some()).await?;
        if let Some(missing) = is_missing(&found) {
            return Err(nobody(globals, &missing, &(&names::served(&found) | &deployed)));
        }
        found.retain(|endpoint| self.targets.is_empty() || self.targets.contains(&endpoint.target));
        match globals.format {
            Format::Json => output::print_json(&found)?,
            Format::Human if found.is_empty() => {
                output::report(format_args!(
                    "nothing runs in the namespace {}; `cbs up PATHS` runs cells",
                    globals.namespace()
                ));
            }
            Format::Human => output::print(table(&found))?,
        }
        Ok(Status::Done)
    }
}

/// Returns all endpoints that bodies of the namespace report, by target and body. If `is_missing`
/// is true of them, the deployed targets are returned as well.
pub(super) async fn discover_or(
    globals: &Globals,
    is_missing: impl FnOnce(&[Endpoint]) -> bool,
) -> Result<(Vec<Endpoint>, BTreeSet<Target>), Failure> {
    let namespace = globals.namespace();
    let nats = globals.nats.client(&namespace).await?;
    let found = nats.discover(DISCOVERY_WAIT).await;
    let deployed = match &found {
        Ok(found) if is_missing(found) => names::deployed(&nats, &namespace).await,
        _ => BTreeSet::new(),
    };
    nats.close().await;
    let mut found = found.map_err(|error| super::call::failed(&error, globals.format))?;
    found.sort_by(|one, other| (&one.target, &one.body).cmp(&(&other.target, &other.body)));
    Ok((found, deployed))
}

/// Makes the failure for a target that no body serves, with a hint from the known names.
pub(super) fn nobody(globals: &Globals, target: &Target, known: &BTreeSet<Target>) -> Failure {
    let hint = names::hint(target, known).unwrap_or_else(|| "`cbs ls` shows what runs".to_owned());
    Failure::failed(format_args!(
        "nobody serves {target} in the namespace {}; {hint}",
        globals.namespace()
    ))
}

fn table(found: &[Endpoint]) -> String {
    let head =
        ["target", "language", "version", "body", "state", "calls", "errors", "in flight", "mean"];
    output::table(
        head,
        found.iter().map(|endpoint| {
            [
                endpoint.target.to_string(),
                or_dash(&endpoint.language),
                or_dash(&endpoint.version),
                endpoint.body.to_string(),
                state(endpoint),
                endpoint.calls.to_string(),
                endpoint.errors.to_string(),
                endpoint.in_flight.to_string(),
                if endpoint.calls == 0 { "-".to_owned() } else { output::short(endpoint.mean) },
            ]
        }),
    )
}

/// Returns the state of an endpoint, with the number of its workers and of those that are not well.
pub(super) fn state(endpoint: &Endpoint) -> String {
    // Another implementation may list only the endpoint, without a state.
    let state =
        if endpoint.state.is_empty() { Phase::Ready.as_str() } else { endpoint.state.as_str() };
    let all = endpoint.workers.len();
    let well =
        endpoint.workers.iter().filter(|w| Phase::read(&w.state) == Some(Phase::Ready)).count();
    match all {
        0 => state.to_owned(),
        _ if well == all => format!("{state} ({all})"),
        _ => format!("{state} ({well} of {all})"),
    }
}

pub(super) fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}
