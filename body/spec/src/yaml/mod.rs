//! YAML as a tree in which everything has its place.
//!
//! Only a subset of YAML is read: the core schema of YAML 1.2, text keys, no aliases (so that no
//! document grows when it is read) and no tags but `!!str`.

mod node;
mod parse;
mod pieces;
mod scalar;
mod tabs;

pub(crate) use node::{Content, Entry, Node};
pub(crate) use parse::documents;
pub use pieces::document_at;
