//! Replay of a run from its events, and the open work of a run.

use std::sync::Arc;

use cbs::Uuid;

use super::{
    Progress, Run,
    calls::{Activity, Calls},
};
use crate::{CallId, Decision, Event, Plan, plan::PlanStep};

impl Run {
    /// Rebuilds a run from its events, or from the first of them. Returns the run and what is open:
    /// the run's end ([`Decision::Finish`] or [`Decision::Fail`]) if it is over, else
    /// [`Self::pending`]. The run then continues exactly as the one whose events these are.
    ///
    /// A driver that records every event before it carries out the decisions that follow from it
    /// can take a run over by this. A call that is open may have been made before; it has the same
    /// id as then.
    #[must_use]
    pub fn replay(
        plan: Arc<Plan>,
        id: Uuid,
        events: impl IntoIterator<Item = Event>,
    ) -> (Self, Vec<Decision>) {
        let mut run = Self::new(plan, id);
        let is_end = |decision: &Decision| {
            matches!(decision, Decision::Finish { .. } | Decision::Fail { .. })
        };
        let mut end = Vec::new();
        for event in events {
            end.extend(run.handle(event).into_iter().filter(is_end));
        }
        let open = if run.is_done() { end } else { run.pending() };
        (run, open)
    }

    /// Decisions that were made and whose events have not come: calls with their ids and
    /// attempts, waits with their due times. They are in the order of the steps and items. A run
    /// that has not started, or is over, has none.
    #[must_use]
    pub fn pending(&self) -> Vec<Decision> {
        if self.is_done() {
            return Vec::new();
        }
        let mut pending = Vec::new();
        for (step, progress) in self.plan.steps().iter().zip(&self.progress) {
            match progress {
                Progress::Calling(calls) => pending.extend(self.live(step, calls)),
                Progress::Catching { input, due_ms } => {
                    let call = CallId::fallback_of(step.name());
                    pending.extend(
                        step.fallback()
                            .map(|target| self.call(target, call, input.clone(), *due_ms)),
                    );
                }
                Progress::Blocked(_) | Progress::Done => {}
            }
        }
        pending
    }

    fn live(&self, step: &PlanStep, calls: &Calls) -> impl Iterator<Item = Decision> {
        calls.all_live().map(|(item, live)| {
            let call = CallId::attempt_of(step.name(), calls.label(item), live.attempt);
            match live.state {
                Activity::Running { due_ms } => {
                    self.call(step.target(), call, live.input.clone(), due_ms)
                }
                Activity::Waiting { due_ms } => Decision::Wait { call, due_ms },
            }
        })
    }
}
