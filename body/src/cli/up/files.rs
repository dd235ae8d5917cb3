//! Limit of open files: raised as far as possible, with a warning if it is still too low.

use bus_nats::open_files;
use model::{CellSpec, Runtime};
use spec::Specs;

/// Number of open files of a body without cells, with a reserve for some calls, probes and files.
const BODY: u64 = 64;
/// Number of open files of one lane of a Python cell. A process of a cell needs fewer.
const WORKER: u64 = 5;
/// Number of files that a body of a fleet should be able to open: its cells are not known yet.
const FLEET: u64 = 1024;

/// Raises the limit, and warns if it is too low for these specs; without any, for a body of a
/// fleet.
pub(super) fn raise_limit(specs: Option<&Specs>) {
    match open_files::raise() {
        Ok(limit) => {
            if let Some(warning) =
                too_low(limit, specs.map(|specs| specs.cells().map(|spec| workers(spec)).sum()))
            {
                tracing::warn!("{warning}");
            }
        }
        Err(error) => tracing::warn!("the limit of open files cannot be raised: {error}"),
    }
}

/// Number of lanes or processes that a cell may have here.
fn workers(spec: &CellSpec) -> u64 {
    match &spec.runtime {
        Runtime::Rust => 0,
        Runtime::Python(python) => python.workers.max.get().into(),
        Runtime::Dart(sidecar) | Runtime::Exec(sidecar) => sidecar.instances.get().into(),
    }
}

fn too_low(limit: u64, workers: Option<u64>) -> Option<String> {
    let (needed, reason) = match workers {
        Some(workers) => (
            BODY + WORKER * workers,
            format!("{workers} lanes and processes of cells take up to {WORKER} each"),
        ),
        None => (FLEET, format!("each lane or process of a cell takes up to {WORKER}")),
    };
    (limit < needed).then(|| {
        format!(
            "this body may open {limit} files and needs about {needed}: {reason}; raise the hard limit, with \
             `ulimit -n {0}` in a shell or `LimitNOFILE={0}` in a systemd unit",
            needed.next_power_of_two()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_that_is_too_low_is_told_with_what_to_set() {
        assert_eq!(too_low(64, Some(0)), None);
        assert_eq!(too_low(564, Some(100)), None);
        assert_eq!(too_low(1024, None), None);
        let warning = too_low(563, Some(100)).unwrap_or_default();
        assert!(warning.contains("may open 563 files and needs about 564"), "{warning}");
        assert!(
            warning.contains("`ulimit -n 1024`") && warning.contains("`LimitNOFILE=1024`"),
            "{warning}"
        );
        assert!(too_low(240, None).is_some_and(|warning| warning.contains("LimitNOFILE=1024")));
    }
}
