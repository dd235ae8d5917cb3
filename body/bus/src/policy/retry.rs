//! Retries: failed calls are tried again if that is safe, useful, and within the budget.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use cbs::{
    BodyBus, BoxFuture, BusError, Envelope, EventStream, Outcome, Service, Serving, Subscription,
    TIMEOUT_DEFAULT, Target, Uuid,
};
use model::{CallPolicy, RetryPolicy};
use tokio::time::Instant;

use super::budget::Budget;

/// A bus that tries failed calls again.
///
/// If the cell did not run, the call is tried again if the error says that a retry is useful. If
/// the cell ran or may have run, it is tried again only if the call is idempotent (by the target's
/// policy or by [`Envelope::idempotent`]). A retry keeps the call's id, raises its attempt number,
/// and has the time that remains. No retry begins without time left.
///
/// The wait doubles from attempt to attempt. The call's id shortens it by up to half ("equal
/// jitter", <https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/>). Each
/// target has a retry budget, after the model of Finagle's `RetryBudget` and tower's
/// `retry::budget`: retries are at most a tenth of its calls and one a second, so that a target
/// that is down is not overloaded. When the budget is spent, callers get the last attempt's error.
///
/// ```
/// use std::{sync::Arc, time::Duration};
/// use bus::{InProcess, RetryingBus, Settings};
/// use model::{CallPolicy, RetryPolicy};
/// let retry = RetryingBus::new(InProcess::new(Settings::default()));
/// let policy = RetryPolicy {
///     max: 3,
///     backoff: Duration::from_millis(20),
///     backoff_max: Duration::from_secs(1),
/// };
/// retry.set("logic.greet".parse()?, &CallPolicy {
///     idempotent: true,
///     retry: Some(policy),
///     ..CallPolicy::default()
/// });
/// # Ok::<(), cbs::NameError>(())
/// ```
pub struct RetryingBus {
    inner: Arc<dyn BodyBus>,
    policies: ArcSwap<Policies>,
}

type Policies = HashMap<Target, Arc<Entry>>;

struct Entry {
    policy: RetryPolicy,
    /// True if the target may run twice: only then is a call tried again that may have run.
    idempotent: bool,
    budget: Budget,
    /// Stays when the policy changes.
    counters: Arc<RetryCounters>,
}

/// Atomic counters behind [`Retried`].
#[derive(Default)]
struct RetryCounters {
    again: AtomicU64,
    denied: AtomicU64,
}

/// Counters of the retries of one target, since it has a policy. They only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retried {
    /// Attempts after the first.
    pub again: u64,
    /// Calls that were not tried again because the budget was spent.
    pub denied: u64,
}

impl RetryingBus {
    /// Returns a bus in front of another. It retries nothing until [`Self::set`] sets a policy.
    pub fn new(inner: Arc<dyn BodyBus>) -> Self {
        Self { inner, policies: ArcSwap::default() }
    }

    /// Sets the policy of a target: its `retry` and `idempotent`. Without `retry` its calls are
    /// never tried again. Its budget starts again. Its counters go on until it has no `retry`.
    pub fn set(&self, target: Target, policy: &CallPolicy) {
        self.change(&[(target, policy)], HashMap::clone);
    }

    /// Does what [`Self::set`] does for all targets at once. A target that is not among these is
    /// never tried again.
    pub fn set_all<'p>(&self, policies: impl IntoIterator<Item = (Target, &'p CallPolicy)>) {
        let wanted: Vec<_> = policies.into_iter().collect();
        self.change(&wanted, |_| HashMap::new());
    }

    /// Adds these policies to those that are kept.
    fn change(&self, wanted: &[(Target, &CallPolicy)], kept: impl Fn(&Policies) -> Policies) {
        self.policies.rcu(|current| {
            let mut next = kept(current);
            for (target, policy) in wanted {
                match Entry::new(policy, current.get(target)) {
                    Some(entry) => next.insert(target.clone(), entry),
                    None => next.remove(target),
                };
            }
            next
        });
    }

    /// Returns the counters of each target that has a policy. In no order.
    #[must_use]
    pub fn retried(&self) -> Vec<(Target, Retried)> {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let all = self.policies.load();
        let of = |entry: &Entry| Retried {
            again: read(&entry.counters.again),
            denied: read(&entry.counters.denied),
        };
        all.iter().map(|(target, entry)| (target.clone(), of(entry))).collect()
    }

    async fn call_again(&self, entry: &Entry, request: Envelope) -> Result<Envelope, BusError> {
        let timeout = request.timeout.unwrap_or(TIMEOUT_DEFAULT);
        let started = Instant::now();
        let mut request = Envelope { timeout: Some(timeout), ..request };
        entry.budget.pay_in();
        for retry in 0..entry.policy.max {
            let error = match self.inner.call(request.clone()).await {
                Err(error) if worth_it(&error, entry.idempotent || request.idempotent) => error,
                done => return done,
            };
            let delay = delay(&entry.policy, retry, request.id);
            if started.elapsed() + delay >= timeout {
                return Err(error);
            }
            if !entry.budget.pay() {
                entry.counters.denied.fetch_add(1, Ordering::Relaxed);
                return Err(error);
            }
            entry.counters.again.fetch_add(1, Ordering::Relaxed);
            tokio::time::sleep(delay).await;
            request.attempt = request.attempt.saturating_add(1);
            request.resend(timeout.saturating_sub(started.elapsed()));
        }
        self.inner.call(request).await
    }
}

impl Entry {
    /// Returns the entry of a target with retries, with its own budget. Its counters go on from
    /// those of the entry before it.
    fn new(policy: &CallPolicy, before: Option<&Arc<Self>>) -> Option<Arc<Self>> {
        let counters = before.map_or_else(Arc::default, |before| before.counters.clone());
        let retry = policy.retry.clone()?;
        let idempotent = policy.idempotent;
        Some(Arc::new(Self { policy: retry, idempotent, budget: Budget::new(), counters }))
    }
}

fn worth_it(error: &BusError, idempotent: bool) -> bool {
    match error.outcome() {
        Outcome::NotRun => error.error().retryable,
        Outcome::Ran => error.error().retryable && idempotent,
        Outcome::Unknown => idempotent,
    }
}

/// Returns the wait before the retry of this number (from 0): between half and the whole of the
/// backoff.
fn delay(policy: &RetryPolicy, retry: u32, id: Uuid) -> Duration {
    let whole = policy.wait(retry);
    // The id's low half is random. Another odd factor for each attempt distributes the waits again
    // (Knuth's multiplicative hashing).
    let (_, random) = id.as_u64_pair();
    let spread = random.wrapping_add(u64::from(retry)).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 48;
    let share = u32::try_from(spread).unwrap_or(0);
    whole / 2 + (whole / 2).saturating_mul(share) / 0x1_0000
}

impl BodyBus for RetryingBus {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        let entry =
            request.target.as_ref().and_then(|target| self.policies.load().get(target).cloned());
        match entry {
            Some(entry) => Box::pin(async move { self.call_again(&entry, request).await }),
            None => self.inner.call(request),
        }
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        self.inner.publish(event)
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        self.inner.serve(service)
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        self.inner.subscribe(wanted)
    }
}

#[cfg(test)]
#[path = "retry_tests.rs"]
mod tests;
