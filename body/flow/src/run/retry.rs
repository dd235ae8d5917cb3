//! Retries of failed calls, and their waits.

use std::time::Duration;

use cbs::{CellError, Code};
use model::RetryPolicy;

use crate::CallId;

/// True if the call may be made again after its attempt `attempt` (from 0) failed.
///
/// These failures are tried again: a call that certainly did not run, an error that is marked
/// `retryable`, and `cell-failed` (that attempt is over, and with `retry` the author allows
/// another one). A `timeout` is not tried again: the call may still run, and two would run at
/// once. If the target is known to be idempotent, the caller marks the timeout `retryable`.
/// Errors such as `bad-request` or a cell's own codes are final.
pub(super) fn is_allowed(
    retry: Option<&RetryPolicy>,
    attempt: u32,
    error: &CellError,
    not_run: bool,
) -> bool {
    let Some(retry) = retry else { return false };
    attempt < retry.max && (not_run || error.retryable || error.code == Code::CellFailed)
}

/// Returns the wait before an attempt. It is between half of the policy's wait
/// and all of it, and depends on the seed and the call.
pub(super) fn delay(retry: &RetryPolicy, call: &CallId, seed: u64) -> Duration {
    let longest = retry.wait(call.attempt().saturating_sub(1));
    let half = longest / 2;
    let share = hash(seed, &call.to_string()) % 1024;
    half + (longest - half).mul_f64(share as f64 / 1023.0)
}

/// Returns a hash by FNV-1a with a final mix. Unlike std's hasher, it is the same on every machine
/// and in every version.
fn hash(seed: u64, text: &str) -> u64 {
    let bytes = seed.to_le_bytes().into_iter().chain(text.bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}
