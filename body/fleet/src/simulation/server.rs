//! The server of the simulation: buckets with revisions, leases that end.

use std::{collections::BTreeMap, sync::Arc};

use cbs::{BodyId, Target};

use crate::{ContentHash, Head, LEASE_MS, Manifest, Presence, Revision, Verdict};

/// Message that a watch brings.
#[derive(Clone)]
pub(crate) enum ServerMessage {
    /// A lease, its revision, and when it was made.
    Lease(Arc<Presence>, u64, u64),
    Gone(BodyId, u64),
    Head(Option<Arc<[u8]>>, u64),
    Tree(ContentHash, Arc<[u8]>),
    Spec(ContentHash, Arc<[u8]>),
    Verdict(Target, Revision, Verdict),
}

#[derive(Default)]
pub(crate) struct Server {
    pub(crate) up: bool,
    /// Leases, each with its revision, the time when it was put and the time when it was made.
    leases: BTreeMap<BodyId, (Arc<Presence>, u64, u64, u64)>,
    lease_revision: u64,
    pub(crate) head: Option<(Head, u64)>,
    head_revision: u64,
    /// Content by hash: the bytes may be wrong.
    pub(crate) trees: BTreeMap<ContentHash, Arc<[u8]>>,
    pub(crate) specs: BTreeMap<ContentHash, Arc<[u8]>>,
    pub(crate) verdicts: BTreeMap<(Target, Revision), Verdict>,
    /// Every head so far.
    pub(crate) heads: Vec<Head>,
    /// Manifest of each root, as it was deployed.
    pub(crate) truth: BTreeMap<ContentHash, Arc<Manifest>>,
    /// Right bytes of everything that was ever to be stored.
    pub(crate) right: BTreeMap<ContentHash, (bool, Arc<[u8]>)>,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self { up: true, ..Self::default() }
    }

    /// Stores a lease. Returns its revision.
    pub(crate) fn lease(&mut self, presence: Arc<Presence>, now: u64, made: u64) -> u64 {
        self.lease_revision += 1;
        let body = presence.facts.body.clone();
        self.leases.insert(body, (presence, self.lease_revision, now, made));
        self.lease_revision
    }

    /// Ends leases that were not renewed in time, or one that is taken back. Returns the messages
    /// for the watches.
    pub(crate) fn expire(&mut self, now: u64, back: Option<&BodyId>) -> Vec<ServerMessage> {
        let ended = self
            .leases
            .iter()
            .filter(|(body, (_, _, put, _))| now >= put + LEASE_MS || Some(*body) == back);
        let ended: Vec<BodyId> = ended.map(|(body, _)| body.clone()).collect();
        let words = ended.into_iter().map(|body| {
            self.leases.remove(&body);
            self.lease_revision += 1;
            ServerMessage::Gone(body, self.lease_revision)
        });
        words.collect()
    }

    /// Ends the server and starts it anew: data in memory is lost.
    pub(crate) fn forget_memory(&mut self) {
        self.leases.clear();
        self.lease_revision = 0;
    }

    /// Compares and sets. Returns the message for the watches, or `None` when another deployer was
    /// first.
    pub(crate) fn set_head(&mut self, head: Head, expected: u64) -> Option<ServerMessage> {
        if self.head.as_ref().map_or(0, |(_, revision)| *revision) != expected {
            return None;
        }
        self.head_revision += 1;
        let bytes = head.encode();
        self.heads.push(head.clone());
        self.head = Some((head, self.head_revision));
        Some(ServerMessage::Head(Some(bytes.into()), self.head_revision))
    }

    pub(crate) fn head_word(&self) -> Option<ServerMessage> {
        let (head, revision) = self.head.as_ref()?;
        Some(ServerMessage::Head(Some(head.encode().into()), *revision))
    }

    /// Messages that a new watch brings first.
    pub(crate) fn snapshot(&self) -> Vec<ServerMessage> {
        let leases = self.leases.values().map(|(presence, revision, _, made)| {
            ServerMessage::Lease(presence.clone(), *revision, *made)
        });
        let verdicts = self
            .verdicts
            .iter()
            .map(|((target, revision), it)| ServerMessage::Verdict(target.clone(), *revision, *it));
        leases.chain(verdicts).chain(self.head_word()).collect()
    }

    /// Stores everything as it should be.
    pub(crate) fn heal(&mut self) {
        for (hash, (is_tree, bytes)) in &self.right {
            let map = if *is_tree { &mut self.trees } else { &mut self.specs };
            map.insert(*hash, bytes.clone());
        }
    }
}
