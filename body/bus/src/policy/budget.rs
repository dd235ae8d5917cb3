//! The retry budget: what keeps retries from becoming the load that keeps a target down.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// One retry costs so much; a call pays in a tenth of it: retries are at most 10 % of calls.
const RETRY: u64 = 10;
const CALL: u64 = 1;
/// What a target that is called rarely may spend besides: one retry a second.
const RESERVE_EVERY: Duration = Duration::from_secs(1);
/// The most that is saved up: a burst of so many retries.
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
    /// A budget that can pay for ten retries before the first call has paid in.
    pub(crate) fn new() -> Self {
        Self(Mutex::new(Account { saved: 10 * RETRY, filled: Instant::now() }))
    }

    /// A call pays in.
    pub(crate) fn pay_in(&self) {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        account.saved = SAVED_MAX.min(account.saved + CALL);
    }

    /// Pays for one retry; false when there is nothing to pay with.
    pub(crate) fn pay(&self) -> bool {
        let mut account = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = account.filled.elapsed().as_secs();
        if seconds > 0 {
            account.filled += RESERVE_EVERY * u32::try_from(seconds).unwrap_or(u32::MAX);
            account.saved = SAVED_MAX.min(account.saved.saturating_add(seconds.saturating_mul(RETRY)));
        }
        let paid = account.saved.checked_sub(RETRY);
        account.saved = paid.unwrap_or(account.saved);
        paid.is_some()
    }
}
