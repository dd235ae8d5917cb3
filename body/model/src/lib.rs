//! Checked specs as data: what a cell is, how it may be called, and where it runs.
//!
//! The crate `spec` reads YAML into these types. Hosts, the bus and the fleet use them, so none of
//! them depends on a parser or a validator. Nothing here does I/O.
//!
//! ```
//! use model::{CallPolicy, RetryPolicy, Route};
//! use std::time::Duration;
//! let policy = CallPolicy {
//!     idempotent: true,
//!     retry: Some(RetryPolicy {
//!         max: 3,
//!         backoff: Duration::from_millis(20),
//!         backoff_max: Duration::from_secs(1),
//!     }),
//!     route: Route::read("nats"),
//!     ..CallPolicy::default()
//! };
//! assert_eq!((policy.concurrency, policy.timeout.as_secs()), (64, 5));
//! ```

mod cell;
mod deployment;
mod metadata;
mod phase;
mod policy;
mod schema;

pub use cell::{CellSpec, Isolation, Limits, Program, Python, Runtime, Sidecar, Workers};
pub use deployment::{CanaryRules, Deployment, Replicas, Rollout};
pub use metadata::{Metadata, folder_of};
pub use phase::Phase;
pub use policy::{CallPolicy, RetryPolicy, Route};
pub use schema::{Schema, Violation};
