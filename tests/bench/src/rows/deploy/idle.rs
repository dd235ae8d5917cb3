//! Messages of five idle bodies.

use std::time::{Duration, Instant};

use tokio::time::sleep;

use crate::{cells, fleet::Fleet, program::Program, report::Line, stage::Bench};

const BODIES: usize = 5;
const CELLS: usize = 100;
/// Time to wait after a deploy, when some messages are still under way.
const SETTLE: Duration = Duration::from_secs(3);
/// Duration of the measurement: longer than any period of a body.
const LENGTH: Duration = Duration::from_secs(20);

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let fleet = Fleet::start(&Program::of_many(CELLS)?, BODIES).await?;
    let specs = fleet.specs()?;
    std::fs::write(specs.join("cells.yaml"), cells::specs(cells::many(CELLS), ""))?;
    fleet.deploy(&specs).await?;
    sleep(SETTLE).await;
    let mut came = Vec::new();
    let mut went = Vec::new();
    for _ in 0..bench.rounds.min(2) {
        let began = Instant::now();
        let [came_before, went_before] = fleet.messages().await?;
        sleep(LENGTH).await;
        let [came_after, went_after] = fleet.messages().await?;
        let seconds = began.elapsed().as_secs_f64();
        // Our own request is one of them.
        came.push((came_after - came_before - 1.0) / seconds);
        went.push((went_after - went_before - 1.0) / seconds);
    }
    fleet.stop().await?;
    let note = "counted by the server (`in_msgs` and `out_msgs` of its VARZ) over 20 s; 100 cells are deployed";
    Ok(vec![
        Line::new("idle fleet of 5 bodies: messages to the server", "a second", came)
            .at_most(20.0)
            .note(note),
        Line::new("idle fleet of 5 bodies: messages from the server", "a second", went)
            .note("for information"),
    ])
}
