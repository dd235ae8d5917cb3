//! Lag of the runtime: the delay with which its tasks are woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// Time between two measurements.
const PERIOD: Duration = Duration::from_millis(250);
/// Number of measurements that count: those of the last 15 s, so that a scraper also sees the time
/// between two scrapes.
const KEPT: usize = 60;

/// Latest measurements, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Lag([AtomicU64; KEPT]);

impl Lag {
    /// Measures until `stop` is cancelled.
    pub(crate) fn measure(tasks: &TaskTracker, stop: CancellationToken) -> Arc<Self> {
        let lag = Arc::new(Self([const { AtomicU64::new(0) }; KEPT]));
        let measured = lag.clone();
        tasks.spawn(async move { stop.run_until_cancelled(measured.run()).await });
        lag
    }

    /// Returns the greatest lag of the last 15 s, in nanoseconds.
    pub(super) fn greatest_ns(&self) -> u64 {
        self.0.iter().map(|one| one.load(Ordering::Relaxed)).max().unwrap_or(0)
    }

    async fn run(&self) {
        for place in self.0.iter().cycle() {
            let due = Instant::now() + PERIOD;
            tokio::time::sleep_until(due).await;
            let late = u64::try_from(due.elapsed().as_nanos()).unwrap_or(u64::MAX);
            place.store(late, Ordering::Relaxed);
        }
    }
}
