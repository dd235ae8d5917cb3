//! A Rust cell that calls another one of its body, again and again. With it another process can
//! measure calls that never leave a process.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bytes::Bytes;
use cbs::{CellContext, CellError, NativeCell, Target, Transport};
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::{cells, load::Sample};

/// The cell's name.
pub(crate) const DRIVER: &str = "bench.driver";
/// Additional lines of the cell's spec: it works longer than other cells.
pub(crate) const SPEC: &str = "  timeout: 1h\n";

/// Input of the cell: the calls to make.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Order {
    /// The cell to call.
    pub(crate) cell: String,
    /// The payload's size in bytes.
    pub(crate) size: usize,
    /// Number of calls at once.
    pub(crate) callers: usize,
    pub(crate) milliseconds: u64,
}

/// Makes the cell.
pub(crate) fn cell() -> NativeCell {
    cbs::cell(DRIVER, drive)
}

async fn drive(context: &CellContext, order: Order) -> Result<Sample, CellError> {
    let target: Target =
        order.cell.parse().map_err(|error| CellError::bad_request(format!("{error}")))?;
    let (payload, began) = (cells::payload(order.size), Instant::now());
    let end = began + Duration::from_millis(order.milliseconds);
    // This does the same as a load, without its closures: the future of a cell moves between
    // threads.
    let callers = (0..order.callers).map(|_| caller(context, &target, &payload, end));
    let times = try_join_all(callers)
        .await
        .map_err(|error| CellError::domain("bench.failed", format!("{error:#}")))?;
    Ok(Sample::new(times.concat(), began.elapsed(), None))
}

/// Makes calls one after the other; returns the nanoseconds of each.
async fn caller(
    context: &CellContext,
    target: &Target,
    payload: &Bytes,
    end: Instant,
) -> anyhow::Result<Vec<u32>> {
    let mut times = Vec::with_capacity(4096);
    let mut last = Instant::now();
    while last < end {
        let reply = context.send(context.request(target.clone(), payload.clone())).await?;
        ensure!(
            reply.payload.len() == payload.len(),
            "{target} answers with {} bytes",
            reply.payload.len()
        );
        ensure!(reply.via != Transport::Nats, "a call of {target} left the body");
        let now = Instant::now();
        times.push(u32::try_from((now - last).as_nanos()).unwrap_or(u32::MAX));
        last = now;
    }
    Ok(times)
}
