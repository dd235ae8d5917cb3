//! The steps of the demo's flow, in the form for a person.

use cbs::Target;
use host::{StepObserver, StepReport};
use spec::Specs;

use crate::output::{self, BAD};

/// Reports every attempt of a step in one line.
pub(super) struct Steps {
    /// Language of each cell.
    languages: Vec<(Target, &'static str)>,
}

impl Steps {
    pub(super) fn new(specs: &Specs) -> Self {
        Self {
            languages: specs
                .cells()
                .map(|cell| (cell.name.clone().into(), cell.language()))
                .collect(),
        }
    }
}

impl StepObserver for Steps {
    fn finished(&self, report: &StepReport<'_>) {
        let language = self
            .languages
            .iter()
            .find(|(target, _)| target == report.target)
            .map_or("-", |(_, l)| l);
        let cell = report.target.name();
        let time = output::short(report.elapsed);
        let attempt = match report.call.attempt() {
            0 => String::new(),
            again => format!("  attempt {}", again + 1),
        };
        output::report(match &report.outcome {
            Ok(()) => {
                format!(
                    "  {cell:<18}  {language:<6}  {}  {:<4}  {time:>7}{attempt}",
                    report.body, report.via
                )
            }
            Err(error) => {
                format!(
                    "  {cell:<18}  {language:<6}  {BAD}{}: {}{BAD:#}  {time:>7}{attempt}",
                    error.code, error.message
                )
            }
        });
    }
}
