//! Subjects: the NATS names of targets. No other module spells them.

use std::fmt;

use crate::{BodyId, CellName, Namespace, Target, TopicFilter};

/// The queue group that the bodies hosting a cell share.
pub const CELL_GROUP: &str = "cell";
/// The queue group that the bodies hosting a flow share.
pub const FLOW_GROUP: &str = "flow";

/// A NATS subject of CBS.
///
/// ```
/// use cbs::{Namespace, Subject, Target};
/// let target: Target = "logic.greet".parse()?;
/// assert_eq!(Subject::of(&Namespace::default(), &target).as_str(), "cbs.default.cell.logic.greet");
/// # Ok::<(), cbs::NameError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Subject(String);

impl Subject {
    /// `cbs.<ns>.cell.<organ>.<cell>`, `cbs.<ns>.flow.<name>` or `cbs.<ns>.event.<topic>`.
    #[must_use]
    pub fn of(namespace: &Namespace, target: &Target) -> Self {
        let kind = match target {
            Target::Cell(_) => "cell",
            Target::Flow(_) => "flow",
            Target::Topic(_) => "event",
        };
        // Once a call: joined by hand, which is a third of what formatting takes.
        Self(["cbs.", namespace.as_str(), ".", kind, ".", target.name()].concat())
    }

    /// Returns `cbs.<ns>.event.<filter>`: the subject of a subscription to events.
    #[must_use]
    pub fn of_events(namespace: &Namespace, filter: &TopicFilter) -> Self {
        Self(format!("cbs.{namespace}.event.{filter}"))
    }

    /// `cbs.<ns>.body.<id>.cell.<organ>.<cell>`: the cell in that one body, past the queue group.
    #[must_use]
    pub fn of_cell_in_body(namespace: &Namespace, body: &BodyId, cell: &CellName) -> Self {
        Self(format!("cbs.{namespace}.body.{body}.cell.{cell}"))
    }

    /// `cbs.<ns>.body.<id>.cell.*.*`: the one subscription that serves all of
    /// [`Self::of_cell_in_body`].
    #[must_use]
    pub fn of_cells_in_body(namespace: &Namespace, body: &BodyId) -> Self {
        Self(format!("cbs.{namespace}.body.{body}.cell.*.*"))
    }

    /// Returns `cbs.<ns>.body.<id>.barrier`: the subject of the body's own round trips. One
    /// connection of the body asks there and the other answers, so that the answer comes in order
    /// with all that was sent before.
    #[must_use]
    pub fn of_barrier(namespace: &Namespace, body: &BodyId) -> Self {
        Self(format!("cbs.{namespace}.body.{body}.barrier"))
    }

    /// `cbs.<ns>.body.<id>.ctl`: questions to the body itself.
    #[must_use]
    pub fn of_control(namespace: &Namespace, body: &BodyId) -> Self {
        Self(format!("cbs.{namespace}.body.{body}.ctl"))
    }

    /// `cbs.<ns>.ctl`: questions to all bodies at once.
    #[must_use]
    pub fn of_all_controls(namespace: &Namespace) -> Self {
        Self(format!("cbs.{namespace}.ctl"))
    }

    /// The queue group of a target's subject; `None` for events.
    #[must_use]
    pub fn group(target: &Target) -> Option<&'static str> {
        match target {
            Target::Cell(_) => Some(CELL_GROUP),
            Target::Flow(_) => Some(FLOW_GROUP),
            Target::Topic(_) => None,
        }
    }

    /// The subject as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<Subject> for String {
    fn from(subject: Subject) -> Self {
        subject.0
    }
}
