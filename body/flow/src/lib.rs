//! The flow engine.
mod call;
mod definition;
mod event;
mod expression;
mod plan;
mod run;
mod suggest;
mod template;
pub use call::{CallId, CallIdError};
pub use definition::*;
pub use event::{Decision, Event, Note};
pub use plan::{Plan, PlanStep};
pub use run::Run;
