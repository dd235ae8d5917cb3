//! The state machine of one run.

mod calls;
mod error;
mod failure;
mod replay;
mod retry;
mod start;

use std::{collections::VecDeque, sync::Arc, time::Duration};

use cbs::{CellError, Target, Uuid};
use jaq_json::Val;

use self::calls::Calls;
use crate::{CallId, Decision, Event, Json, Plan, expression::Scope, plan::PlanStep};

/// One run of a flow: it receives events and returns decisions.
///
/// It uses no clock and no random numbers, and never waits: all its decisions follow from the
/// plan, the run's id and the events so far. Events that do not fit (an answer to a call that was
/// not made, or that was abandoned) are ignored.
///
/// - **Replay.** The events of a run, or the first of them, rebuild it: its state, the ids of its
///   calls and its due times. [`Self::replay`] does so, and returns what a driver must carry out to
///   take the run over.
/// - **Order.** A step starts when all steps that it needs are done; a skipped step is done.
/// - **Retries.** If the step has `retry`, these failures are tried again: a call that did not run
///   (`not_run`), an error that is marked `retryable`, and `cell-failed` (the attempt is over, and
///   the author's `retry` allows another one). A `timeout` is not tried again: the call may still
///   run. A caller that knows that the target is idempotent marks the error `retryable`.
/// - **Failure.** A step that failed for good goes to its `catch`, else the flow fails at
///   once: [`Decision::Fail`] is its last decision, and calls that still run are abandoned.
///   When one item of an `each` fails for good, no other item starts. A `catch` begins when the
///   running items have ended.
pub struct Run {
    plan: Arc<Plan>,
    id: Uuid,
    /// Time of the last event.
    now_ms: u64,
    phase: Phase,
    input: Json,
    progress: Vec<Progress>,
    values: Vec<Option<Json>>,
    /// Steps whose needs are done, in the order in which they start.
    ready: VecDeque<usize>,
    /// Number of steps that are not done.
    open: usize,
    decisions: Vec<Decision>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Running,
    Done,
}

#[derive(Debug, PartialEq)]
enum Progress {
    /// Waits for this number of steps.
    Blocked(usize),
    Calling(Calls),
    /// The fallback runs, with this input.
    Catching {
        input: Json,
        due_ms: Option<u64>,
    },
    Done,
}

/// Outcome of an event: the run continues, or the flow fails with this error.
type Outcome = Result<(), CellError>;

impl Run {
    /// A run that has not started. The ids of its calls are derived from its id
    /// ([`CallId::id_in`]). The waits before its retries depend on the id too: many runs that
    /// failed at once do not retry at once.
    #[must_use]
    pub fn new(plan: Arc<Plan>, id: Uuid) -> Self {
        let steps = plan.steps().len();
        Self {
            progress: plan
                .steps()
                .iter()
                .map(|step| Progress::Blocked(step.needs().len()))
                .collect(),
            values: (0..steps).map(|_| None).collect(),
            plan,
            id,
            now_ms: 0,
            phase: Phase::New,
            input: Json::null(),
            ready: VecDeque::new(),
            open: steps,
            decisions: Vec::new(),
        }
    }

    /// Handles an event and returns the decisions that follow; often none.
    pub fn handle(&mut self, event: Event) -> Vec<Decision> {
        self.now_ms = event.at_ms();
        let outcome = match (self.phase, event) {
            (Phase::New, Event::Started { input, .. }) => self.started(input),
            (Phase::Running, Event::Answered { call, value, .. }) => self.answered(&call, value),
            (Phase::Running, Event::Failed { call, error, not_run, .. }) => {
                self.failed(&call, error, not_run)
            }
            (Phase::Running, Event::Waited { call, .. }) => self.waited(&call),
            _ => Ok(()),
        };
        if let Err(error) = outcome.and_then(|()| self.advance()) {
            self.phase = Phase::Done;
            // The calls of this very event are not made any more.
            self.decisions.retain(|decision| matches!(decision, Decision::Log(_)));
            self.decisions.push(Decision::Fail { error });
        }
        std::mem::take(&mut self.decisions)
    }

    /// True if the run has finished or failed.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.phase == Phase::Done
    }

    fn started(&mut self, input: Json) -> Outcome {
        self.phase = Phase::Running;
        self.input = input;
        let is_free = |progress: &Progress| matches!(progress, Progress::Blocked(0));
        self.ready =
            (0..self.open).filter(|index| self.progress.get(*index).is_some_and(is_free)).collect();
        Ok(())
    }

    /// Starts the steps that can start. Finishes when all steps are done.
    fn advance(&mut self) -> Outcome {
        let plan = Arc::clone(&self.plan);
        while let Some(index) = self.ready.pop_front() {
            if let Some(step) = plan.step(index) {
                self.start(index, step)?;
            }
        }
        if self.phase == Phase::Running && self.open == 0 {
            self.phase = Phase::Done;
            let output = match plan.output() {
                Some(output) => {
                    let output = output.fill(&self.scope(None, None));
                    output.map_err(|failure| {
                        self.no_value("the flow's output has no value: ", failure)
                    })?
                }
                None => self.values.pop().flatten().unwrap_or_else(Json::null),
            };
            self.decisions.push(Decision::Finish { output });
        }
        Ok(())
    }

    fn scope<'a>(&'a self, item: Option<(&'a Val, u32)>, error: Option<&'a Json>) -> Scope<'a> {
        Scope { names: self.plan.names(), input: &self.input, steps: &self.values, item, error }
    }

    fn answered(&mut self, call: &CallId, value: Json) -> Outcome {
        let plan = Arc::clone(&self.plan);
        let Some((index, step)) = find(&plan, call) else { return Ok(()) };
        match self.progress.get_mut(index) {
            Some(Progress::Catching { .. }) if call.is_fallback() => self.done(index, value),
            Some(Progress::Calling(calls)) if calls.is_running(call) => {
                calls.answer(call, value);
                if calls.is_stopped() {
                    return self.catch_when_quiet(index, step);
                }
                match calls.all() {
                    Some(all) => self.done(index, all),
                    None => return self.fill(index, step),
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn done(&mut self, index: usize, value: Json) {
        self.set(index, Progress::Done);
        self.open = self.open.saturating_sub(1);
        if let Some(slot) = self.values.get_mut(index) {
            *slot = Some(value);
        }
        for next in self.plan.step(index).map_or(&[][..], |step| &step.next) {
            if let Some(Progress::Blocked(missing)) = self.progress.get_mut(*next) {
                *missing = missing.saturating_sub(1);
                if *missing == 0 {
                    self.ready.push_back(*next);
                }
            }
        }
    }

    /// Time when something that begins with the last event is due. It is rounded up to a whole
    /// millisecond: no wait and no call ends too early.
    fn due_after(&self, time: Duration) -> u64 {
        let ms = u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        self.now_ms.saturating_add(ms)
    }

    /// The decision to make a call.
    fn call(&self, target: &Target, call: CallId, input: Json, due_ms: Option<u64>) -> Decision {
        let id = call.id_in(self.id);
        let attempt = call.attempt();
        Decision::Call { call, id, target: target.clone(), input, due_ms, attempt }
    }

    fn set(&mut self, index: usize, progress: Progress) {
        if let Some(slot) = self.progress.get_mut(index) {
            *slot = progress;
        }
    }
}

fn find<'p>(plan: &'p Plan, call: &CallId) -> Option<(usize, &'p PlanStep)> {
    plan.steps().iter().enumerate().find(|(_, step)| step.id() == call.step())
}

#[cfg(test)]
mod tests;
