//! Short ways to write flows in tests.

use crate::{Flow, Step};

/// A flow named `test`.
pub(crate) fn flow(steps: Vec<Step>) -> Flow {
    Flow { name: "test".parse().unwrap(), steps, output: None }
}

/// A step that calls `logic.<id>` with nothing.
pub(crate) fn step(id: &str) -> Step {
    let target = format!("logic.{id}").parse().unwrap_or_else(|_| "logic.any".parse().unwrap());
    Step {
        id: id.into(),
        target,
        with: None,
        when: None,
        each: None,
        needs: None,
        retry: None,
        timeout: None,
        catch: None,
    }
}
