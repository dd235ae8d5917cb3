//! Deploys: the time until a saved version serves, thousands of specs at once, messages of an idle
//! fleet, and a pass of the reconciler.

mod idle;
mod mass;
mod pass;
mod saves;

use crate::{report::Line, rows::or_failed, stage::Bench};

pub(super) fn measure(bench: &Bench) -> Vec<Line> {
    let mut lines = bench.runtime.block_on(async {
        let mut lines = or_failed("from a save to the new version", saves::measure(bench).await);
        lines.extend(or_failed("1,000 specs to 5 bodies", mass::measure(bench, 1_000, 5).await));
        lines.extend(or_failed("10,000 specs to a body", mass::measure(bench, 10_000, 1).await));
        lines.extend(or_failed("an idle fleet", idle::measure(bench).await));
        lines
    });
    lines.extend(or_failed("a pass over 10,000 cells", pass::measure(bench)));
    lines
}
