//! A cell whose processes are replaced by better ones while it serves: new ones start, become ready, and the old leave.

use cbs::BoxFuture;

use crate::{plan::Launch, pool_supervisor::First};

/// The launch that is better than the one that serves, once there is one; `None` where there will be none.
pub(crate) type Better = BoxFuture<'static, Option<Launch>>;

/// How far it has come.
pub(crate) enum RollingReplace {
    /// Nothing is better than what serves.
    Over,
    Awaited(Better),
    /// The heir of one process starts; those whose turn comes after it, the one that it is the heir of last.
    Starts {
        replacement: u32,
        first: First,
        after: Vec<u32>,
    },
    /// A process that has an heir finishes what it has; those whose turn comes then.
    Leaves {
        old: u32,
        after: Vec<u32>,
    },
}

/// What is to be done next.
pub(crate) enum Step {
    /// All are to be replaced by processes of this launch.
    Begin(Launch),
    /// The heir is ready, or why not.
    Started { replacement: u32, outcome: Result<(), String>, after: Vec<u32> },
}

impl RollingReplace {
    /// What is to be done next; never done where there is nothing. Cancel-safe. It is over with each step, unless it is
    /// told how to go on.
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

    /// A process has left: those whose turn comes now, where it was waited for.
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
