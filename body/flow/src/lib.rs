//! The flow engine.
mod definition;
pub use definition::*;
