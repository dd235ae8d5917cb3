//! A change of the desired state: it is shown, written, and waited for.

use std::{collections::BTreeSet, time::Duration};

use bus_nats::Nats;
use cbs::Target;
use fleet::Head;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::plan;
use crate::{
    cli::{Globals, input},
    exit::{Failure, Outcome, Status},
    fleet::{
        ChangeSet, DeployStage, Outcome as Followed, Replaced, RetryUntil, Store, Wanted, Written,
        replaced, wait,
    },
    output::{self, Format, GOOD, WARNING},
};

/// Limit of the time that a deploy spends on garbage collection, which is not its own work.
const COLLECT_LIMIT: Duration = Duration::from_secs(5);

/// Options of a change.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Change {
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Wait until every body has followed
    #[arg(long, value_name = "YES", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    pub(super) wait: bool,
    /// Time limit for NATS to answer, and then for bodies to follow
    #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "60s")]
    pub(super) timeout: Duration,
}

impl Change {
    /// Connects, also to a server that is just restarting.
    pub(super) async fn connect(&self, globals: &Globals) -> Result<Nats, Failure> {
        let report = |line: &str| output::report(output::sanitize(line));
        globals.nats.client_patient(&globals.namespace(), self.timeout, report).await
    }

    /// Returns the retries for this change while NATS does not answer.
    pub(super) fn retry(&self, nats: &Nats) -> RetryUntil {
        RetryUntil::new(nats.clone(), self.timeout, |line| output::report(output::sanitize(line)))
    }

    /// Shows the plan, writes the change, and waits.
    pub(super) async fn make(
        &self,
        globals: &Globals,
        retry: &RetryUntil,
        store: Option<&Store>,
        changes: ChangeSet,
        head: impl FnOnce(&ChangeSet) -> Head,
    ) -> Outcome {
        let diff = changes.diff();
        if self.dry_run {
            match globals.format {
                Format::Json => output::print_json(&plan::as_json(&diff))?,
                Format::Human if diff.is_empty() => output::print("nothing would change")?,
                Format::Human => output::print(plan::table(&diff))?,
            }
            return Ok(Status::Done);
        }
        let Some(store) = store else { return Ok(Status::Done) };
        if let Some(hint) = store.hint() {
            output::warn(hint);
        }
        if changes.is_empty() || diff.is_empty() && changes.base().damaged.is_none() {
            return self.nothing(globals, retry, store, &changes).await;
        }
        output::report(plan::table(&diff));
        let head = match changes.write(store, head(&changes), retry).await? {
            Written::Head(head) => head,
            Written::Conflict(conflict) => {
                output::report("what the other changed:");
                output::report(plan::table(&conflict.theirs));
                return Err(Failure::failed(format_args!(
                    "{}; nothing was changed",
                    output::sanitize(&conflict.to_string())
                )));
            }
        };
        output::report(format_args!("generation {} is written", head.number));
        warn_of_broken(&changes);
        let following = async {
            if self.wait {
                self.follow(store, &changes, &head, false).await.map(Some)
            } else {
                Ok(None)
            }
        };
        let (followed, collected) = tokio::join!(following, collect(store));
        let bodies = followed?;
        match globals.format {
            Format::Json => output::print_json(&json!({
                "head": head.number,
                "changes": plan::as_json(&diff),
                "bodies": bodies,
                "collected": collected,
            }))?,
            Format::Human => {
                output::print(format_args!("{GOOD}deployed{GOOD:#}: generation {}", head.number))?;
            }
        }
        Ok(Status::Done)
    }

    /// Handles a change that is deployed already: lost content is put again, and bodies are waited
    /// for as usual.
    async fn nothing(
        &self,
        globals: &Globals,
        retry: &RetryUntil,
        store: &Store,
        changes: &ChangeSet,
    ) -> Outcome {
        let mended = retry.with(DeployStage::Content, async || changes.put(store).await).await?;
        if mended > 0 {
            output::warn(format_args!(
                "{} of what is deployed had been lost, and {} put back",
                output::count(mended, "part", "parts"),
                if mended == 1 { "is" } else { "are" }
            ));
        }
        warn_of_broken(changes);
        let head = changes.base().head.as_ref().map(|(head, _)| head);
        let bodies = match head {
            Some(head) if self.wait => Some(self.follow(store, changes, head, true).await?),
            _ => None,
        };
        match globals.format {
            Format::Json => output::print_json(&json!({
                "head": head.map(|head| head.number),
                "changes": plan::as_json(&changes.diff()),
                "bodies": bodies,
                "mended": mended,
            }))?,
            Format::Human => {
                let follow =
                    bodies.map(|bodies| format!("; {}", followers(bodies))).unwrap_or_default();
                output::print(format_args!("nothing to change{follow}"))?;
            }
        }
        Ok(Status::Done)
    }

    /// Waits until bodies have followed, and returns their number.
    async fn follow(
        &self,
        store: &Store,
        changes: &ChangeSet,
        head: &Head,
        is_old: bool,
    ) -> Result<usize, Failure> {
        match self.followed(store, changes, head, is_old).await? {
            Followed::Converged { bodies } => {
                if !is_old {
                    output::report(followers(bodies));
                }
                for (target, revision, share) in changes.judged() {
                    output::report(format_args!(
                        "{target}: {share} % of its calls go to revision {revision}, which is being judged: it is promoted \
                         or rolled back by itself (`cbs events` tells when, `cbs bodies` and `cbs history` afterwards)"
                    ));
                }
                Ok(bodies)
            }
            Followed::Nobody => {
                output::report(format_args!(
                    "{WARNING}nobody runs it yet:{WARNING:#} no body has joined the fleet of this namespace; `cbs up` starts one"
                ));
                Ok(0)
            }
            Followed::Not(missing) => {
                missing
                    .iter()
                    .for_each(|line| output::report(format_args!("  {}", output::sanitize(line))));
                let number = head.number;
                Err(Failure::failed(format_args!(
                    "generation {number} is deployed, but not all of it runs as wanted; `cbs rollback` restores the former one"
                )))
            }
        }
    }

    /// Waits for this head, and for later heads that replace it without changing the entries that
    /// it touches.
    async fn followed(
        &self,
        store: &Store,
        changes: &ChangeSet,
        head: &Head,
        is_old: bool,
    ) -> Result<Followed, Failure> {
        let until = Instant::now() + self.timeout;
        let report = |line: String| output::report(format_args!("  {}", output::sanitize(&line)));
        let diff = changes.diff();
        let entries = changes.manifest().entries();
        let mut targets = diff.targets();
        targets.extend(
            changes
                .touched()
                .into_iter()
                .filter_map(|index| entries.get(index))
                .map(|(target, _)| target),
        );
        let (mut head, mut manifest) = (head.clone(), changes.manifest().clone());
        loop {
            let touched = targets
                .iter()
                .filter_map(|target| manifest.get(target).map(|(index, _)| index))
                .collect();
            let wanted =
                Wanted { head: head.hash(), manifest: &manifest, touched: &touched, is_old };
            let replaced = tokio::select! {
                followed = wait(store, &wanted, until - Instant::now(), report) => return Ok(followed),
                replaced = replaced(store, &head, &manifest) => replaced,
            };
            outrun(&head, &targets, &replaced)?;
            (head, manifest) = (replaced.by, replaced.manifest);
        }
    }
}

/// Reports that another head replaced this one before every body had followed it. The wait goes on
/// with the new head if it does not change the entries that this one touched.
fn outrun(
    head: &Head,
    touched: &BTreeSet<&Target>,
    Replaced { by, theirs, .. }: &Replaced,
) -> Result<(), Failure> {
    let message = if by.message.is_empty() { String::new() } else { format!(" ({})", by.message) };
    let reported = output::sanitize(&format!(
        "generation {} is replaced by generation {} of {}{message}",
        head.number, by.number, by.who
    ));
    if !theirs.targets().is_disjoint(touched) {
        output::report("what the other changed:");
        output::report(plan::table(theirs));
        return Err(Failure::failed(format_args!("{reported} before every body had followed it")));
    }
    output::report(format_args!(
        "{reported}, which changes nothing of this: bodies follow that one"
    ));
    Ok(())
}

/// Formats the number of bodies: `2 bodies follow`.
fn followers(bodies: usize) -> String {
    let follow = if bodies == 1 { "follows" } else { "follow" };
    format!("{} {follow}", output::count(bodies, "body", "bodies"))
}

/// Warns of entries that cannot be started again. They go on where they run.
fn warn_of_broken(changes: &ChangeSet) {
    let broken = changes.broken();
    if let Some(first) = broken.first() {
        let more = if broken.len() > 1 {
            format!(" and {} more", broken.len() - 1)
        } else {
            String::new()
        };
        output::warn(format_args!(
            "the content of {first}{more} is not in the store any more: deploy it again"
        ));
    }
}

/// Removes the objects that no head reaches, and returns their number. A failure does not fail the
/// deploy: the next one tries again.
async fn collect(store: &Store) -> Option<usize> {
    match Box::pin(timeout(COLLECT_LIMIT, store.collect())).await {
        Ok(Ok(removed)) => {
            tracing::info!(removed, "old content was collected");
            Some(removed)
        }
        Ok(Err(error)) => {
            tracing::info!("old content was not collected, the next deploy tries again: {error:#}");
            None
        }
        Err(_) => {
            tracing::info!("collecting old content took too long, the next deploy goes on");
            None
        }
    }
}
