//! How a step begins: whether it runs at all, over which items, with what input.

use serde_json::Value;

use super::{
    Outcome, Progress, Run,
    calls::{Calls, Live},
    decision,
    error::{expression_error, kind},
};
use crate::{CallId, Decision, Note, plan::PlanStep};

impl Run {
    /// Starts a step whose needs are done.
    pub(super) fn start(&mut self, index: usize, step: &PlanStep) -> Outcome {
        let scope = self.scope(None, None);
        let wanted = step.when.as_ref().map(|when| when.fill(&scope)).transpose();
        match wanted {
            Ok(Some(Value::Null | Value::Bool(false))) => {
                self.decisions.push(Decision::Note(Note::Skipped { step: step.name().clone() }));
                self.done(index, Value::Null);
                return Ok(());
            }
            Ok(_) => {}
            Err(reason) => return self.given_up(index, step, None, expression_error(reason)),
        }
        let items = step.each.as_ref().map(|each| each.items.fill(&scope)).transpose();
        let items = match items {
            Ok(None) => None,
            Ok(Some(Value::Array(items))) if items.is_empty() => {
                self.done(index, Value::Array(items));
                return Ok(());
            }
            Ok(Some(Value::Array(items))) => Some(items),
            Ok(Some(other)) => {
                let reason = format!("`each` goes through a list, and this is {}", kind(&other));
                return self.given_up(index, step, None, expression_error(reason));
            }
            Err(reason) => return self.given_up(index, step, None, expression_error(reason)),
        };
        let parallel = step.each.as_ref().map_or(1, |each| each.parallel);
        self.set(index, Progress::Calling(Calls::new(items, parallel)));
        self.fill(index, step)
    }

    /// Starts items while there is room.
    pub(super) fn fill(&mut self, index: usize, step: &PlanStep) -> Outcome {
        while let Some(Progress::Calling(calls)) = self.progress.get(index)
            && let Some((item, value)) = calls.next()
        {
            let item_scope = value.map(|value| (value, item));
            let input = step.with.as_ref().map(|with| with.fill(&self.scope(item_scope, None))).transpose();
            match input {
                Ok(input) => self.call(index, step, item, input.unwrap_or_default()),
                Err(reason) => return self.given_up(index, step, Some(item), expression_error(reason)),
            }
        }
        Ok(())
    }

    fn call(&mut self, index: usize, step: &PlanStep, item: u32, input: Value) {
        let Some(Progress::Calling(calls)) = self.progress.get_mut(index) else { return };
        let may_retry = step.retry.as_ref().is_some_and(|retry| retry.max > 0);
        calls.start(item, Live::new(may_retry.then(|| input.clone())));
        let call = CallId::attempt_of(step.name(), calls.label(item), 0);
        self.decisions.push(decision(step, call, input));
    }
}
