//! Many calls at once.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use serde_json::Value;
use testkit::eventually;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::{Caller, LIMIT};

/// Callers that call one cell again and again. The cell answers with the id of its body in the
/// field `body`.
#[derive(Debug)]
pub struct Load {
    caller: Caller,
    cell: String,
    input: Value,
    tally: Mutex<Tally>,
}

#[derive(Debug, Default)]
struct Tally {
    answered: BTreeMap<String, usize>,
    failed: Vec<String>,
}

impl Load {
    /// Prepares calls of this cell.
    #[must_use]
    pub fn new(caller: &Caller, cell: &str, input: Value) -> Self {
        Self { caller: caller.clone(), cell: cell.to_owned(), input, tally: Mutex::default() }
    }

    /// Runs `callers` callers; each makes `calls_each` calls, one after the other.
    pub async fn run(&self, callers: usize, calls_each: usize) {
        join_all((0..callers).map(|_| self.calls(calls_each))).await;
    }

    /// Runs `callers` callers, which together make `per_second` calls a second, until the future is
    /// dropped.
    pub async fn at_pace(&self, callers: u32, per_second: u32) {
        let each = Duration::from_secs(1) * callers / per_second;
        join_all((0..callers).map(|caller| async move {
            let mut pace = interval_at(Instant::now() + each * caller / callers, each);
            // A late call is not made up for: after a slow answer the pace stays the same.
            pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                pace.tick().await;
                self.calls(1).await;
            }
        }))
        .await;
    }

    async fn calls(&self, count: usize) {
        for _ in 0..count {
            let answer = self.caller.try_call(&self.cell, &[], &self.input).await;
            let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
            match answer {
                Ok(answer) if answer.status == 200 => {
                    *tally.answered.entry(answer.text("body")).or_default() += 1;
                }
                Ok(answer) => tally.failed.push(answer.line),
                Err(error) => tally.failed.push(error.to_string()),
            }
        }
    }

    /// Number of calls that a body has answered so far.
    #[must_use]
    pub fn answered_by(&self, body: &str) -> usize {
        self.tally
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answered
            .get(body)
            .copied()
            .unwrap_or_default()
    }

    /// Number of calls that were answered so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).answered.values().sum()
    }

    /// Reasons why the other calls failed.
    #[must_use]
    pub fn failed(&self) -> Vec<String> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner).failed.clone()
    }

    /// Waits until a body has answered `count` calls.
    ///
    /// # Panics
    /// When it does not.
    pub async fn until_answered_by(&self, body: &str, count: usize) {
        let what = format!("{count} answers of {body}");
        eventually(&what, LIMIT, async || self.answered_by(body) >= count).await;
    }
}
