//! Two sides in turns: the machine's mood changes by the minute, and both have it alike.

use std::time::Duration;

use serde::Serialize;

use crate::load::{Load, Sample};

/// How long each side runs before it is measured, at the most.
const WARM_UP: Duration = Duration::from_millis(300);

/// The rounds of a row: base, ours, base, ours, …, base.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rounds {
    /// What ours is compared with: one more than ours.
    pub(crate) base: Vec<Sample>,
    pub(crate) ours: Vec<Sample>,
}

impl Rounds {
    /// Measures both sides in turns, after each has been warmed up.
    ///
    /// # Errors
    /// The first call that fails ends it.
    pub(crate) async fn take(
        count: usize,
        load: Load,
        base: impl AsyncFn() -> anyhow::Result<()>,
        ours: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let warm_up = Load { length: WARM_UP.min(load.length), ..load };
        warm_up.run(&base).await?;
        warm_up.run(&ours).await?;
        let mut rounds = Self { base: vec![load.run(&base).await?], ours: Vec::with_capacity(count) };
        for _ in 0..count {
            rounds.ours.push(load.run(&ours).await?);
            rounds.base.push(load.run(&base).await?);
        }
        Ok(rounds)
    }

    /// Calls a second: ours by the base's, of each round. More is better.
    pub(crate) fn speed(&self) -> Vec<f64> {
        self.ratios(|sample| sample.per_second).map(|(ours, base)| ours / base).collect()
    }

    /// Processor time a call: the base's by ours, of each round. More is better.
    pub(crate) fn thrift(&self) -> Vec<f64> {
        self.ratios(|sample| sample.cpu_us.unwrap_or(f64::NAN)).map(|(ours, base)| base / ours).collect()
    }

    /// Time a call: ours by the base's, of each round.
    pub(crate) fn cost(&self) -> Vec<f64> {
        self.speed().into_iter().map(f64::recip).collect()
    }

    /// Ours, and the mean of the two bases beside it.
    fn ratios(&self, value: impl Fn(&Sample) -> f64) -> impl Iterator<Item = (f64, f64)> {
        let bases = self.base.windows(2).map(<[Sample]>::iter);
        let ours: Vec<f64> = self.ours.iter().map(&value).collect();
        let means: Vec<f64> = bases.map(|pair| pair.map(&value).sum::<f64>() / 2.0).collect();
        ours.into_iter().zip(means)
    }
}
