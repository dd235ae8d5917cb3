//! The collecting reader: from a tree to values, every mistake reported and none in the way.

mod cell;
mod deployment;
mod document;
mod fields;
mod flow;
mod item;
pub(crate) mod runtime;
pub(crate) mod shape;
mod step;

pub(crate) use document::{Context, Document, Spec, document};
