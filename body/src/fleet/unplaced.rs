//! Reason why an entry stays on a body that should stop it: no body has the labels that the entry
//! asks for.

use cbs::{BodyId, Target};
use fleet::{ContentHash, Entry, EntryStatus, Manifest, Presence, Trouble};

/// Returns the reason, for the operator.
pub(super) fn reason(target: &Target, body: &BodyId) -> String {
    format!("{target} serves on in {body}, for no body has the labels that it asks for")
}

/// True if a body serves an entry that it should stop: `extra` or `old`.
pub(crate) fn is_leaving(body: &Presence) -> bool {
    body.states.count(EntryStatus::Extra) + body.states.count(EntryStatus::Old) > 0
}

/// Adds the reason to the troubles of each body that has applied this head.
pub(crate) fn explain(bodies: &mut [Presence], head: ContentHash, manifest: &Manifest) {
    for (index, (target, item)) in manifest.entries().iter().enumerate() {
        let is_wanted = |entry: &&Entry| entry.enabled && !entry.place.is_empty();
        let Some(entry) = item.known().filter(is_wanted) else { continue };
        if bodies.iter().any(|body| !body.draining && body.facts.matches(entry)) {
            continue;
        }
        for body in bodies
            .iter_mut()
            .filter(|body| body.applied.is_some_and(|applied| applied.head == head))
        {
            if matches!(body.states.at(index), EntryStatus::Extra | EntryStatus::Old) {
                body.troubles.push(Trouble { index, reason: reason(target, &body.facts.body) });
            }
        }
    }
}
