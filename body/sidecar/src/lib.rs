//! The sidecar protocol: a body and one process of its own that serves a cell.
//!
//! `specs/proto/cbs/sidecar/v1/sidecar.proto` is the schema, `specs/proto/sidecar.md` the rules.

/// The frames as prost reads them. Generated from `specs/proto/`.
#[allow(missing_docs, clippy::all, clippy::pedantic)]
pub mod proto {
    include!("../generated/cbs.sidecar.v1.rs");
}
