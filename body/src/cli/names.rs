//! Known names of cells and flows: for "did you mean", and for completion in shells.

use std::{collections::BTreeSet, time::Duration};

use bus_nats::{Nats, discovery::Endpoint};
use cbs::{BusError, Code, Namespace, Outcome, Target};
use fleet::Manifest;
use tokio::time::timeout;

use crate::fleet::Store;

/// Limit of the time for a search of names: an error must not wait for its hint.
const LOOK_LIMIT: Duration = Duration::from_millis(250);

/// Returns the targets that bodies serve or that are deployed. A source that does not answer in
/// time is left out.
pub(super) async fn known(nats: &Nats, namespace: &Namespace) -> BTreeSet<Target> {
    let (served, deployed) =
        tokio::join!(nats.discover_within(LOOK_LIMIT), deployed(nats, namespace));
    let served = served.unwrap_or_default();
    served.into_iter().map(|endpoint| endpoint.target).chain(deployed).collect()
}

/// Returns the targets that are deployed to the fleet of a namespace.
pub(super) async fn deployed(nats: &Nats, namespace: &Namespace) -> BTreeSet<Target> {
    let look = async {
        let store = Store::existing(nats.clone(), namespace.clone()).await.ok()??;
        Some(of(&store.now().await.ok()?.manifest))
    };
    timeout(LOOK_LIMIT, look).await.ok().flatten().unwrap_or_default()
}

/// Returns the targets of a manifest.
pub(super) fn of(manifest: &Manifest) -> BTreeSet<Target> {
    manifest.entries().iter().map(|(target, _)| target.clone()).collect()
}

/// Returns the targets that these endpoints serve.
pub(super) fn served(endpoints: &[Endpoint]) -> BTreeSet<Target> {
    endpoints.iter().map(|endpoint| endpoint.target.clone()).collect()
}

/// True if a call failed because no body serves its target.
pub(super) fn is_missing(error: &BusError) -> bool {
    error.outcome() == Outcome::NotRun && matches!(error.code(), Code::NotFound | Code::Unavailable)
}

/// Suggests a name for one that no body serves; `None` if no known name is similar.
pub(super) fn hint(target: &Target, known: &BTreeSet<Target>) -> Option<String> {
    if known.contains(target) {
        return Some(format!(
            "{target} is declared here, but no body serves it now: see `cbs ls` and `cbs bodies`"
        ));
    }
    let alike = known
        .iter()
        .filter(|other| matches!(other, Target::Flow(_)) == matches!(target, Target::Flow(_)));
    let name = spec::nearest(target.name(), alike.map(Target::name))?;
    Some(format!("did you mean `{name}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_of_the_same_kind_is_meant() {
        let targets =
            ["logic.greet", "io.print", "flow greet"].map(|name| name.parse::<Target>().unwrap());
        let known = BTreeSet::from(targets);
        let hint = |name: &str| hint(&name.parse().unwrap(), &known);
        assert_eq!(hint("logic.great").as_deref(), Some("did you mean `logic.greet`?"));
        assert_eq!(hint("logic.greeet").as_deref(), Some("did you mean `logic.greet`?"));
        assert_eq!(hint("flow greeet").as_deref(), Some("did you mean `greet`?"));
        assert_eq!(hint("stock.reserve"), None);
        assert!(hint("io.print").is_some_and(|hint| hint.contains("no body serves it now")));
    }
}
