//! Entries that no body may have, because none has the labels that they ask for: the reason why
//! such an entry stays on a body that should stop it, or runs nowhere.

use cbs::{BodyId, Target};
use fleet::{ContentHash, Entry, EntryStatus, Manifest, Presence, TROUBLES_MAX, Trouble};

/// Returns the reason, for the operator.
pub(super) fn reason(target: &Target, body: &BodyId) -> String {
    format!("{target} serves on in {body}, for no body has the labels that it asks for")
}

/// True if a body serves an entry that it should stop (`extra` or `old`), or an entry runs in no
/// body: it may be disabled, or no body has its labels.
pub(crate) fn is_any(bodies: &[Presence]) -> bool {
    let entries = bodies.iter().map(|body| body.states.len()).max().unwrap_or_default();
    let mut is_anywhere = vec![false; entries];
    for (status, range) in bodies.iter().flat_map(|body| body.states.runs()) {
        match status {
            EntryStatus::Extra | EntryStatus::Old => return true,
            EntryStatus::Absent | EntryStatus::Refused | EntryStatus::Draining => {}
            _ => is_anywhere.iter_mut().take(range.end).skip(range.start).for_each(|is| *is = true),
        }
    }
    is_anywhere.contains(&false)
}

/// True if a body serves an entry that it should stop or cannot run.
fn serves_on(status: EntryStatus) -> bool {
    matches!(status, EntryStatus::Extra | EntryStatus::Old | EntryStatus::RefusedOld)
}

/// Adds the reason to the troubles of each body that has applied this head and still serves such an
/// entry, with a limit for each body. Returns a line for each entry that no body serves.
pub(crate) fn explain(
    bodies: &mut [Presence],
    head: ContentHash,
    manifest: &Manifest,
) -> Vec<String> {
    let mut nowhere = Vec::new();
    let mut counts = vec![0_usize; bodies.len()];
    for (index, (target, item)) in manifest.entries().iter().enumerate() {
        let is_wanted = |entry: &&Entry| entry.enabled && !entry.place.is_empty();
        let Some(entry) = item.known().filter(is_wanted) else { continue };
        if bodies.iter().any(|body| !body.draining && body.facts.matches(entry)) {
            continue;
        }
        let mut is_served = false;
        for (body, count) in bodies.iter_mut().zip(&mut counts) {
            // The order of the states is that of the head that the body has applied.
            if body.applied.is_none_or(|applied| applied.head != head) {
                is_served = true;
            } else if serves_on(body.states.at(index)) {
                is_served = true;
                *count += 1;
                if *count <= TROUBLES_MAX {
                    body.troubles.push(Trouble { index, reason: reason(target, &body.facts.body) });
                }
            }
        }
        if !is_served {
            let labels: Vec<String> =
                entry.place.iter().map(|(key, value)| format!("{key}={value}")).collect();
            nowhere.push(format!(
                "{target} runs nowhere: it needs the labels {}, and no body has them",
                labels.join(", ")
            ));
        }
    }
    // After more than the limit, the last trouble is one of these reasons.
    for (body, count) in bodies.iter_mut().zip(counts).filter(|(_, count)| *count > TROUBLES_MAX) {
        let more = count - TROUBLES_MAX;
        if let Some(last) = body.troubles.last_mut() {
            last.reason = format!("{}; and {more} more that it should stop", last.reason);
        }
    }
    let more = nowhere.len().saturating_sub(TROUBLES_MAX);
    if more > 0 {
        nowhere.truncate(TROUBLES_MAX);
        nowhere.push(format!("and {more} more that run nowhere"));
    }
    nowhere
}
