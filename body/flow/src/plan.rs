//! A plan: a checked flow with its expressions compiled.

mod check;
mod order;

use std::fmt;

use cbs::{FlowName, Target, Text};
use model::RetryPolicy;

pub(crate) use self::check::is_step_id;
use crate::{Flow, Problem, template::Template};

/// A checked flow: immutable, shared by all its runs.
///
/// ```
/// use flow::{Flow, Plan, Step};
/// let step = |id: &str, with: &str| Step {
///     id: id.into(),
///     target: "logic.greet".parse().unwrap(),
///     with: Some(with.into()),
///     when: None, each: None, needs: None, retry: None, timeout: None, catch: None,
/// };
/// let flow = |steps| Flow { name: "greeting".parse().unwrap(), steps, output: None };
///
/// let plan = Plan::new(flow(vec![step("ask", "${ .input }"), step("greet", "${ .steps.ask }")])).unwrap();
/// assert_eq!(plan.targets().count(), 2);
///
/// let problems = Plan::new(flow(vec![step("greet", "${ .steps.aks }")])).unwrap_err();
/// assert_eq!(problems[0].code, "flow-unknown-step");
/// ```
pub struct Plan {
    name: FlowName,
    steps: Vec<PlanStep>,
    /// The steps' ids, in the order of `steps`.
    names: Vec<Text>,
    output: Option<Template>,
}

/// A checked step.
pub struct PlanStep {
    id: Text,
    target: Target,
    pub(crate) with: Option<Template>,
    pub(crate) when: Option<Template>,
    pub(crate) each: Option<PlanEach>,
    /// The indexes of the steps that must be done before.
    needs: Vec<usize>,
    /// The indexes of the steps that wait for this one.
    pub(crate) next: Vec<usize>,
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) timeout: Option<std::time::Duration>,
    pub(crate) catch: Option<PlanCatch>,
}

pub(crate) struct PlanEach {
    pub(crate) items: Template,
    pub(crate) parallel: usize,
}

pub(crate) struct PlanCatch {
    pub(crate) codes: Vec<String>,
    pub(crate) target: Option<Target>,
    pub(crate) with: Option<Template>,
    pub(crate) timeout: Option<std::time::Duration>,
}

impl Plan {
    /// Checks a flow and compiles its expressions.
    ///
    /// # Errors
    /// Every problem at once, in the order of the steps. [`CODES`](crate::CODES) lists their codes.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "a flow becomes a plan; what is left of it is no use"
    )]
    pub fn new(flow: Flow) -> Result<Self, Vec<Problem>> {
        check::plan(&flow)
    }

    /// The flow's name.
    #[must_use]
    pub fn name(&self) -> &FlowName {
        &self.name
    }

    /// The steps in the order they are written.
    #[must_use]
    pub fn steps(&self) -> &[PlanStep] {
        &self.steps
    }

    /// Every target that a run may call, those of `catch` too, in the order they are written; some
    /// may be equal.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.steps.iter().flat_map(PlanStep::targets)
    }

    pub(crate) fn names(&self) -> &[Text] {
        &self.names
    }

    pub(crate) fn output(&self) -> Option<&Template> {
        self.output.as_ref()
    }

    pub(crate) fn step(&self, index: usize) -> Option<&PlanStep> {
        self.steps.get(index)
    }
}

impl PlanStep {
    /// The step's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Cell or flow that the step calls.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Cell or flow that the step calls when it has failed for good, if any.
    #[must_use]
    pub fn fallback(&self) -> Option<&Target> {
        self.catch.as_ref()?.target.as_ref()
    }

    /// The indexes, in [`Plan::steps`], of the steps that are done before this one starts;
    /// ascending.
    #[must_use]
    pub fn needs(&self) -> &[usize] {
        &self.needs
    }

    pub(crate) fn name(&self) -> &Text {
        &self.id
    }

    fn targets(&self) -> impl Iterator<Item = &Target> {
        [Some(&self.target), self.fallback()].into_iter().flatten()
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plan")
            .field("name", &self.name)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PlanStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PlanStep")
            .field("id", &self.id)
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
