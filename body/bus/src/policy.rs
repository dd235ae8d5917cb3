//! Policies around a call. On the side of the handler: [`limit`], [`deadline`]. On the side of the
//! caller: [`retry`].

pub(crate) mod budget;
pub mod deadline;
pub mod limit;
pub mod retry;
