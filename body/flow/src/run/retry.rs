//! Retries of failed calls, and their waits.

use std::time::Duration;

use cbs::{CellError, Code};

use crate::{CallId, Retry};

/// True if the call may be made again after its attempt `attempt` (from 0) failed.
pub(super) fn is_allowed(
    retry: Option<&Retry>,
    attempt: u32,
    error: &CellError,
    not_run: bool,
) -> bool {
    let Some(retry) = retry else { return false };
    attempt < retry.max && (not_run || error.retryable || error.code == Code::CellFailed)
}

/// Returns the wait before an attempt. The time doubles for each attempt up to `backoff_max`; the
/// wait is between half of it and all of it, and depends on the seed and the call.
pub(super) fn delay(retry: &Retry, call: &CallId, seed: u64) -> Duration {
    let doublings = call.attempt().saturating_sub(1).min(31);
    let longest = retry.backoff.saturating_mul(1 << doublings).min(retry.backoff_max);
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
