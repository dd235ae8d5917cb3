//! The retry budget: it keeps retries from overloading a target and so keeping it down.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Cost of one retry. A call pays in a tenth of it, so retries are at most 10 % of calls.
const RETRY: u64 = 10;
const CALL: u64 = 1;
/// Interval of additional retries for a target that is called rarely: one retry a second.
const RESERVE_EVERY: Duration = Duration::from_secs(1);
/// Limit of what is saved: enough for a burst of 20 retries.
const SAVED_MAX: u64 = 20 * RETRY;

/// A token bucket as in Finagle's `RetryBudget` and tower's `TpsBudget`: calls pay in, retries
/// draw, and a small reserve fills with time.
#[derive(Debug)]
pub(crate) struct Budget(Mutex<Account>);

#[derive(Debug)]
struct Account {
    saved: u64,
    filled: Instant,
}

impl Budget {
    /// Returns a budget that can pay for ten retries before the first call has paid in.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Account { saved: 10 * RETRY, filled: Instant::now() }))
    }

    /// Pays in for one call.
    pub(crate) fn pay_in(&self) {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        account.saved = SAVED_MAX.min(account.saved + CALL);
    }

    /// Pays for one retry. Returns false if not enough is saved.
    pub(crate) fn pay(&self) -> bool {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = account.filled.elapsed().as_secs();
        if seconds > 0 {
            account.filled += RESERVE_EVERY * u32::try_from(seconds).unwrap_or(u32::MAX);
            account.saved =
                SAVED_MAX.min(account.saved.saturating_add(seconds.saturating_mul(RETRY)));
        }
        let paid = account.saved.checked_sub(RETRY);
        account.saved = paid.unwrap_or(account.saved);
        paid.is_some()
    }
}
