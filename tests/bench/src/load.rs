//! Load: a number of calls at once, for a time.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::time::sleep;

use crate::cpu;

/// Settings of a measurement of one side of a round.
#[derive(Clone, Debug)]
pub(crate) struct Load {
    /// Number of callers; each makes one call after the other.
    pub(crate) callers: usize,
    /// Duration of the measurement.
    pub(crate) length: Duration,
    /// Time that each caller waits before a call.
    pub(crate) pause: Option<Duration>,
    /// The processes whose processor time counts, in addition to this process.
    pub(crate) processes: Arc<[u32]>,
}

/// Figures of one side of one round.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Sample {
    pub(crate) calls: usize,
    pub(crate) per_second: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of a call, in microseconds: caller, server and answerer together.
    pub(crate) cpu_us: Option<f64>,
}

impl Load {
    /// Adds processes whose time counts too.
    pub(crate) fn beside(self, processes: impl IntoIterator<Item = u32>) -> Self {
        Self { processes: self.processes.iter().copied().chain(processes).collect(), ..self }
    }

    /// Makes calls until the time is over. All callers share one task, on both sides.
    ///
    /// # Errors
    /// The first call that fails ends it.
    pub(crate) async fn run(
        &self,
        call: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Sample> {
        let (began, used) = (Instant::now(), cpu::used(&self.processes));
        let end = began + self.length;
        let caller = async || {
            let mut times = Vec::with_capacity(4096);
            let mut last = Instant::now();
            while last < end {
                if let Some(pause) = self.pause {
                    sleep(pause).await;
                    last = Instant::now();
                }
                call().await?;
                let now = Instant::now();
                times.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
                last = now;
            }
            anyhow::Ok(times)
        };
        let times = try_join_all((0..self.callers).map(|_| caller())).await?;
        let elapsed = began.elapsed();
        let used_after = cpu::used(&self.processes);
        let used = used_after.zip(used).map(|(after, before)| after.saturating_sub(before));
        Ok(Sample::new(times.concat(), elapsed, used))
    }
}

impl Sample {
    /// Makes the figures from the nanoseconds of each call.
    pub(crate) fn new(mut times: Vec<u32>, elapsed: Duration, used: Option<Duration>) -> Self {
        times.sort_unstable();
        let calls = times.len();
        let at = |percent: usize| {
            times.get(calls * percent / 100).map_or(0.0, |time| f64::from(*time) / 1e3)
        };
        Self {
            calls,
            per_second: calls as f64 / elapsed.as_secs_f64(),
            p50_us: at(50),
            p99_us: at(99),
            cpu_us: used.map(|used| used.as_secs_f64() * 1e6 / calls.max(1) as f64),
        }
    }
}
