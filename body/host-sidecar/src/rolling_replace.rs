//! Replacement of a cell's processes by better ones while the cell serves: new ones start, become
//! ready, and the old ones leave.

use cbs::BoxFuture;

use crate::{plan::Launch, pool_supervisor::First};

/// The launch that is better than the one that serves, as soon as there is one; `None` if there
/// will be none.
pub(crate) type Better = BoxFuture<'static, Option<Launch>>;

/// State of the replacement.
pub(crate) enum RollingReplace {
    /// Nothing is better than the launch that serves.
    Over,
    Awaited(Better),
    /// The replacement of one process starts. `after` holds the tasks that are still to be
    /// replaced; the last one is replaced now.
    Starts {
        replacement: u32,
        first: First,
        after: Vec<u32>,
    },
    /// A replaced process finishes its calls. `after` holds the tasks that are replaced then.
    Leaves {
        old: u32,
        after: Vec<u32>,
    },
}

/// The next step of a replacement.
pub(crate) enum Step {
    /// All processes are to be replaced by processes of this launch.
    Begin(Launch),
    /// The replacement is ready, or the reason why not.
    Started { replacement: u32, outcome: Result<(), String>, after: Vec<u32> },
}

impl RollingReplace {
    /// Waits for the next step; never returns if there is none. Cancel-safe. Each step sets the
    /// state to [`Self::Over`]; the caller sets the next state to go on.
    pub(crate) async fn next(&mut self) -> Step {
        let step = match self {
            Self::Over | Self::Leaves { .. } => std::future::pending().await,
            Self::Awaited(better) => match better.await {
                Some(launch) => Step::Begin(launch),
                None => {
                    *self = Self::Over;
                    std::future::pending().await
                }
            },
            Self::Starts { replacement, first, after } => {
                let outcome = first.await.unwrap_or_else(|_| Err("was ended".to_owned()));
                Step::Started { replacement: *replacement, outcome, after: std::mem::take(after) }
            }
        };
        *self = Self::Over;
        step
    }

    /// Records that a process has left. If the replacement waited for it, returns the tasks that
    /// are replaced now.
    pub(crate) fn left(&mut self, process: u32) -> Option<Vec<u32>> {
        match self {
            Self::Leaves { old, after } if *old == process => {
                let after = std::mem::take(after);
                *self = Self::Over;
                Some(after)
            }
            _ => None,
        }
    }
}
