//! A Rust cell as a process of its own, by `sidecar::serve`: over NATS beside raw.

use crate::{
    caller::FULL,
    guests::{self, EXEC},
    report::Line,
    rows::{
        guest::{Guest, JSON},
        or_failed,
    },
    stage::Bench,
};

pub(super) fn measure(bench: &Bench) -> Vec<Line> {
    let [bytes, json] = EXEC;
    let what = "Rust cell in a process of its own";
    let typed = "typed JSON cell in a process of its own";
    let targets = Some([(0.6, None), (0.6, None)]);
    let cells = [(what, bytes, targets, FULL), (typed, json, None, JSON)];
    let measured = |(what, cell, targets, note)| {
        let found = guests::exec(cell).and_then(|spec| {
            let guest = Guest { what, cell, spec, targets, note };
            bench.runtime.block_on(guest.over_nats(bench, &[]))
        });
        or_failed(what, found)
    };
    cells.into_iter().flat_map(measured).collect()
}
