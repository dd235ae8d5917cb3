//! Wait until every body has followed a head, or until it is known that one does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bus_nats::{
    LinkState,
    store::{KeyChange, KeyWatch, StoreError, WatchEvent},
};
use fleet::{ContentHash, EntryStatus, LEASE_MS, Manifest, Presence, Timing};
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::{ASK_FLEET, Store, unplaced};
use crate::output;

/// Time before it is believed that no body can run an entry. The others receive a body's refusal at
/// the same moment as this program, and answer with their next lease.
const BELIEVED_AFTER: Duration = Duration::from_millis(2_500);

/// Time that an old revision takes to leave the bus.
const OLD_STOPS: Duration = Duration::from_millis(100);

/// Time of two leases: within it a lease of every running body is received, as FLEET-7 says.
const HOLD: Duration = Duration::from_millis(2 * LEASE_MS);

/// Time that bodies have to answer when they are asked whether they run.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);

/// Time before another watch of the leases is opened.
const REOPEN_AFTER: Duration = Duration::from_millis(500);

/// Result of the wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every running body has followed, and all entries that were touched run.
    Converged {
        /// Number of bodies that run.
        bodies: usize,
    },
    /// No body runs. Bodies that join later will follow.
    Nobody,
    /// No body can run some of the entries, or time is up. The lines say which entries, and why.
    Not(Vec<String>),
}

/// State that is waited for.
pub(crate) struct Wanted<'a> {
    pub(crate) head: ContentHash,
    pub(crate) manifest: &'a Manifest,
    /// The entries that count, by index in the manifest.
    pub(crate) touched: &'a BTreeSet<usize>,
    /// True if the head is one that held before: then a lease may be of a body that has died since.
    pub(crate) is_old: bool,
}

/// Progress of the bodies.
#[derive(Debug, PartialEq, Eq)]
struct Progress {
    followed: usize,
    bodies: usize,
    /// The missing parts, in words for the operator.
    missing: Vec<String>,
    /// True if no amount of time helps.
    hopeless: bool,
}

/// Waits until `limit` is over, whatever the server does. Reports progress, one line each time.
pub(crate) async fn wait(
    store: &Store,
    wanted: &Wanted<'_>,
    limit: Duration,
    mut report: impl FnMut(String),
) -> Outcome {
    let until = Instant::now() + limit;
    let mut link = store.nats().link();
    let mut observed = Observed::default();
    let mut reported = String::new();
    let mut tell_new = |line: String| {
        if line != reported {
            report(line.clone());
            reported = line;
        }
    };
    // A lost connection, or a watch that ends: another begins with all leases.
    loop {
        observed.begin();
        // A request on a connection that is lost meanwhile is never answered.
        let opened = tokio::select! {
            opened = timeout_at(until, open(store, &mut observed)) => Some(opened),
            _ = link.wait_for(|state| *state == LinkState::Down) => None,
        };
        let watching = match opened {
            Some(Ok(Ok(watching))) => watching,
            Some(Ok(Err(error))) => {
                tell_new(format!("the leases of the bodies cannot be read: {error}"));
                if timeout_at(until, sleep(REOPEN_AFTER)).await.is_err() {
                    return observed.too_late(wanted, Some(&error));
                }
                continue;
            }
            Some(Err(_)) => return observed.too_late(wanted, None),
            None => {
                tell_new(
                    "the connection is lost: waiting until the bodies report again".to_owned(),
                );
                if timeout_at(until, link.wait_for(|state| *state == LinkState::Up)).await.is_err()
                {
                    return observed.too_late(wanted, None);
                }
                observed.hold(HOLD);
                continue;
            }
        };
        match follow(store, watching, wanted, &mut observed, until, &mut tell_new).await {
            Some(Outcome::Converged { bodies }) => {
                if !wanted.is_old {
                    // The old revision answers for so long beside the new one, and its bodies do
                    // not say so.
                    let settled =
                        sleep(Duration::from_millis(Timing::default().settle) + OLD_STOPS);
                    let _ = timeout_at(until, settled).await;
                }
                return Outcome::Converged { bodies };
            }
            Some(outcome) => return outcome,
            None => {
                observed.hold(HOLD);
                if timeout_at(until, sleep(REOPEN_AFTER)).await.is_err() {
                    return observed.too_late(wanted, None);
                }
            }
        }
    }
}

/// Opens a watch of the leases. After a restart of the server the bucket is new, and the leases of
/// running bodies have not been received yet.
async fn open(store: &Store, observed: &mut Observed) -> Result<KeyWatch, StoreError> {
    let bucket = store.presence().await?;
    let (age, deployed) = tokio::try_join!(bucket.age(), store.desired().age())?;
    // In a namespace that is as young itself nothing was lost.
    if age < deployed && deployed > HOLD {
        observed.hold(HOLD.saturating_sub(age));
    }
    bucket.watch(">").await
}

/// Follows one watch. Returns `None` when the watch has ended.
async fn follow(
    store: &Store,
    mut watching: KeyWatch,
    wanted: &Wanted<'_>,
    observed: &mut Observed,
    until: Instant,
    report: &mut impl FnMut(String),
) -> Option<Outcome> {
    let mut link = store.nats().link();
    let mut hopeless: Option<Instant> = None;
    loop {
        let wake = hopeless.map_or(until, |since| since + BELIEVED_AFTER).min(until);
        let wake = observed
            .trusted
            .filter(|trusted| *trusted > Instant::now())
            .map_or(wake, |trusted| trusted.min(wake));
        let seen = tokio::select! {
            seen = timeout_at(wake, watching.next()) => seen,
            _ = link.wait_for(|state| *state == LinkState::Down) => return None,
        };
        match seen {
            Ok(Ok(seen)) => observed.hears(seen),
            Ok(Err(_)) => return None,
            Err(_) => {}
        }
        let now = progress(&observed.presences(), wanted);
        let is_over = Instant::now() >= until;
        if is_over {
            return Some(observed.too_late(wanted, None));
        }
        if !observed.is_whole {
            continue;
        }
        if observed.is_trusted(wanted) {
            if now.bodies == 0 {
                observed.unheard = living(store).await;
                if observed.unheard == 0 {
                    return Some(Outcome::Nobody);
                }
                // They run, and will report again.
                observed.hold(HOLD);
                report(format!(
                    "{} of the fleet without a lease yet",
                    output::count(observed.unheard, "body", "bodies")
                ));
                continue;
            }
            if now.missing.is_empty() {
                return Some(Outcome::Converged { bodies: now.bodies });
            }
            if now.hopeless && hopeless.is_some_and(|since| since.elapsed() >= BELIEVED_AFTER) {
                return Some(Outcome::Not(now.missing));
            }
        }
        hopeless = now.hopeless.then(|| hopeless.unwrap_or_else(Instant::now));
        if !now.missing.is_empty() {
            report(format!(
                "{} of {} bodies have the generation; {}",
                now.followed,
                now.bodies,
                summary(&now.missing)
            ));
        }
    }
}

/// Returns the number of bodies of the fleet that answer when they are asked, whatever has become
/// of their leases. The number is 0 if the user has no permission to ask.
async fn living(store: &Store) -> usize {
    let answers = store.nats().ask_all(&json!({ "ask": ASK_FLEET }), ANSWERS_WITHIN).await;
    answers.map_or(0, |answers| answers.iter().filter(|(_, answer)| answer.is_ok()).count())
}

/// The bodies as their leases were received.
#[derive(Default)]
struct Observed {
    /// Leases, each with true if it was put since the watch began.
    bodies: BTreeMap<String, (Presence, bool)>,
    /// Set when all leases that existed when the watch began have been received.
    is_whole: bool,
    /// Until this moment the absence of a body means nothing.
    trusted: Option<Instant>,
    /// Number of bodies of the fleet that answered while none had a lease.
    unheard: usize,
}

impl Observed {
    /// Starts again with a new watch.
    fn begin(&mut self) {
        self.bodies.clear();
        self.is_whole = false;
    }

    /// Ignores the absence of bodies for this time from now on.
    fn hold(&mut self, time: Duration) {
        self.trusted = self.trusted.max(Some(Instant::now() + time));
    }

    fn hears(&mut self, seen: WatchEvent) {
        match seen {
            WatchEvent::Current => self.is_whole = true,
            WatchEvent::Change(KeyChange { key, value: Some(bytes), .. }) => {
                // One that cannot be read is a newer program's.
                if let Ok(presence) = Presence::decode(&bytes) {
                    self.bodies.insert(key, (presence, self.is_whole));
                }
            }
            WatchEvent::Change(KeyChange { key, value: None, .. }) => {
                // A body that stops reports it before. All others have died, or the server was
                // down for a lease's time: then they will report again.
                if self.bodies.remove(&key).is_some_and(|(presence, _)| !presence.draining) {
                    self.hold(HOLD);
                }
            }
        }
    }

    fn is_trusted(&self, wanted: &Wanted<'_>) -> bool {
        let is_heard = !wanted.is_old || self.bodies.values().all(|(_, since)| *since);
        is_heard && self.trusted.is_none_or(|trusted| trusted <= Instant::now())
    }

    fn presences(&self) -> BTreeMap<&str, &Presence> {
        self.bodies.iter().map(|(id, (presence, _))| (id.as_str(), presence)).collect()
    }

    /// Returns the outcome when time is up: the parts that are missing.
    fn too_late(&self, wanted: &Wanted<'_>, error: Option<&StoreError>) -> Outcome {
        let why = |error: &StoreError| format!("the leases of the bodies cannot be read: {error}");
        if !self.is_whole {
            let silent = || "the leases of the bodies cannot be read: no answer in time".to_owned();
            return Outcome::Not(vec![error.map_or_else(silent, why)]);
        }
        let now = progress(&self.presences(), wanted);
        if now.bodies == 0 && self.unheard > 0 {
            let bodies = output::count(self.unheard, "body runs", "bodies run");
            return Outcome::Not(vec![format!(
                "{bodies} without a lease: the logs of the bodies have the reason"
            )]);
        }
        if now.missing.is_empty() {
            let followed = now.followed;
            return Outcome::Not(vec![format!(
                "{followed} of {} bodies that report have it; others may not have reported again yet",
                now.bodies
            )]);
        }
        Outcome::Not(now.missing)
    }
}

fn summary(missing: &[String]) -> String {
    match missing {
        [] => String::new(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one}, and {} more", rest.len()),
    }
}

fn progress(bodies: &BTreeMap<&str, &Presence>, wanted: &Wanted<'_>) -> Progress {
    // Whoever is about to end takes nothing new.
    let stay: Vec<&Presence> = bodies.values().copied().filter(|body| !body.draining).collect();
    let has = |body: &&&Presence| body.applied.is_some_and(|applied| applied.head == wanted.head);
    let (followed, behind): (Vec<&Presence>, Vec<&Presence>) =
        stay.iter().copied().partition(|body| has(&body));
    let mut missing: Vec<String> = behind
        .iter()
        .map(|body| {
            let why = body.stuck.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("body {} does not have the generation yet{why}", body.facts.body)
        })
        .collect();
    let mut hopeless = behind.is_empty();
    for &index in wanted.touched {
        let Some((target, item)) = wanted.manifest.entries().get(index) else { continue };
        let enabled = item.known().is_some_and(|entry| entry.enabled);
        let of =
            |body: &Presence| (body.states.at(index), body.facts.body.clone(), reason(body, index));
        let statuses: Vec<_> = followed.iter().map(|body| of(body)).collect();
        let ready = statuses.iter().any(|(status, ..)| status.is_promise());
        let open =
            statuses.iter().filter(|(status, ..)| !is_settled(*status) || is_failing(*status));
        let nowhere =
            enabled && behind.is_empty() && statuses.iter().all(|(status, ..)| is_unowned(*status));
        let mut words: Vec<String> = open
            .map(|(status, body, why)| match nowhere {
                true => format!("{}{why}", unplaced::reason(target, body)),
                false => format!("{target} {} in {body}{why}", word(*status)),
            })
            .collect();
        if enabled && !ready && words.is_empty() {
            let refused = statuses.iter().filter(|(status, ..)| status.is_refused());
            words = refused
                .map(|(_, body, why)| format!("{target} cannot run in {body}{why}"))
                .collect();
            if words.is_empty() {
                words.push(format!(
                    "{target} runs nowhere: no body has the labels that it asks for"
                ));
            }
        }
        // A failed start is retried; an entry that no body can run stays so.
        let serves =
            statuses.iter().any(|(status, ..)| status.is_promise() && !is_failing(*status));
        hopeless &= words.is_empty()
            || nowhere
            || !serves && statuses.iter().all(|(status, ..)| is_settled(*status));
        missing.extend(words);
    }
    Progress {
        followed: followed.len(),
        bodies: stay.len(),
        hopeless: hopeless && !missing.is_empty(),
        missing,
    }
}

fn is_settled(status: EntryStatus) -> bool {
    status.is_settled() || status == EntryStatus::RefusedOld
}

/// True if the body neither owns the entry nor refuses it. If all bodies say so, none has the
/// labels that the entry asks for.
fn is_unowned(status: EntryStatus) -> bool {
    matches!(status, EntryStatus::Absent | EntryStatus::Extra | EntryStatus::Old)
}

/// True if the body serves an older revision, and cannot run this one or has rolled it back.
fn is_failing(status: EntryStatus) -> bool {
    matches!(status, EntryStatus::RefusedOld | EntryStatus::RolledBack)
}

fn word(status: EntryStatus) -> &'static str {
    match status {
        EntryStatus::Starting => "is being started",
        EntryStatus::Updating => "is being replaced",
        EntryStatus::Failed => "did not start",
        EntryStatus::Kept => "did not start, its old revision serves on,",
        EntryStatus::RefusedOld => "cannot run, its old revision serves on,",
        EntryStatus::Extra | EntryStatus::Old => "is being handed over",
        EntryStatus::Draining => "finishes its calls",
        EntryStatus::Canary => "has a canary that is being started",
        EntryStatus::RolledBack => "was rolled back, its old revision serves on,",
        _ => "is not settled",
    }
}

fn reason(body: &Presence, index: usize) -> String {
    let trouble = body.troubles.iter().find(|trouble| trouble.index == index);
    trouble.map(|trouble| format!(": {}", trouble.reason)).unwrap_or_default()
}

#[cfg(test)]
#[path = "rollout_status_tests.rs"]
mod tests;
