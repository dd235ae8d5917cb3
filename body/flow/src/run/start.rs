//! Start of a step: its condition, its items and its input.

use jaq_json::Val;

use super::{
    Outcome, Progress, Run,
    calls::{Calls, Live},
};
use crate::{
    CallId, Decision, Json, LogEntry,
    expression::{Failure, kind},
    plan::PlanStep,
};

impl Run {
    /// Starts a step whose needs are done.
    pub(super) fn start(&mut self, index: usize, step: &PlanStep) -> Outcome {
        let scope = self.scope(None, None);
        let wanted = step.when.as_ref().map(|when| when.fill(&scope)).transpose();
        match wanted {
            Ok(Some(wanted)) if wanted.is_no() => {
                self.decisions.push(Decision::Log(LogEntry::Skipped { step: step.name().clone() }));
                self.done(index, Json::null());
                return Ok(());
            }
            Ok(_) => {}
            Err(failure) => return self.fails(index, step, None, failure),
        }
        let items = step.each.as_ref().map(|each| each.items.fill(&scope)).transpose();
        let items = match items {
            Ok(None) => None,
            Ok(Some(list)) => match list.parsed() {
                Some(Val::Arr(items)) if items.is_empty() => {
                    self.done(index, list);
                    return Ok(());
                }
                Some(Val::Arr(items)) => Some(items.to_vec()),
                other => {
                    let found = kind(other.unwrap_or(&Val::Null));
                    let failure =
                        Failure::plain(format!("`each` goes through a list, and this is {found}"));
                    return self.fails(index, step, None, failure);
                }
            },
            Err(failure) => return self.fails(index, step, None, failure),
        };
        let parallel = step.each.as_ref().map_or(1, |each| each.parallel);
        self.set(index, Progress::Calling(Calls::new(items, parallel)));
        self.fill(index, step)
    }

    /// Starts items while `parallel` allows it.
    pub(super) fn fill(&mut self, index: usize, step: &PlanStep) -> Outcome {
        while let Some(Progress::Calling(calls)) = self.progress.get(index)
            && let Some((item, value)) = calls.next()
        {
            let item_scope = value.map(|value| (value, item));
            let input =
                step.with.as_ref().map(|with| with.fill(&self.scope(item_scope, None))).transpose();
            match input {
                Ok(input) => self.begin(index, step, item, input.unwrap_or_else(Json::null)),
                Err(failure) => return self.fails(index, step, Some(item), failure),
            }
        }
        Ok(())
    }

    fn fails(
        &mut self,
        index: usize,
        step: &PlanStep,
        item: Option<u32>,
        failure: Failure,
    ) -> Outcome {
        let error = self.no_value("", failure);
        self.given_up(index, step, item, error)
    }

    fn begin(&mut self, index: usize, step: &PlanStep, item: u32, input: Json) {
        let due_ms = step.timeout.map(|timeout| self.due_after(timeout));
        let Some(Progress::Calling(calls)) = self.progress.get_mut(index) else { return };
        calls.start(item, Live::new(input.clone(), due_ms));
        let call = CallId::attempt_of(step.name(), calls.label(item), 0);
        let decision = self.call(step.target(), call, input, due_ms);
        self.decisions.push(decision);
    }
}
