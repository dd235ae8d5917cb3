//! Many specs in one deploy.

use std::path::Path;

use crate::{
    cells,
    fleet::{Deployed, Fleet},
    memory::Memory,
    program::Program,
    report::Line,
    stage::Bench,
};

const MEGABYTE: f64 = 1e6;

pub(super) async fn measure(
    bench: &Bench,
    count: usize,
    bodies: usize,
) -> anyhow::Result<Vec<Line>> {
    let mut deploys = Vec::new();
    let mut changes = Vec::new();
    let mut held = Vec::new();
    // A new fleet for each round: the first deploy of a namespace is measured.
    for _ in 0..bench.rounds.min(3) {
        let fleet = Fleet::start(&Program::of_many(count)?, bodies).await?;
        let specs = fleet.specs()?;
        write(&specs, count, "")?;
        let before = most(&fleet)?;
        deploys.push(fleet.deploy(&specs).await?);
        held.push((most(&fleet)? - before) / MEGABYTE);
        write(&specs, count, "  timeout: 9s\n")?;
        changes.push(fleet.deploy(&specs).await?);
        fleet.stop().await?;
    }
    let what = match bodies {
        1 => format!("{count} specs to a body"),
        _ => format!("{count} specs to {bodies} bodies"),
    };
    let part = |of: fn(&Deployed) -> std::time::Duration| {
        deploys.iter().map(|it| of(it).as_secs_f64()).collect()
    };
    let total = Line::new(format!("{what}: `cbs deploy`"), "s", part(Deployed::total))
        .note("Rust cells, one replica each, a new fleet a round; 0.6 s of it is the time that an old revision has");
    let total = if bodies > 1 { total.at_most(5.0) } else { total };
    Ok(vec![
        total,
        Line::new(format!("{what}: until the plan is shown"), "s", part(|it| it.read))
            .note("specs are read, checked, packed, and tried out"),
        Line::new(format!("{what}: until the generation is written"), "s", part(|it| it.written)),
        Line::new(format!("{what}: until all follow"), "s", part(|it| it.followed)),
        Line::new(
            format!("{what}: all of them changed"),
            "s",
            changes.iter().map(|it| it.total().as_secs_f64()).collect(),
        )
        .note("each is replaced by a new revision beside the old one"),
        Line::new(
            format!("{what}: most memory of `cbs deploy`"),
            "MB",
            deploys.iter().map(|it| it.memory / MEGABYTE).collect(),
        ),
        Line::new(format!("{what}: memory that a body takes for it"), "MB", held)
            .note("the most of all bodies"),
    ])
}

/// Writes `count` specs; a file of specs may have a mebibyte.
fn write(folder: &Path, count: usize, more: &str) -> anyhow::Result<()> {
    let names: Vec<_> = cells::many(count).collect();
    for (number, names) in names.chunks(5_000).enumerate() {
        std::fs::write(folder.join(format!("cells{number}.yaml")), cells::specs(names, more))?;
    }
    Ok(())
}

/// Returns the most memory that one of the bodies has ever used.
fn most(fleet: &Fleet) -> anyhow::Result<f64> {
    let mut most = 0.0_f64;
    for body in &fleet.bodies {
        most = most.max(Memory::of(body.pid()?)?.peak);
    }
    Ok(most)
}
