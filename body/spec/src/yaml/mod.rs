//! YAML as a tree in which everything has its place.
//!
//! A subset on purpose: the core schema of YAML 1.2, text keys, no aliases (a spec says what it
//! means where it stands, and nothing can grow when read) and no tags but `!!str`.

mod node;
mod parse;
mod pieces;
mod scalar;
mod tabs;

pub(crate) use node::{Content, Entry, Node};
pub(crate) use parse::documents;
