//! `cbs deploy`, `diff`, `undeploy` and `rollback`: what changes the desired state.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use bus_nats::Nats;
use cbs::Target;
use fleet::{Diff, Head};
use serde_json::{Value, json};
use tokio::time::timeout;

use super::{Globals, input, target};
use crate::{
    exit::{Failure, Outcome, Status},
    fleet::{Draft, Now, Outcome as Followed, Parcel, Stock, Store, Wanted, Written, wait},
    output::{self, Format, GOOD, WARNING},
    specs,
};

/// How long a deploy may spend on what is not its own work.
const COLLECT_LIMIT: Duration = Duration::from_secs(5);

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
    #[arg(required = true, value_name = "NAME", value_parser = target)]
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
    /// The number of a head in `cbs history` [default: the latest that was different]
    #[arg(long, value_name = "NUMBER")]
    to: Option<u64>,
    #[command(flatten)]
    change: Change,
}

/// How a change is made.
#[derive(Clone, Debug, clap::Args)]
struct Change {
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Wait until every body has followed
    #[arg(long, value_name = "YES", default_value_t = true, action = clap::ArgAction::Set, num_args = 0..=1, default_missing_value = "true")]
    wait: bool,
    /// How long to wait
    #[arg(long, value_name = "TIME", value_parser = input::duration, default_value = "60s")]
    timeout: Duration,
}

impl Deploy {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let parcels = parcels(&self.paths)?;
        let nats = connect(globals).await?;
        let outcome = async {
            let store = Box::pin(store(globals, &nats, self.change.dry_run)).await?;
            let (now, stock) = match &store {
                Some(store) if self.change.dry_run => (store.now().await?, Stock::default()),
                Some(store) => Box::pin(present(store)).await?,
                None => Default::default(),
            };
            let draft = Draft::deploy(now, stock, parcels)?;
            let head = |draft: &Draft| next(draft, &self.message);
            Box::pin(self.change.make(globals, store.as_ref(), draft, head)).await
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
        let nats = connect(globals).await?;
        let outcome = async {
            let store = deployed(globals, &nats).await?;
            let (now, stock) = Box::pin(present(&store)).await?;
            if let Some(lost) = now.lost.first() {
                return Err(Failure::failed(format_args!(
                    "the part {} of the present head is not in the store any more: deploy its specs again, or go back \
                     with `cbs rollback`; nothing was changed",
                    lost.short()
                )));
            }
            let unknown: Vec<String> =
                self.targets.iter().filter(|it| now.manifest.get(it).is_none()).map(ToString::to_string).collect();
            if !unknown.is_empty() {
                let namespace = globals.namespace();
                let names = unknown.join(", ");
                return Err(Failure::failed(format_args!(
                    "not deployed in the namespace {namespace}: {names}; nothing was changed"
                )));
            }
            let manifest = now.manifest.without(&self.targets.iter().cloned().collect::<BTreeSet<_>>());
            let head = |draft: &Draft| next(draft, &self.message);
            Box::pin(self.change.make(globals, Some(&store), Draft::of(now, stock, manifest)?, head)).await
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

impl Rollback {
    pub(crate) async fn run(&self, globals: &Globals) -> Outcome {
        let nats = connect(globals).await?;
        let outcome = async {
            let store = deployed(globals, &nats).await?;
            let ((now, stock), history) = (Box::pin(present(&store)).await?, store.history().await?);
            let to = match self.to {
                Some(number) => history.get(number).map_err(Failure::failed)?.clone(),
                None => history
                    .before()
                    .ok_or_else(|| Failure::failed("history has nothing else to go back to; nothing was changed"))?
                    .clone(),
            };
            let unreadable = || format!("head {} cannot be brought back; nothing was changed", to.number);
            let manifest = store.manifest(to.manifest).await.with_context(unreadable)?;
            let head = |draft: &Draft| match &draft.base().head {
                Some((now, _)) => now.rollback(&to, &who(), millis()),
                None => next(draft, ""),
            };
            Box::pin(self.change.make(globals, Some(&store), Draft::of(now, stock, manifest)?, head)).await
        };
        closing(nats.clone(), Box::pin(outcome)).await
    }
}

impl Change {
    /// Shows the plan, writes it, and waits.
    async fn make(
        &self,
        globals: &Globals,
        store: Option<&Store>,
        draft: Draft,
        head: impl FnOnce(&Draft) -> Head,
    ) -> Outcome {
        let diff = draft.diff();
        if self.dry_run {
            match globals.format {
                Format::Json => output::print_json(&as_json(&diff))?,
                Format::Human if diff.is_empty() => output::print("nothing would change")?,
                Format::Human => output::print(table(&diff))?,
            }
            return Ok(Status::Done);
        }
        let Some(store) = store else { return Ok(Status::Done) };
        if let Some(hint) = store.hint() {
            output::warn(hint);
        }
        if diff.is_empty() || draft.is_empty() {
            return self.nothing(globals, store, &draft).await;
        }
        output::tell(table(&diff));
        let head = match draft.write(store, head(&draft)).await? {
            Written::Head(head) => head,
            Written::Conflict(conflict) => {
                output::tell("what the other changed:");
                output::tell(table(&conflict.theirs));
                return Err(Failure::failed(format_args!(
                    "{}; nothing was changed",
                    output::harmless(&conflict.to_string())
                )));
            }
        };
        output::tell(format_args!("head {} is written", head.number));
        warn_of_broken(&draft);
        let following =
            async { if self.wait { self.follow(store, &draft, &head, false).await.map(Some) } else { Ok(None) } };
        let (followed, collected) = tokio::join!(following, collect(store));
        let bodies = followed?;
        match globals.format {
            Format::Json => output::print_json(&json!({
                "head": head.number,
                "changes": as_json(&diff),
                "bodies": bodies,
                "collected": collected,
            }))?,
            Format::Human => output::print(format_args!("{GOOD}deployed{GOOD:#}: head {}", head.number))?,
        }
        Ok(Status::Done)
    }

    /// All of it is deployed already: content that was lost is put back, and bodies are waited for as ever.
    async fn nothing(&self, globals: &Globals, store: &Store, draft: &Draft) -> Outcome {
        let mended = draft.put(store).await?;
        if mended > 0 {
            output::warn(format_args!(
                "{} of what is deployed had been lost, and {} put back",
                output::count(mended, "part", "parts"),
                if mended == 1 { "is" } else { "are" }
            ));
        }
        warn_of_broken(draft);
        let head = draft.base().head.as_ref().map(|(head, _)| head);
        let bodies = match head {
            Some(head) if self.wait => Some(self.follow(store, draft, head, true).await?),
            _ => None,
        };
        match globals.format {
            Format::Json => output::print_json(&json!({
                "head": head.map(|head| head.number),
                "changes": as_json(&draft.diff()),
                "bodies": bodies,
                "mended": mended,
            }))?,
            Format::Human => {
                let follow = bodies.map(|bodies| format!("; {}", followers(bodies))).unwrap_or_default();
                output::print(format_args!("nothing to change{follow}"))?;
            }
        }
        Ok(Status::Done)
    }

    /// Waits until bodies have followed; how many there are.
    async fn follow(&self, store: &Store, draft: &Draft, head: &Head, is_old: bool) -> Result<usize, Failure> {
        let touched = draft.touched();
        let wanted = Wanted { head: head.hash(), manifest: draft.manifest(), touched: &touched, is_old };
        let tell = |line: String| output::tell(format_args!("  {}", output::harmless(&line)));
        match wait(store, &wanted, self.timeout, tell).await {
            Followed::Converged { bodies } => {
                if !is_old {
                    output::tell(followers(bodies));
                }
                for (target, revision, share) in draft.judged() {
                    output::tell(format_args!(
                        "{target}: {share} % of its calls go to revision {revision}, which is being judged: it is promoted \
                         or rolled back by itself (`cbs events` tells when, `cbs bodies` and `cbs history` afterwards)"
                    ));
                }
                Ok(bodies)
            }
            Followed::Nobody => {
                output::tell(format_args!(
                    "{WARNING}nobody runs it yet:{WARNING:#} no body has joined the fleet of this namespace; `cbs up` starts one"
                ));
                Ok(0)
            }
            Followed::Not(missing) => {
                missing.iter().for_each(|line| output::tell(format_args!("  {}", output::harmless(line))));
                let number = head.number;
                Err(Failure::failed(format_args!(
                    "head {number} is deployed, and not everything follows; `cbs rollback` brings the former state back"
                )))
            }
        }
    }
}

/// `2 bodies follow`.
fn followers(bodies: usize) -> String {
    let follow = if bodies == 1 { "follows" } else { "follow" };
    format!("{} {follow}", output::count(bodies, "body", "bodies"))
}

/// Says what cannot be started anywhere anew: it goes on where it runs.
fn warn_of_broken(draft: &Draft) {
    let broken = draft.broken();
    if let Some(first) = broken.first() {
        let more = if broken.len() > 1 { format!(" and {} more", broken.len() - 1) } else { String::new() };
        output::warn(format_args!("the content of {first}{more} is not in the store any more: deploy it again"));
    }
}

/// Removes what no head reaches; how much. That it fails is no fault of the deploy: the next one tries again.
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

/// What holds now, and all that lies in the store.
async fn present(store: &Store) -> anyhow::Result<(Now, Stock)> {
    // What lies there first: what is put later is young.
    let stock = Box::pin(store.stock()).await?;
    Ok((store.now().await?, stock))
}

/// Reads, checks and packs all specs: every mistake is told, and nothing has been touched.
fn parcels(paths: &specs::Paths) -> Result<Vec<Parcel>, Failure> {
    let specs = paths.load().map_err(|error| specs::failure(&error))?;
    let cells = specs.cells().map(|spec| {
        let parcel = check_code(spec).and_then(|()| Parcel::of_cell(spec));
        (&spec.metadata, Target::from(spec.name.clone()), parcel)
    });
    let flows = specs.flows().map(|spec| (&spec.metadata, Target::from(spec.name.clone()), Parcel::of_flow(spec)));
    let (mut parcels, mut wrong) = (Vec::new(), 0);
    for (metadata, target, parcel) in cells.chain(flows) {
        match parcel {
            Ok(parcel) => parcels.push(parcel),
            Err(error) => {
                wrong += 1;
                output::tell(format_args!("{}:{}: {target}: {error:#}", metadata.file.display(), metadata.line));
            }
        }
    }
    if wrong > 0 {
        let specs = output::count(wrong, "spec", "specs");
        return Err(Failure::failed(format_args!("{specs} cannot be deployed; nothing was changed")));
    }
    Ok(parcels)
}

/// What can be seen of a cell's code without running it.
#[cfg(feature = "python")]
fn check_code(spec: &spec::CellSpec) -> anyhow::Result<()> {
    let spec::Runtime::Python(python) = &spec.runtime else { return Ok(()) };
    host_python::check_source(&python.file, &python.function, &spec.name).map_err(anyhow::Error::msg)
}

/// This program hosts no Python, so it cannot read any.
#[cfg(not(feature = "python"))]
fn check_code(_: &spec::CellSpec) -> anyhow::Result<()> {
    Ok(())
}

fn next(draft: &Draft, message: &str) -> Head {
    let before = draft.base().head.as_ref().map(|(head, _)| head);
    Head::after(before, draft.root(), &who(), millis(), message)
}

/// `ada@laptop`: a claim for people.
fn who() -> String {
    let user =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok()).unwrap_or_else(|| "somebody".into());
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

/// Ends the connection whatever came of the work.
pub(super) async fn closing(nats: Nats, work: impl Future<Output = Outcome>) -> Outcome {
    let outcome = work.await;
    nats.close().await;
    outcome
}

/// The desired state, made where it is not there; a dry run makes nothing.
async fn store(globals: &Globals, nats: &Nats, dry_run: bool) -> Result<Option<Store>, Failure> {
    if dry_run {
        return Store::existing(nats.clone(), globals.namespace()).await.map_err(Failure::not_started);
    }
    Box::pin(Store::open(nats.clone(), globals.namespace())).await.map(Some).map_err(Failure::not_started)
}

/// The desired state of a namespace to which something was deployed.
pub(super) async fn deployed(globals: &Globals, nats: &Nats) -> Result<Store, Failure> {
    let store = Store::existing(nats.clone(), globals.namespace()).await.map_err(Failure::not_started)?;
    let namespace = globals.namespace();
    store.ok_or_else(|| {
        Failure::failed(format_args!("nothing was ever deployed in the namespace {namespace}; `cbs deploy PATHS` does"))
    })
}

/// A plan, a line a change.
fn table(diff: &Diff) -> String {
    let added = diff.added.iter().map(|target| ["add".to_owned(), target.to_string(), String::new()]);
    let changed = diff.changed.iter().map(|change| {
        let line = change.to_string();
        let fields = line.split_once(": ").map(|(_, fields)| fields.to_owned()).unwrap_or_default();
        ["change".to_owned(), change.target.to_string(), fields]
    });
    let removed = diff.removed.iter().map(|target| ["remove".to_owned(), target.to_string(), String::new()]);
    output::table(["plan", "target", "what"], added.chain(changed).chain(removed))
}

fn as_json(diff: &Diff) -> Value {
    let names = |targets: &[Target]| targets.iter().map(ToString::to_string).collect::<Vec<_>>();
    let changed: BTreeMap<String, _> =
        diff.changed.iter().map(|change| (change.target.to_string(), &change.fields)).collect();
    json!({ "added": names(&diff.added), "removed": names(&diff.removed), "changed": changed })
}
