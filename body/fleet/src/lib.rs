//! Deployment without a stop: the state that a fleet of bodies is to have, the choice of the bodies
//! that run each cell, and the change from one revision to another without a failed call.
//!
//! It is pure: no I/O, no clock, no chance, and it never awaits. A driver reports to a [`Body`] the
//! messages of its watches and the results of its starts and stops, asks it for the next [`Pass`],
//! carries out its [`Action`]s and puts its [`Presence`] each second. All bodies decide alone and
//! alike: there is no leader, and no body has to be asked.
//!
//! ```
//! use std::collections::{BTreeMap, BTreeSet};
//! use fleet::{Action, Body, ContentHash, Entry, Facts, Head, Manifest, Moment, Timing, Version};
//!
//! // A deployer writes objects under their hashes, in any order, and then sets the generation.
//! let spec = b"runtime: python ...";
//! let entry = Entry::new(Version::new(ContentHash::of(spec), None), "python");
//! let target: cbs::Target = "cell logic.greet".parse()?;
//! let objects = Manifest::new([(target.clone(), entry.into())])?.encode()?;
//! let head = Head::after(None, objects[0].hash, "ada", 1_700_000_000_000, "the first");
//!
//! // A body observes all this, and its own lease.
//! let facts = Facts {
//!     body: "web1-7f3a91".parse()?, incarnation: 42, program: "0.1.0".into(), platform: "linux-x86_64".into(),
//!     labels: BTreeMap::new(), runtimes: BTreeMap::from([("python".into(), "3.11.2".into())]),
//! };
//! let mut body = Body::new(facts, BTreeSet::new(), Timing::default());
//! let now = Moment(0);
//! body.connected(now);
//! body.head(Some(&head.encode()), 1, now)?;
//! for object in &objects {
//!     body.tree(object.hash, &object.bytes, now)?;
//! }
//! assert!(body.pass(now).actions.is_empty()); // the spec is missing: the state is incomplete
//! body.spec(ContentHash::of(spec), spec, now)?;
//! let lease = body.presence().encode();
//! body.lease(&lease, 1, now)?;
//!
//! let [Action::Start { target: started, instance, .. }] = &body.pass(now).actions[..] else { panic!("nothing to do") };
//! assert_eq!(*started, target);
//! body.ready(&target, *instance, now);
//! assert_eq!(body.pass(now).states.to_string(), "r");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The protocol
//!
//! Desired state is like git: specs, and manifests as trees, are immutable objects under their
//! hashes; a head names a manifest; one compare-and-set moves it. [`keys`] lists the places of all
//! data. Presence is a lease of three seconds that holds in a few bytes the status of every entry
//! of the manifest in one body.
//!
//! - **FLEET-1** A body MUST act only on a head whose manifest it has whole: every tree and spec is
//!   there and has the hash that it is stored under.
//! - **FLEET-2** The head of the highest revision on a connection MUST count, whatever comes late
//!   or twice; a missing head MUST stop nothing.
//! - **FLEET-3** Bodies that see the same MUST choose the same owners, on every machine and in
//!   every version; one body more or less MUST move no more than what it wins or had.
//! - **FLEET-4** A body that cannot run a revision MUST say so; the revision MUST be placed on
//!   another body, and the instances of the entry that the first body runs MUST go on until an
//!   owner is ready. An instance that is being started again MUST NOT count as ready.
//! - **FLEET-5** A new revision MUST have been ready for a while before the old one stops; with
//!   `recreate` the old one MUST have stopped before the new one starts.
//! - **FLEET-6** A body MUST go on serving what it does not own until every owner has said, at the
//!   same generation, that it serves it, in a lease made after that owner had received the lease
//!   which says that this body leaves. An extra owner is harmless; a time without an owner is not.
//! - **FLEET-7** For two leases after a connection, a sleep, or a time without its own lease, a
//!   body MUST NOT count absences, nor missing reports about the present head.
//! - **FLEET-8** A body that does not receive its own lease, or receives that of another under its
//!   own id, MUST change nothing, and MUST go on serving what it has.
//! - **FLEET-9** A body whose lease ended, or that was not observed for a lease while the observer
//!   received its own, MUST count as gone, and the entries that it owned MUST be taken over.
//! - **FLEET-10** A failed start MUST be tried again only after a wait that doubles, MUST not hold
//!   up anything else, and after some failures MUST be left to other bodies for a while.
//! - **FLEET-11** A presence MUST fit into 64 KiB with any manifest, and MUST be read whatever a
//!   newer program adds to it.
//! - **FLEET-12** Of two who deploy at once one MUST lose, and MUST get the changes of the other.
//! - **FLEET-13** Content that a head in history reaches MUST never be collected, nor content
//!   younger than an hour, nor any content while a manifest of history cannot be read.
//! - **FLEET-14** A body that drains MUST start nothing, and leaves as FLEET-6 says; only instances
//!   that no other body can run MUST end at once.
//! - **FLEET-15** A canary MUST run beside its base on every owner and take no calls but its share
//!   of the base's; the first verdict about it MUST be the last; one that is promoted MUST take
//!   calls of its own before its base stops.
//! - **FLEET-16** When faults stop, a fleet MUST converge from every state, within the sum of what
//!   [`Timing`] names and the starts and stops themselves, and then do nothing.
//!
//! FLEET-6 needs no clock: a body that says `ready` promises to serve until another body has
//! promised the same *after* it received the lease which says that the first one leaves. So
//! promises are handed on in one direction, and two bodies cannot both leave because of the other's
//! earlier promise. No rule can prevent that a body dies after its promise; then FLEET-9 counts.
//!
//! # Bugs that tests can inject
//!
//! `fault_injection` names bugs of one line each. The simulation (fleets of two to five bodies that
//! are killed, stopped, cut off and get messages late, twice or never, while people deploy) finds
//! every one of them, and finds nothing in ten thousand seeds without them.
//!
//! # Layout
//!
//! - `hash`, `json`: names of content. [`keys`]: the places of all data.
//! - `entry`, `manifest`, `head`: desired state. `diff`: changes. `garbage`: content to delete.
//! - `contents`, `desired`: the part of it that a body has, checked and whole.
//! - `states`, `presence`, `sample`: the reports of a body. `view`: its observations of others, and
//!   the rules when it may rely on them. `own`: its own instances.
//! - `place`: the choice of owners. `reconcile`: the pass over all entries; `owner`: one entry in
//!   one body; `canary`: decisions about a canary; `action`: decisions of a pass.
//! - `body`: all of it together, as a driver uses it. `time`: moments and waits.
//! - `fault_injection`, `simulation`: tests.

mod action;
mod body;
mod canary;
mod contents;
mod desired;
mod diff;
mod entry;
mod fault_injection;
mod garbage;
mod hash;
mod head;
mod json;
pub mod keys;
mod manifest;
mod own;
mod owner;
mod place;
mod presence;
mod reconcile;
mod sample;
#[cfg(test)]
mod simulation;
mod states;
mod time;
mod view;

pub use action::{Action, Pass, Why};
pub use body::Body;
pub use canary::{Judgement, VERDICT_BYTES_MAX, Verdict, VerdictRecord, judge};
pub use contents::{Contents, WrongContent};
pub use desired::Desired;
pub use diff::{Change, Conflict, Diff, FieldChange, diff};
pub use entry::{
    DRAIN_MS_DEFAULT, ENTRY_BYTES_MAX, Entry, FLOW_RUNTIME, Item, NATIVE_RUNTIME, Requirements,
    START_MS_DEFAULT, Version, Wanted,
};
pub use garbage::{GARBAGE_AGE_MS, Reachable, Stored, garbage, reachable};
pub use hash::{ContentHash, HashError, Revision};
pub use head::{HEAD_BYTES_MAX, HEAD_TEXT_MAX, HISTORY_MAX, Head, HeadError, History};
pub use manifest::{
    ENTRIES_MAX, FORMAT, LEAF_ENTRIES, Manifest, ManifestError, OBJECT_BYTES_MAX, Object,
};
pub use own::{BodyState, Held, Instance, InstancePhase};
pub use place::{Candidate, Chooser};
pub use presence::{
    Applied, CanarySamples, Facts, HeartbeatSequence, LABELS_MAX, OBSERVED_MAX, PRESENCE_BYTES_MAX,
    Presence, PresenceError, REASON_MAX, SAMPLES_MAX, TROUBLES_MAX, Trouble,
};
pub use reconcile::reconcile;
pub use sample::CanarySample;
pub use states::{EntryStatus, States, StatesError};
pub use time::{BEAT_MS, LEASE_MS, Moment, Timing};
pub use view::{Fleet, Paused, PeerBody};
