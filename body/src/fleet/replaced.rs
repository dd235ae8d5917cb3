//! Whether a head still holds while bodies are waited for that are to follow it.

use std::time::Duration;

use fleet::{Diff, Head, Manifest, diff};
use tokio::time::sleep;

use super::Store;

/// How often it is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What took the place of a head.
pub(crate) struct Replaced {
    pub(crate) by: Head,
    pub(crate) manifest: Manifest,
    /// What it changed.
    pub(crate) theirs: Diff,
}

/// Ends when another head stands in the place of this one, which has this manifest. A server that does
/// not answer has said nothing.
pub(crate) async fn replaced(store: &Store, head: &Head, manifest: &Manifest) -> Replaced {
    loop {
        sleep(LOOK_EVERY).await;
        if store.is_head(head).await.unwrap_or(true) {
            continue;
        }
        let Ok(now) = store.now().await else { continue };
        if let Some((by, _)) = now.head.filter(|(by, _)| by != head) {
            return Replaced { by, theirs: diff(manifest, &now.manifest), manifest: now.manifest };
        }
    }
}
