//! Processor time that was used: steadier than elapsed time on a machine with other work.

use std::{fs, time::Duration};

use nix::{
    sys::{
        resource::{UsageWho, getrusage},
        time::TimeVal,
    },
    unistd::{SysconfVar, sysconf},
};

/// Index of `utime` among the fields of `/proc/<pid>/stat` after the program's name, which may
/// contain spaces and ends in a parenthesis; `stime` follows. They are fields 14 and 15 of proc(5).
const UTIME_AFTER_NAME: usize = 11;

/// Processor time that this process and these others have used so far; `None` if one of them has
/// ended.
pub(crate) fn used(others: &[u32]) -> Option<Duration> {
    let own = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let own = duration(own.user_time()) + duration(own.system_time());
    others.iter().try_fold(own, |sum, pid| Some(sum + of_process(*pid)?))
}

fn duration(time: TimeVal) -> Duration {
    let micros = u64::try_from(time.tv_usec()).unwrap_or(0);
    Duration::from_secs(u64::try_from(time.tv_sec()).unwrap_or(0)) + Duration::from_micros(micros)
}

fn of_process(pid: u32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut times = fields.split(' ').skip(UTIME_AFTER_NAME).map(str::parse::<u32>);
    let ticks = times.next()?.ok()? + times.next()?.ok()?;
    let per_second = u32::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from_secs(1) * ticks / per_second)
}
