//! Metrics of this process from the operating system (proc_pid_stat(5)).

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

use super::page::{Kind, Page, Seconds};

/// Writes the known metrics; none on other systems than Linux.
pub(super) fn write(page: &mut Page) {
    if let Some(stat) = Stat::read() {
        page.one(
            "process_cpu_seconds_total",
            Kind::Counter,
            "Processor time spent.",
            Seconds(stat.cpu_ns),
        );
        page.one("process_threads", Kind::Gauge, "Threads of the process.", stat.threads);
        page.one(
            "process_resident_memory_bytes",
            Kind::Gauge,
            "Memory that is resident.",
            stat.resident_bytes,
        );
        if let Some(start) = stat.start() {
            page.one(
                "process_start_time_seconds",
                Kind::Gauge,
                "When it was started, since 1970.",
                Seconds(start),
            );
        }
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // The folder that is being read is one of them.
        page.one(
            "process_open_fds",
            Kind::Gauge,
            "Open files and sockets.",
            files.count().saturating_sub(1),
        );
    }
    if let Some(most) = most_files() {
        page.one(
            "process_max_fds",
            Kind::Gauge,
            "The most files and sockets that it may open.",
            most,
        );
    }
}

/// Part of `/proc/self/stat` that is reported.
struct Stat {
    cpu_ns: u64,
    threads: u64,
    resident_bytes: u64,
    /// Time of the start, in nanoseconds since the machine was started.
    started_ns: u64,
}

impl Stat {
    fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        // The second field, the program's name, may have blanks and brackets in it; the third is
        // the first here.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        let ns = |ticks: u64| ticks.saturating_mul(1_000_000_000).checked_div(per_second);
        let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
        Some(Self {
            cpu_ns: ns(field(14)?.saturating_add(field(15)?))?,
            threads: field(20)?,
            resident_bytes: field(24)?.saturating_mul(page),
            started_ns: ns(field(22)?)?,
        })
    }

    /// Returns the time of the start, in nanoseconds since 1970.
    fn start(&self) -> Option<u64> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let booted: u64 =
            stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
        Some(booted.saturating_mul(1_000_000_000).saturating_add(self.started_ns))
    }
}

/// Returns the limit of open files, or `None` if there is no limit.
fn most_files() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_threads_files_and_a_beginning() -> Result<(), &'static str> {
        let stat = Stat::read().ok_or("no /proc/self/stat")?;
        assert!(
            stat.resident_bytes > 1 << 16 && stat.threads > 0,
            "{} {}",
            stat.resident_bytes,
            stat.threads
        );
        let start = stat.start().ok_or("no /proc/stat")?;
        let now = cbs::now_ns();
        // The kernel's clocks agree to a second or so.
        assert!(
            start < now + 2_000_000_000 && now - start.min(now) < 3_600_000_000_000,
            "{start} {now}"
        );
        assert!(most_files().is_some_and(|most| most > 2));
        Ok(())
    }
}
