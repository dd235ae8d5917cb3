//! Check that a head still holds while the deployer waits for bodies to follow it.

use std::time::Duration;

use fleet::{Diff, Head, Manifest, diff};
use tokio::time::sleep;

use super::Store;

/// Time between two checks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The head that took the place of another.
pub(crate) struct Replaced {
    pub(crate) by: Head,
    pub(crate) manifest: Manifest,
    /// Changes that the other head made.
    pub(crate) theirs: Diff,
}

/// Returns when another head has taken the place of this one, which has this manifest. A server
/// that does not answer does not count as a change.
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
