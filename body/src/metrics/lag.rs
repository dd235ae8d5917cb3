//! How late the runtime's tasks are woken.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How often it is measured.
const PERIOD: Duration = Duration::from_millis(250);
/// How many measurements count: those of the last 15 s, so that a scraper sees what happened
/// between two looks.
const KEPT: usize = 60;

/// The latest measurements, in nanoseconds.
#[derive(Debug)]
pub(crate) struct Lag([AtomicU64; KEPT]);

impl Lag {
    /// Measures until it is told to stop.
    pub(crate) fn measure(tasks: &TaskTracker, stop: CancellationToken) -> Arc<Self> {
        let lag = Arc::new(Self([const { AtomicU64::new(0) }; KEPT]));
        let measured = lag.clone();
        tasks.spawn(async move { stop.run_until_cancelled(measured.run()).await });
        lag
    }

    /// The greatest of the last 15 s.
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
