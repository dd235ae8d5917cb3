//! run
use std::sync::Arc;
use crate::{Decision, Event, Plan};
/// One run.
pub struct Run { _plan: Arc<Plan>, done: bool }
impl Run {
    /// New.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Self { Self { _plan: plan, done: false } }
    /// Handle.
    pub fn handle(&mut self, _event: Event) -> Vec<Decision> { Vec::new() }
    /// Done.
    #[must_use]
    pub fn is_done(&self) -> bool { self.done }
}
