//! Memory of processes.

use std::fs;

use anyhow::Context as _;

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// All its pages, including shared ones.
    pub(crate) resident: f64,
    /// Its pages, with its share of the shared ones.
    pub(crate) proportional: f64,
    /// Memory that it allocated.
    pub(crate) anonymous: f64,
    /// The highest value that [`Self::resident`] ever had.
    pub(crate) peak: f64,
}

impl Memory {
    /// Reads the present memory of a process.
    pub(crate) fn of(pid: u32) -> anyhow::Result<Self> {
        let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
            .context("no /proc/<pid>/smaps_rollup")?;
        let status =
            fs::read_to_string(format!("/proc/{pid}/status")).context("no /proc/<pid>/status")?;
        let read = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kibibytes =
                line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kibibytes
                .map(|kibibytes| kibibytes * 1024.0)
                .with_context(|| format!("/proc/{pid} does not tell {name}"))
        };
        Ok(Self {
            resident: read(&sums, "Rss")?,
            proportional: read(&sums, "Pss")?,
            anonymous: read(&status, "RssAnon")?,
            peak: read(&status, "VmHWM")?,
        })
    }
}
