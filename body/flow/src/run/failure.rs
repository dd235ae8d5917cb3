//! Handling of a failed call: another attempt, the fallback, or the end of the run.

use cbs::CellError;
use serde_json::json;

use super::{Outcome, Progress, Run, calls::Calls, error::named, find, retry};
use crate::{
    CallId, Decision, Json, LogEntry,
    plan::{PlanCatch, PlanStep},
};
use std::sync::Arc;

impl Run {
    pub(super) fn failed(&mut self, call: &CallId, error: CellError, not_run: bool) -> Outcome {
        let plan = Arc::clone(&self.plan);
        let Some((index, step)) = find(&plan, call) else { return Ok(()) };
        match self.progress.get_mut(index) {
            Some(Progress::Catching { .. }) if call.is_fallback() => {
                Err(named(step, None, ": its catch failed", error))
            }
            Some(Progress::Calling(calls)) if calls.is_running(call) => {
                let may_retry = !calls.is_stopped()
                    && retry::is_allowed(step.retry.as_ref(), call.attempt(), &error, not_run);
                if may_retry {
                    self.retry(index, step, call);
                    return Ok(());
                }
                calls.end(call);
                self.given_up(index, step, call.item(), error)
            }
            _ => Ok(()),
        }
    }

    fn retry(&mut self, index: usize, step: &PlanStep, failed: &CallId) {
        let Some(retry) = &step.retry else { return };
        let call = CallId::attempt_of(step.name(), failed.item(), failed.attempt() + 1);
        let (_, seed) = self.id.as_u64_pair();
        let delay = retry::delay(retry, &call, seed);
        let due_ms = self.due_after(delay);
        let Some(Progress::Calling(calls)) = self.progress.get_mut(index) else { return };
        calls.wait(&call, due_ms);
        if delay.is_zero() {
            self.wake(index, step, &call);
        } else {
            self.decisions.push(Decision::Wait { call, due_ms });
        }
    }

    pub(super) fn waited(&mut self, call: &CallId) -> Outcome {
        let plan = Arc::clone(&self.plan);
        if let Some((index, step)) = find(&plan, call) {
            self.wake(index, step, call);
        }
        Ok(())
    }

    fn wake(&mut self, index: usize, step: &PlanStep, call: &CallId) {
        let due_ms = step.timeout.map(|timeout| self.due_after(timeout));
        let Some(Progress::Calling(calls)) = self.progress.get_mut(index) else { return };
        if let Some(input) = calls.wake(call, due_ms) {
            let decision = self.call(step.target(), call.clone(), input, due_ms);
            self.decisions.push(decision);
        }
    }

    /// Handles a call, or a step, that failed and is not tried again.
    pub(super) fn given_up(
        &mut self,
        index: usize,
        step: &PlanStep,
        item: Option<u32>,
        error: CellError,
    ) -> Outcome {
        let item = item.filter(|_| step.each.is_some());
        if !step.catch.as_ref().is_some_and(|catch| catch.takes(&error)) {
            return Err(named(step, item, " failed", error));
        }
        if !matches!(self.progress.get(index), Some(Progress::Calling(_))) {
            self.set(index, Progress::Calling(Calls::new(None, 1)));
        }
        if let Some(Progress::Calling(calls)) = self.progress.get_mut(index) {
            calls.stop(error);
        }
        self.catch_when_quiet(index, step)
    }

    /// Runs the fallback of a stopped step when none of its calls runs any more.
    pub(super) fn catch_when_quiet(&mut self, index: usize, step: &PlanStep) -> Outcome {
        let (Some(Progress::Calling(calls)), Some(catch)) =
            (self.progress.get_mut(index), &step.catch)
        else {
            return Ok(());
        };
        let Some(error) = calls.take_failure() else { return Ok(()) };
        let root = json!({
            "code": error.code.as_str(), "message": error.message, "retryable": error.retryable, "details": error.details,
        });
        let root = Json::from(root);
        self.decisions.push(Decision::Log(LogEntry::Caught { step: step.name().clone(), error }));
        let with =
            catch.with.as_ref().map(|with| with.fill(&self.scope(None, Some(&root)))).transpose();
        let with = with.map_err(|failure| {
            named(step, None, ": its catch failed", self.no_value("", failure))
        })?;
        let with = with.unwrap_or_else(Json::null);
        match &catch.target {
            None => self.done(index, with),
            Some(target) => {
                let due_ms = catch.timeout.map(|timeout| self.due_after(timeout));
                self.set(index, Progress::Catching { input: with.clone(), due_ms });
                let call = CallId::fallback_of(step.name());
                let decision = self.call(target, call, with, due_ms);
                self.decisions.push(decision);
            }
        }
        Ok(())
    }
}

impl PlanCatch {
    fn takes(&self, error: &CellError) -> bool {
        self.codes.is_empty() || self.codes.iter().any(|code| code == error.code.as_str())
    }
}
