//! Limit of open files, and a reserve below it for what a body must be able to open: its
//! connections to NATS and those of its probes.
//!
//! Of the descriptors that the hard limit allows, the last `RESERVE` are beyond the soft limit. So
//! cells that open as many files as they can do not get them. If a connection cannot be opened
//! because no descriptor is left, [`reserve`] raises the soft limit to the hard one until its guard
//! is dropped. Files that are opened meanwhile stay open.
//!
//! The limit belongs to the process, so this state does too.

use std::{
    fs::File,
    io,
    sync::{Mutex, PoisonError},
};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Number of descriptors that only NATS and HTTP get: two connections to NATS, what resolving a
/// name and reading certificates needs, and some probes.
const RESERVE: u64 = 16;
/// Highest value that the soft limit is raised to: Linux's default of `fs.nr_open`. Linux refuses
/// more.
#[cfg(target_os = "linux")]
const LIMIT_MAX: u64 = 1 << 20;
/// Highest value that the soft limit is raised to: macOS refuses more than its `OPEN_MAX`.
#[cfg(not(target_os = "linux"))]
const LIMIT_MAX: u64 = 10_240;

static LIMITS: Mutex<Option<Limits>> = Mutex::new(None);

/// The limits of this process since [`raise`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    /// The soft limit that the process was started with.
    started_with: u64,
    /// The soft limit while the reserve is closed.
    usual: u64,
    /// The soft limit while the reserve is open.
    with_reserve: u64,
    /// Number of guards that hold the reserve open.
    guards: usize,
}

impl Limits {
    fn new(soft: u64, hard: u64) -> Self {
        // A soft limit that is already higher stays.
        let with_reserve = hard.min(LIMIT_MAX).max(soft);
        // A very low limit keeps most descriptors for other uses.
        let usual = with_reserve - RESERVE.min(with_reserve / 8);
        Self { started_with: soft, usual, with_reserve, guards: 0 }
    }
}

/// Raises the soft limit of open files to the hard one, less the reserve. Returns the number of
/// files that may be open from now on.
///
/// # Errors
/// If the system refuses. Then nothing is changed.
pub fn raise() -> io::Result<u64> {
    let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(limits) = &*limits {
        return Ok(limits.usual);
    }
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    let raised = Limits::new(soft, hard);
    setrlimit(Resource::RLIMIT_NOFILE, raised.usual, hard)?;
    *limits = Some(raised);
    Ok(raised.usual)
}

/// Returns the soft limit that this process was started with, if [`raise`] has changed it. Programs
/// that it starts should get it back: those that use `select` cannot use descriptors from 1,024 on.
#[must_use]
pub fn started_with() -> Option<u64> {
    LIMITS.lock().unwrap_or_else(PoisonError::into_inner).map(|limits| limits.started_with)
}

/// Opens the reserve until the guard is dropped. Returns `None` if descriptors are left, or if
/// there is no reserve.
pub fn reserve() -> Option<Reserve> {
    if !is_exhausted() {
        return None;
    }
    let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
    let limits = limits.as_mut()?;
    set_soft(limits.with_reserve).ok()?;
    limits.guards += 1;
    Some(Reserve(()))
}

/// Guard of the reserve of descriptors, which is open while the guard exists.
#[derive(Debug)]
pub struct Reserve(());

impl Drop for Reserve {
    fn drop(&mut self) {
        let mut limits = LIMITS.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(limits) = limits.as_mut() else { return };
        limits.guards = limits.guards.saturating_sub(1);
        if limits.guards == 0
            && let Err(error) = set_soft(limits.usual)
        {
            tracing::warn!("the limit of open files cannot be set back: {error}");
        }
    }
}

/// True if this process cannot open one more file.
fn is_exhausted() -> bool {
    File::open("/dev/null")
        .is_err_and(|error| error.raw_os_error() == Some(nix::errno::Errno::EMFILE as i32))
}

fn set_soft(soft: u64) -> nix::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, soft.min(hard), hard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_soft_limit_becomes_the_hard_one_less_the_reserve() {
        let of = |soft, hard| {
            let limits = Limits::new(soft, hard);
            (limits.usual, limits.with_reserve)
        };
        assert_eq!(of(1024, 4096), (4080, 4096));
        assert_eq!(of(4096, 4096), (4080, 4096));
        assert_eq!(of(64, 64), (56, 64));
        assert_eq!(of(0, 0), (0, 0));
        assert_eq!(of(1024, u64::MAX), (LIMIT_MAX - RESERVE, LIMIT_MAX));
        assert_eq!(of(u64::MAX, u64::MAX).1, u64::MAX);
    }

    #[test]
    fn without_want_of_descriptors_there_is_no_reserve() {
        assert!(reserve().is_none());
    }
}
