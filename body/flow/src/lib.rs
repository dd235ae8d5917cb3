//! The flow engine.
mod call;
mod definition;
mod event;
mod expression;
mod suggest;
mod plan;
mod run;
pub use call::{CallId, CallIdError};
pub use definition::*;
pub use event::{Decision, Event, Note};
pub use plan::{Plan, PlanStep};
pub use run::Run;
