//! Measurement of several sides in turns: the machine's speed changes by the minute, and so it
//! changes for all sides.

use std::time::Duration;

use futures::future::LocalBoxFuture;
use serde::Serialize;

use crate::load::{Load, Sample};

/// Limit of the time that each side runs before it is measured.
const WARM_UP: Duration = Duration::from_millis(300);

/// One of the sides: a function that measures it once.
pub(crate) type Side<'a> = Box<dyn Fn(Load) -> LocalBoxFuture<'a, anyhow::Result<Sample>> + 'a>;

/// Returns the side that makes this call.
pub(crate) fn side<'a>(call: &'a impl AsyncFn() -> anyhow::Result<()>) -> Side<'a> {
    Box::new(move |load| Box::pin(async move { load.run(call).await }))
}

/// Measures sides in turns, after a warm-up of each: all of them `count` times, and then once more
/// all but the last. So each sample of the last side is between two samples of every other side.
/// The samples are in the order of the sides.
///
/// # Errors
/// The first call that fails ends it.
pub(crate) async fn laps(
    count: usize,
    load: &Load,
    sides: &[Side<'_>],
) -> anyhow::Result<Vec<Vec<Sample>>> {
    let warm_up = Load { length: WARM_UP.min(load.length), ..load.clone() };
    for side in sides {
        side(warm_up.clone()).await?;
    }
    let mut samples = vec![Vec::with_capacity(count + 1); sides.len()];
    for lap in 0..=count {
        let last = sides.len().saturating_sub(usize::from(lap == count));
        for (side, samples) in sides.iter().zip(&mut samples).take(last) {
            samples.push(side(load.clone()).await?);
        }
    }
    Ok(samples)
}

/// The rounds of a row: base, ours, base, ours, …, base.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rounds {
    /// Samples that ours are compared with: one more than ours.
    pub(crate) base: Vec<Sample>,
    pub(crate) ours: Vec<Sample>,
}

impl Rounds {
    /// Measures both sides in turns, after a warm-up of each.
    ///
    /// # Errors
    /// The first call that fails ends it.
    pub(crate) async fn take(
        count: usize,
        load: Load,
        base: impl AsyncFn() -> anyhow::Result<()>,
        ours: impl AsyncFn() -> anyhow::Result<()>,
    ) -> anyhow::Result<Self> {
        let mut samples = laps(count, &load, &[side(&base), side(&ours)]).await?.into_iter();
        Ok(Self {
            base: samples.next().unwrap_or_default(),
            ours: samples.next().unwrap_or_default(),
        })
    }

    /// Ratio of calls a second, ours to the base, of each round. More is better.
    pub(crate) fn speed(&self) -> Vec<f64> {
        self.ratios(|sample| sample.per_second).map(|(ours, base)| ours / base).collect()
    }

    /// Ratio of processor time for a call, the base to ours, of each round. More is better.
    pub(crate) fn thrift(&self) -> Vec<f64> {
        self.ratios(|sample| sample.cpu_us.unwrap_or(f64::NAN))
            .map(|(ours, base)| base / ours)
            .collect()
    }

    /// Ratio of the time of a call, ours to the base, of each round.
    pub(crate) fn cost(&self) -> Vec<f64> {
        self.speed().into_iter().map(f64::recip).collect()
    }

    /// Ratio of the time of the slowest call in a hundred, ours to the base, of each round.
    pub(crate) fn slowest(&self) -> Vec<f64> {
        self.ratios(|sample| sample.p99_us).map(|(ours, base)| ours / base).collect()
    }

    /// Returns our value of each round, and the mean of the two base values beside it.
    fn ratios(&self, value: impl Fn(&Sample) -> f64) -> impl Iterator<Item = (f64, f64)> {
        let bases = self.base.windows(2).map(<[Sample]>::iter);
        let ours: Vec<f64> = self.ours.iter().map(&value).collect();
        let means: Vec<f64> = bases.map(|pair| pair.map(&value).sum::<f64>() / 2.0).collect();
        ours.into_iter().zip(means)
    }
}
