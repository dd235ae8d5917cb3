//! Until every body has followed a head, or it is known that one does not.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bus_nats::store::{Change, Seen};
use fleet::{ContentHash, Manifest, Presence, Standing, Timing};
use tokio::time::{Instant, sleep, timeout_at};

use super::Store;

/// What nobody can run is only believed after so long: a body that refuses is heard by the
/// others at the same moment as here, and they answer with their next lease.
const BELIEVED_AFTER: Duration = Duration::from_millis(2_500);

/// How long an old revision takes to leave the bus.
const OLD_STOPS: Duration = Duration::from_millis(100);

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Every body that lives has followed, and all that was touched runs.
    Converged {
        /// How many bodies live.
        bodies: usize,
    },
    /// No body lives: those to come will follow.
    Nobody,
    /// Nobody can run something of it, or time is up: what has not, and why.
    Not(Vec<String>),
}

/// What is waited for.
pub(crate) struct Wanted<'a> {
    pub(crate) head: ContentHash,
    pub(crate) manifest: &'a Manifest,
    /// The entries that count, by index.
    pub(crate) touched: &'a BTreeSet<usize>,
}

/// Where bodies stand.
#[derive(Debug, PartialEq, Eq)]
struct Picture {
    followed: usize,
    bodies: usize,
    /// What is missing, in words.
    missing: Vec<String>,
    /// Whether time may mend it.
    hopeless: bool,
}

/// Waits; tells of progress in a line each.
pub(crate) async fn wait(
    store: &Store,
    wanted: &Wanted<'_>,
    limit: Duration,
    mut tell: impl FnMut(String),
) -> anyhow::Result<Outcome> {
    let until = Instant::now() + limit;
    let bucket = store.presence().await?;
    let mut watching = bucket.watch(">").await?;
    let mut bodies: BTreeMap<String, Presence> = BTreeMap::new();
    let (mut whole, mut told, mut hopeless) = (false, String::new(), None);
    loop {
        let until = hopeless.map_or(until, |since: Instant| until.min(since + BELIEVED_AFTER));
        match timeout_at(until, watching.next()).await {
            Err(_) => return Ok(Outcome::Not(picture(&bodies, wanted).missing)),
            // The connection was lost: a new watch begins with all that lives.
            Ok(Err(_)) => {
                (watching, whole) = (bucket.watch(">").await?, false);
                bodies.clear();
            }
            Ok(Ok(Seen::Current)) => whole = true,
            Ok(Ok(Seen::Change(Change { key, value, .. }))) => match value.map(|bytes| Presence::decode(&bytes)) {
                Some(Ok(presence)) => _ = bodies.insert(key, presence),
                Some(Err(_)) => {}
                None => _ = bodies.remove(&key),
            },
        }
        if !whole {
            continue;
        }
        let now = picture(&bodies, wanted);
        if now.bodies == 0 {
            return Ok(Outcome::Nobody);
        }
        if now.missing.is_empty() {
            // The old revision answers for so long beside the new one, and its bodies do not say so.
            sleep(Duration::from_millis(Timing::default().settle) + OLD_STOPS).await;
            return Ok(Outcome::Converged { bodies: now.bodies });
        }
        hopeless = now.hopeless.then(|| hopeless.unwrap_or_else(Instant::now));
        let line = format!("{} of {} bodies have the head; {}", now.followed, now.bodies, summary(&now.missing));
        if line != told {
            tell(line.clone());
            told = line;
        }
    }
}

fn summary(missing: &[String]) -> String {
    match missing {
        [] => String::new(),
        [one] => one.clone(),
        [one, rest @ ..] => format!("{one}, and {} more", rest.len()),
    }
}

fn picture(bodies: &BTreeMap<String, Presence>, wanted: &Wanted<'_>) -> Picture {
    // Whoever is about to end takes nothing new.
    let stay: Vec<&Presence> = bodies.values().filter(|body| !body.draining).collect();
    let has = |body: &&&Presence| body.applied.is_some_and(|applied| applied.head == wanted.head);
    let (followed, behind): (Vec<&Presence>, Vec<&Presence>) = stay.iter().copied().partition(|body| has(&body));
    let mut missing: Vec<String> = behind
        .iter()
        .map(|body| {
            let why = body.stuck.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("body {} does not have the head yet{why}", body.facts.body)
        })
        .collect();
    let mut hopeless = behind.is_empty();
    for &index in wanted.touched {
        let Some((target, item)) = wanted.manifest.entries().get(index) else { continue };
        let enabled = item.known().is_some_and(|entry| entry.enabled);
        let of = |body: &Presence| (body.states.at(index), body.facts.body.clone(), reason(body, index));
        let standings: Vec<_> = followed.iter().map(|body| of(body)).collect();
        let ready = standings.iter().any(|(standing, ..)| *standing == Standing::Ready);
        let open = standings.iter().filter(|(standing, ..)| !is_settled(*standing) || is_failing(*standing));
        let mut words: Vec<String> =
            open.map(|(standing, body, why)| format!("{target} {} in {body}{why}", word(*standing))).collect();
        if enabled && !ready && words.is_empty() {
            let refused = standings.iter().filter(|(standing, ..)| standing.is_refused());
            words = refused.map(|(_, body, why)| format!("{target} cannot run in {body}{why}")).collect();
            if words.is_empty() {
                words.push(format!("{target} runs nowhere: no body has the labels that it asks for"));
            }
        }
        // A start that failed is tried again; what nobody can run stays so.
        hopeless &= words.is_empty() || !ready && standings.iter().all(|(standing, ..)| is_settled(*standing));
        missing.extend(words);
    }
    Picture { followed: followed.len(), bodies: stay.len(), hopeless: hopeless && !missing.is_empty(), missing }
}

fn is_settled(standing: Standing) -> bool {
    matches!(
        standing,
        Standing::Absent | Standing::Ready | Standing::Refused | Standing::RefusedOld | Standing::Unknown
    )
}

/// It serves an older revision, and cannot run this one.
fn is_failing(standing: Standing) -> bool {
    standing == Standing::RefusedOld
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Starting => "is being started",
        Standing::Updating => "is being replaced",
        Standing::Failed => "did not start",
        Standing::Kept => "did not start, its old revision serves on,",
        Standing::RefusedOld => "cannot run, its old revision serves on,",
        Standing::Extra | Standing::Old => "is being handed over",
        Standing::Draining => "finishes its calls",
        _ => "is not settled",
    }
}

fn reason(body: &Presence, index: usize) -> String {
    let trouble = body.troubles.iter().find(|trouble| trouble.index == index);
    trouble.map(|trouble| format!(": {}", trouble.reason)).unwrap_or_default()
}

#[cfg(test)]
#[path = "waiting_tests.rs"]
mod tests;
