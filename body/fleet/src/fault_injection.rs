//! Bugs that tests inject on purpose, to check that the simulation finds them.

/// Bug of one line that a test can inject into this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code))]
pub(crate) enum Bug {
    /// A body leaves as soon as an owner is alive, ready or not.
    LeavesBeforeReady,
    /// A body leaves when an owner is ready at whatever head.
    LeavesAtAnyHead,
    /// A body leaves without waiting until the owner has received its presence.
    LeavesUnheard,
    /// An extra owner reports that others may rely on it.
    ExtraSaysReady,
    /// After a reconnection absences count at once.
    NoHold,
    /// A body acts although it does not receive its own lease.
    ActsDeaf,
    /// A body that receives nothing takes the others for dead.
    ForgetsWhileDeaf,
    /// A manifest counts as whole without its specs.
    ActsOnHalf,
    /// Content is taken without a look at its hash.
    TrustsNames,
    /// A late message about an older head counts.
    TakesOldHeads,
    /// A late message about an older presence counts.
    TakesOldPresences,
    /// The old revision stops when the new one starts.
    StopsOldFirst,
    /// The old revision stops as soon as the new one is ready.
    NoSettling,
    /// `recreate` starts while the old revision is there.
    RecreatesBeside,
    /// A body prefers itself.
    PrefersItself,
    /// A body that cannot run an entry counts as one that can.
    RefusersOwn,
    /// A body that drains goes on as before.
    IgnoresDraining,
    /// A body that died without notice counts for ever.
    NobodyDies,
    /// A failed start is tried again at once.
    NoBackoff,
    /// A body that never reports about the head is waited for.
    WaitsForEver,
    /// The body that gives a verdict does not follow it.
    IgnoresVerdicts,
    /// Instances of an undeployed entry stay.
    KeepsRemoved,
    /// A canary counts as serving before it takes calls of its own.
    CanaryServes,
    /// An instance that is being started again counts as ready.
    AwayIsReady,
}

#[cfg(test)]
thread_local! {
    static INJECTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Injects a bug into this thread, or none.
#[cfg(test)]
pub(crate) fn plant(bug: Option<Bug>) {
    INJECTED.with(|injected| injected.set(bug));
}

/// True if this bug is injected: never, except in tests that do so.
#[cfg(test)]
pub(crate) fn injected(bug: Bug) -> bool {
    INJECTED.with(|injected| injected.get() == Some(bug))
}

/// True if this bug is injected: never, except in tests that do so.
#[cfg(not(test))]
pub(crate) const fn injected(_: Bug) -> bool {
    false
}
