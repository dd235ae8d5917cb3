//! A simulated fleet: bodies that are killed, stopped, cut off and get messages late, twice or
//! never, while people deploy. Everything follows from a seed.

mod chance;
mod check;
mod deployer;
mod driver;
mod faults;
mod node;
mod server;
mod tests;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use cbs::BodyId;

use self::{
    node::Node,
    world::{Event, World},
};
use crate::{ContentHash, Facts, NATIVE_RUNTIME, Revision, Timing};

/// Time in which faults happen, milliseconds.
const CHAOS_MS: u64 = 30_000;
/// Time limit after the last fault for a fleet to converge, milliseconds. Of this: 6 s in which no
/// absence counts, 3.5 s until the dead are gone, 6 s of patience, 8 s of waiting after failed
/// starts (60 s outside of the simulation), 15 s that a refusal lasts, and starts and stops.
const CONVERGED_MS: u64 = 30_000;
/// Time after that in which no body may act, milliseconds.
const QUIET_MS: u64 = 8_000;

/// True if a body can never run a revision; the body learns it when it tries.
fn refuses(facts: &Facts, revision: Revision) -> bool {
    let machine = facts.labels.get("machine").map(String::as_str).unwrap_or_default();
    ContentHash::of(format!("{machine} {revision}").as_bytes()).first().is_multiple_of(12)
}

/// True if half of the calls to a revision fail.
fn is_bad(revision: Revision) -> bool {
    ContentHash::of(revision.to_string().as_bytes()).first().is_multiple_of(3)
}

/// Waits of the simulation: waits of minutes are shorter.
fn timing() -> Timing {
    Timing { backoff_max: 8_000, refusal: 15_000, ..Timing::default() }
}

/// Failure of a run, with all events before it.
struct Failed {
    sentence: String,
    lines: Vec<String>,
}

/// Result of a run.
#[derive(Debug)]
struct Done {
    /// Time from the last fault until everything was as it should be.
    converged_ms: u64,
    actions: u64,
}

/// Runs one fleet from a seed.
fn run(seed: u64, traced: bool) -> Result<Done, Failed> {
    let mut world = World::new(seed, traced, timing());
    play(&mut world).map_err(|sentence| {
        for at in 0..world.nodes.len() {
            let reported = world.nodes.get(at).map(Node::tells).unwrap_or_default();
            world.say(|| reported);
        }
        let sentence = format!("at {} ms: {sentence}", world.now);
        Failed { sentence, lines: world.log.lines.take().unwrap_or_default() }
    })
}

fn play(world: &mut World) -> Result<Done, String> {
    populate(world);
    world.begin_deploy();
    let wait = world.chance.between(500, 5000);
    world.later(wait, Event::Chaos);
    world.run(CHAOS_MS)?;
    world.calm();
    for second in 1..=(CONVERGED_MS + QUIET_MS) / 1000 {
        world.run(CHAOS_MS + second * 1000)?;
        let quiet = world.now.saturating_sub(world.log.acted_at.max(CHAOS_MS));
        if quiet >= QUIET_MS && world.unsettled().is_none() {
            let converged_ms = world.log.acted_at.saturating_sub(CHAOS_MS);
            return Ok(Done { converged_ms, actions: world.log.actions });
        }
    }
    let why = world
        .unsettled()
        .unwrap_or_else(|| "somebody still acts although all is as it should be".to_owned());
    Err(format!("not converged {CONVERGED_MS} ms after the last fault: {why}"))
}

/// Adds two to five machines of different kinds.
fn populate(world: &mut World) {
    let count = world.chance.between(2, 6);
    for at in 0..count {
        let mut labels = BTreeMap::from([("machine".to_owned(), at.to_string())]);
        labels.insert("zone".to_owned(), format!("z{}", world.chance.between(0, 2)));
        if world.chance.percent(60) {
            labels.insert("disk".to_owned(), "ssd".to_owned());
        }
        let mut runtimes = BTreeMap::from([(NATIVE_RUNTIME.to_owned(), String::new())]);
        if world.chance.percent(80) {
            runtimes.insert("python".to_owned(), "3.11.2".to_owned());
        }
        let mut natives = BTreeSet::new();
        for target in deployer::TARGETS {
            if world.chance.percent(50) {
                natives.extend(target.parse());
            }
        }
        let Ok(body) = BodyId::new(&format!("b{at}")) else { continue };
        let facts = Facts {
            body,
            incarnation: 0,
            program: String::new(),
            platform: "linux-x86_64".to_owned(),
            labels,
            runtimes,
        };
        let ahead = world.chance.between(0, 1_000_000);
        let mut node = Node::new(facts, natives, ahead);
        node.mute = at > 1 && world.chance.percent(8);
        world.nodes.push(node);
        let wait = world.chance.between(0, 3000);
        let index = world.nodes.len() - 1;
        world.later(wait, Event::Boot { node: index, life: 0 });
    }
}
