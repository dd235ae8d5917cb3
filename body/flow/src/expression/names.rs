//! Names that an expression may use.

use cbs::Text;

use super::Mistake;
use crate::suggest;

/// Names that an expression may use at its place.
#[derive(Clone, Copy)]
pub(crate) struct Names<'a> {
    /// The ids of all steps.
    pub(crate) steps: &'a [Text],
    /// Steps that are done before, as indexes.
    pub(crate) before: &'a [usize],
    /// The step that the expression belongs to.
    pub(crate) own: Option<usize>,
    /// True if there is an `.item`.
    pub(crate) each: bool,
    /// True if there is an `.error`.
    pub(crate) catch: bool,
}

impl Names<'_> {
    fn roots(&self) -> impl Iterator<Item = &'static str> + Clone + use<> {
        let each = if self.each { &["item", "index"][..] } else { &[] };
        let catch = if self.catch { &["error"][..] } else { &[] };
        ["input", "steps"].iter().chain(each).chain(catch).copied()
    }

    /// The index of a step that may be read.
    pub(super) fn find(&self, name: &str) -> Result<usize, Mistake> {
        let Some(index) = self.steps.iter().position(|step| **step == *name) else {
            let hint = suggest::hint(name, self.steps.iter().map(|step| &**step));
            return Err(
                Mistake::new("flow-unknown-step", format!("there is no step `{name}`")).hint(hint)
            );
        };
        if self.before.contains(&index) {
            return Ok(index);
        }
        let (reader, hint) = if self.own == Some(index) {
            (
                format!("by the step `{name}` itself"),
                "a step has its value when it is done".to_owned(),
            )
        } else {
            (
                "by a step that does not wait for it".to_owned(),
                format!("add `{name}` to the step's `needs`"),
            )
        };
        Err(Mistake::new("flow-not-before", format!("`.steps.{name}` is read {reader}")).hint(hint))
    }

    /// Returns the mistake of a root that does not exist.
    pub(super) fn no_root(&self, name: &str) -> Mistake {
        let (reason, hint) = match name {
            "item" | "index" => (
                "there is no `each` here".to_owned(),
                "only the `with` of a step with `each` has it".to_owned(),
            ),
            "error" => ("nothing is caught here".to_owned(), "only `catch` has it".to_owned()),
            name => {
                let near = suggest::nearest(name, self.roots())
                    .map(|near| format!("did you mean `.{near}`?"));
                let hint = near.unwrap_or_else(|| {
                    format!("write `.input.{name}` for a field of the flow's input")
                });
                (format!("there are only .{}", self.roots().collect::<Vec<_>>().join(", .")), hint)
            }
        };
        Mistake::new("flow-root", format!("`.{name}` is nothing: {reason}")).hint(hint)
    }
}
