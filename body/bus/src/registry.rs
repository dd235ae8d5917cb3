//! Registry of the handlers of each target in this body: read without a lock, changed by copying.

use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use arc_swap::ArcSwap;
use cbs::{Handler, Target};

use crate::gate::Gate;

/// Number of shards. A change copies one shard: with 64 of them, a body of 10,000 cells starts with
/// 10,000 copies of at most 160 pointers each.
const SHARDS: usize = 64;

/// Registry of all targets that are served in this body.
pub(crate) struct Registry {
    hasher: RandomState,
    shards: Box<[ArcSwap<Shard>]>,
    /// Locked by changes, never by calls.
    changing: Mutex<()>,
}

/// The served targets of one shard, sorted by hash.
type Shard = Vec<(u64, Arc<Members>)>;

/// All members that serve one target; never empty.
pub(crate) struct Members {
    pub(crate) target: Target,
    list: Vec<Arc<Member>>,
    next: AtomicUsize,
}

/// One handler that serves a target.
pub(crate) struct Member {
    pub(crate) handler: Arc<dyn Handler>,
    pub(crate) gate: Gate,
}

/// A call inside a member. The member cannot stop before it is dropped.
pub(crate) struct Inside<'a>(&'a Member);

impl Member {
    pub(crate) fn new(handler: Arc<dyn Handler>) -> Arc<Self> {
        Arc::new(Self { handler, gate: Gate::default() })
    }

    /// Enters the member. Returns `None` if the member is stopping.
    pub(crate) fn enter(&self) -> Option<Inside<'_>> {
        // Not `then_some`: a refused call must not leave, and dropping an `Inside` is leaving.
        self.gate.enter().then(|| Inside(self))
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.gate.leave();
    }
}

impl Members {
    /// Returns every member once, each time beginning with the next one: shares calls as a queue
    /// group does.
    pub(crate) fn rotation(&self) -> impl Iterator<Item = &Arc<Member>> {
        let length = self.list.len();
        // A single member needs no turn, and no write to a cache line that all callers share.
        let first =
            if length == 1 { 0 } else { self.next.fetch_add(1, Ordering::Relaxed) % length };
        let (before, from) = self.list.split_at_checked(first).unwrap_or_default();
        from.iter().chain(before)
    }
}

impl Registry {
    pub(crate) fn new() -> Self {
        let shards = (0..SHARDS).map(|_| ArcSwap::default()).collect();
        Self { hasher: RandomState::new(), shards, changing: Mutex::new(()) }
    }

    fn shard(&self, target: &Target) -> (u64, Option<&ArcSwap<Shard>>) {
        let hash = self.hasher.hash_one(target);
        // The high bits choose the shard, all of them sort within it.
        let index = usize::try_from(hash >> 32).unwrap_or(0) % SHARDS;
        (hash, self.shards.get(index))
    }

    /// Returns all members that serve the target now.
    pub(crate) fn find(&self, target: &Target) -> Option<Arc<Members>> {
        let (hash, shard) = self.shard(target);
        let shard = shard?.load();
        let from = shard.partition_point(|(found, _)| *found < hash);
        let mut equal = shard.iter().skip(from).take_while(|(found, _)| *found == hash);
        equal.find(|(_, members)| members.target == *target).map(|(_, members)| members.clone())
    }

    pub(crate) fn add(&self, target: &Target, member: Arc<Member>) {
        self.change(target, |list| list.push(member));
    }

    pub(crate) fn remove(&self, target: &Target, member: &Arc<Member>) {
        self.change(target, |list| list.retain(|other| !Arc::ptr_eq(other, member)));
    }

    fn change(&self, target: &Target, change: impl FnOnce(&mut Vec<Arc<Member>>)) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (hash, Some(slot)) = self.shard(target) else { return };
        let mut shard: Shard = slot.load().iter().cloned().collect();
        let place = shard.iter().position(|(_, members)| members.target == *target);
        let (mut list, turn) = match place.map(|place| shard.remove(place)) {
            Some((_, members)) => (members.list.clone(), members.next.load(Ordering::Relaxed)),
            None => (Vec::new(), 0),
        };
        change(&mut list);
        if !list.is_empty() {
            let members = Members { target: target.clone(), list, next: AtomicUsize::new(turn) };
            let place = shard.partition_point(|(found, _)| *found < hash);
            shard.insert(place, (hash, Arc::new(members)));
        }
        slot.store(Arc::new(shard));
    }
}

#[cfg(test)]
#[path = "registry_tests.rs"]
mod tests;
