//! The machine that the figures were measured on.

use std::{fmt, fs, thread};

use serde::Serialize;

/// The machine, and the versions of the programs on it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    rustc: &'static str,
    nats_server: String,
    bench: &'static str,
    optimized: bool,
    date: String,
    /// Load average of the last minute before the run: the work of other programs.
    load: f64,
}

impl Machine {
    pub(crate) fn read(nats_server: &str) -> Self {
        let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model =
            information.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        Self {
            cores: thread::available_parallelism().map_or(0, usize::from),
            cpu: model.map_or("unknown", |(_, model)| model.trim()).to_owned(),
            rustc: env!("BENCH_RUSTC"),
            nats_server: nats_server.to_owned(),
            bench: env!("CARGO_PKG_VERSION"),
            optimized: !cfg!(debug_assertions),
            date: jiff::Timestamp::now().to_string(),
            load: load.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0),
        }
    }
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, cpu, rustc, nats_server, load, .. } = self;
        write!(
            f,
            "{cores} cores of {cpu}, {rustc}, nats-server {nats_server}, load {load:.2} at the start"
        )?;
        if self.optimized {
            Ok(())
        } else {
            f.write_str("\nNOT AN OPTIMIZED BUILD: the figures mean nothing")
        }
    }
}
