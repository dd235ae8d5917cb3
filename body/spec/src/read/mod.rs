//! The collecting reader: converts a tree to values and reports every mistake, not only the first.

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
