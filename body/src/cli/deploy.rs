//! `cbs deploy`, `diff`, `undeploy` and `rollback`: the commands that change the desired state.

mod change;
mod packing;
mod plan;

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use bus_nats::Nats;
use cbs::Target;
use fleet::Head;
use tokio::time::timeout;

use self::change::Change;
use super::{Globals, completions, names, target};
use crate::{
    exit::{Failure, Outcome},
    fleet::{ChangeSet, DeployStage, Inventory, Now, RetryUntil, Store, unless_denied},
    output, specs,
};

/// Makes the fleet run what these specs say, and waits until it does.
///
/// What is deployed and not named here stays. Everything is checked before anything is touched.
#[derive(Debug, clap::Args)]
pub(crate) struct Deploy {
    #[command(flatten)]
    paths: specs::Paths,
    #[command(flatten)]
    change: Change,
    /// Why, in a line of the history
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    message: String,
}

/// Shows what `cbs deploy` would change.
#[derive(Debug, clap::Args)]
pub(crate) struct DiffSpecs {
    #[command(flatten)]
    paths: specs::Paths,
}

/// Takes cells and flows out of the fleet.
#[derive(Debug, clap::Args)]
pub(crate) struct Undeploy {
    /// Cells (`logic.greet`) and flows (`greeting`)
    #[arg(required = true, value_name = "NAME", value_parser = target, add = completions::targets())]
    targets: Vec<Target>,
    #[command(flatten)]
    change: Change,
    /// Why, in a line of the history
    #[arg(long, short, value_name = "TEXT", default_value = "")]
    message: String,
}

/// Brings back what was deployed before.
#[derive(Debug, clap::Args)]
pub(crate) struct Rollback {
    /// Number of a generation in `cbs history` [default: the latest that was different]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    #[command(flatten)]
    change: Change,
}

/// Limit of the time for a check that is not the work of a command itself.
const LOOK_LIMIT: Duration = Duration::from_secs(1);

impl Deploy {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let artifacts = packing::artifacts(&self.paths)?;
        let nats = self.change.connect(globals).await?;
        let outcome = async {
            let dry_run = self.change.dry_run;
            let retry = self.change.retry(&nats);
            let store = open(globals, &nats, &retry, dry_run).await?;
            let (now, inventory) = match &store {
                // A dry run writes nothing, so it does not list the stored objects.
                Some(store) if dry_run => {
                    let now = async || store.now().await;
                    (retry.with(DeployStage::Content, now).await?, Inventory::default())
                }
                Some(store) => present(store, &retry).await?,
                None => Default::default(),
            };
            if now.head.is_none() {
                warn_of_lost_history(globals, &nats).await;
            }
            let changes = ChangeSet::deploy(now, inventory, artifacts)?;
            let head = |changes: &ChangeSet| next(changes, &self.message);
            Box::pin(self.change.make(globals, &retry, store.as_ref(), changes, head)).await
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

impl DiffSpecs {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let change = Change { dry_run: true, wait: false, timeout: Duration::ZERO };
        let deploy = Deploy { paths: self.paths.clone(), change, message: String::new() };
        Box::pin(deploy.run(globals)).await
    }
}

impl Undeploy {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = self.change.connect(globals).await?;
        let outcome = async {
            let retry = self.change.retry(&nats);
            let store = open(globals, &nats, &retry, true).await?.ok_or_else(|| never(globals))?;
            let (now, inventory) = present(&store, &retry).await?;
            if let Some(lost) = now.lost.first() {
                return Err(Failure::failed(format_args!(
                    "the part {} of the current generation is not in the store any more: deploy its specs again, or go back \
                     with `cbs rollback`; nothing was changed",
                    lost.short()
                )));
            }
            let unknown: Vec<&Target> =
                self.targets.iter().filter(|it| now.manifest.get(it).is_none()).collect();
            if let Some(first) = unknown.first() {
                let namespace = globals.namespace();
                let names = unknown.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
                let hint = names::hint(first, &names::of(&now.manifest))
                    .map(|hint| format!("; {hint}"))
                    .unwrap_or_default();
                return Err(Failure::failed(format_args!(
                    "not deployed in the namespace {namespace}: {names}; nothing was changed{hint}"
                )));
            }
            let manifest =
                now.manifest.without(&self.targets.iter().cloned().collect::<BTreeSet<_>>());
            let head = |changes: &ChangeSet| next(changes, &self.message);
            Box::pin(self.change.make(
                globals,
                &retry,
                Some(&store),
                ChangeSet::of(now, inventory, manifest)?,
                head,
            ))
            .await
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

impl Rollback {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = self.change.connect(globals).await?;
        let outcome = async {
            let retry = self.change.retry(&nats);
            let store = open(globals, &nats, &retry, true).await?.ok_or_else(|| never(globals))?;
            let (now, inventory) = present(&store, &retry).await?;
            let history = retry.with(DeployStage::Content, async || store.history().await).await?;
            let to = match self.to {
                Some(number) => history.get(number).map_err(Failure::failed)?.clone(),
                None => history
                    .before()
                    .ok_or_else(|| {
                        Failure::failed(
                            "history has nothing else to go back to; nothing was changed",
                        )
                    })?
                    .clone(),
            };
            let unreadable =
                || format!("generation {} cannot be restored; nothing was changed", to.number);
            let manifest =
                retry.with(DeployStage::Content, async || store.manifest(to.manifest).await);
            let manifest = manifest.await.with_context(unreadable)?;
            let head = |changes: &ChangeSet| match &changes.base().head {
                Some((now, _)) => now.rollback(&to, &who(), millis()),
                None => next(changes, ""),
            };
            Box::pin(self.change.make(
                globals,
                &retry,
                Some(&store),
                ChangeSet::of(now, inventory, manifest)?,
                head,
            ))
            .await
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

/// Reads the present state, and the inventory of all stored objects.
async fn present(store: &Store, retry: &RetryUntil) -> anyhow::Result<(Now, Inventory)> {
    let read = async || {
        // What lies there first: what is put later is young.
        let inventory = Box::pin(store.sound_stock()).await?;
        Ok((store.now().await?, inventory))
    };
    retry.with(DeployStage::Content, read).await
}

fn next(changes: &ChangeSet, message: &str) -> Head {
    let before = changes.base().head.as_ref().map(|(head, _)| head);
    Head::after(before, changes.root(), &who(), millis(), message)
}

/// Returns the author, for example `ada@laptop`. It is not verified.
fn who() -> String {
    let user = ["USER", "LOGNAME"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok())
        .unwrap_or_else(|| "somebody".into());
    let host = nix::unistd::gethostname().unwrap_or_default();
    format!("{user}@{}", host.to_string_lossy())
}

fn millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

pub(super) async fn connect(globals: &Globals) -> Result<Nats, Failure> {
    globals.nats.client(&globals.namespace()).await
}

/// Closes the connection, whatever the result of the work is.
pub(super) async fn closing(nats: Nats, work: impl Future<Output = Outcome>) -> Outcome {
    let outcome = work.await;
    nats.close().await;
    outcome
}

/// Opens the desired state, and makes it if it does not exist. With `only_existing` it is not made,
/// and the result may be `None`.
async fn open(
    globals: &Globals,
    nats: &Nats,
    retry: &RetryUntil,
    only_existing: bool,
) -> Result<Option<Store>, Failure> {
    let open = async || match only_existing {
        true => Ok(Store::existing(nats.clone(), globals.namespace()).await?),
        false => Ok(Some(Box::pin(Store::open(nats.clone(), globals.namespace())).await?)),
    };
    let opened = retry.with(DeployStage::Content, open).await;
    opened.map_err(|error| Failure::not_started(format_args!("{error:#}")))
}

/// Warns if bodies run a head that the server does not have, for example after it restarted with
/// empty streams.
pub(super) async fn warn_of_lost_history(globals: &Globals, nats: &Nats) {
    let bodies = timeout(LOOK_LIMIT, Store::bodies(nats, &globals.namespace())).await;
    // Without an answer there is nothing to compare with: the command continues.
    let bodies = bodies.ok().and_then(Result::ok).unwrap_or_default();
    let applied: Vec<u64> = bodies.iter().filter_map(|body| Some(body.applied?.number)).collect();
    if let Some(newest) = applied.iter().max() {
        let (count, run) = (
            output::count(applied.len(), "body", "bodies"),
            if applied.len() == 1 { "runs" } else { "run" },
        );
        output::warn(format_args!(
            "{count} {run} generation {newest}, and the server has none: its history is lost, as after a restart with empty \
             streams; bodies go on with what they have until everything is deployed again"
        ));
    }
}

/// Opens the desired state of a namespace to which something was deployed.
pub(super) async fn deployed(globals: &Globals, nats: &Nats) -> Result<Store, Failure> {
    let existing = unless_denied(nats, Store::existing(nats.clone(), globals.namespace()));
    let store = existing.await.map_err(|error| Failure::not_started(format_args!("{error:#}")))?;
    if store.is_none() {
        warn_of_lost_history(globals, nats).await;
    }
    store.ok_or_else(|| never(globals))
}

fn never(globals: &Globals) -> Failure {
    let namespace = globals.namespace();
    Failure::failed(format_args!(
        "nothing was ever deployed in the namespace {namespace}; `cbs deploy PATHS` does"
    ))
}
