//! A pass of a body's reconciler over ten thousand cells without a change.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use anyhow::Context as _;
use cbs::{BodyId, Target};
use fleet::{
    Action, Body, ContentHash, Entry, Facts, Head, Item, Manifest, Moment, Timing, Version,
};

use crate::{cells, report::Line, stage::Bench};

const CELLS: usize = 10_000;
const BODIES: usize = 5;
const PASSES: u32 = 50;

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let mut bodies = fleet()?;
    let mut now = Moment(0);
    settle(&mut bodies, &mut now)?;
    let body = bodies.first_mut().context("no bodies")?;
    let mut took = Vec::new();
    for _ in 0..bench.rounds {
        let began = Instant::now();
        for _ in 0..PASSES {
            let pass = body.pass(now);
            anyhow::ensure!(pass.actions.is_empty(), "there is something to do");
        }
        took.push(began.elapsed().as_secs_f64() * 1e3 / f64::from(PASSES));
    }
    let note = format!(
        "5 bodies, one replica each; {} of the cells are here, nothing has changed",
        body.own().held().len()
    );
    Ok(vec![Line::new("a pass over 10,000 cells", "ms", took).at_most(10.0).note(note)])
}

/// Makes bodies that all know one manifest.
fn fleet() -> anyhow::Result<Vec<Body>> {
    let hash = |at: usize| ContentHash::of(&at.to_be_bytes());
    let mut entries: Vec<(Target, Item)> = Vec::with_capacity(CELLS);
    for (at, name) in cells::many(CELLS).enumerate() {
        entries.push((
            name.parse()?,
            Entry::new(Version::new(hash(at), Some(hash(at))), "python").into(),
        ));
    }
    let objects = Manifest::new(entries)?.encode()?;
    let head = Head::after(None, objects.first().context("no root")?.hash, "bench", 0, "");
    let mut bodies = Vec::with_capacity(BODIES);
    for at in 0..BODIES {
        let facts = Facts {
            body: BodyId::new(&format!("body{at}"))?,
            incarnation: 1,
            program: "0".to_owned(),
            platform: "linux-x86_64".to_owned(),
            labels: BTreeMap::new(),
            runtimes: BTreeMap::from([("python".to_owned(), "3".to_owned())]),
        };
        let mut body =
            Body::new(facts, BTreeSet::new(), Timing { starts_max: CELLS, ..Timing::default() });
        body.connected(Moment(0));
        body.head(Some(&head.encode()), 1, Moment(0))?;
        for object in &objects {
            body.tree(object.hash, &object.bytes, Moment(0))?;
        }
        for at in 0..CELLS {
            body.spec(hash(at), &at.to_be_bytes(), Moment(0))?;
        }
        bodies.push(body);
    }
    Ok(bodies)
}

/// Lets all bodies act and receive each other's reports until no body has anything to do.
fn settle(bodies: &mut [Body], now: &mut Moment) -> anyhow::Result<()> {
    let mut revision = 0;
    for _ in 0..40 {
        *now = now.plus(200);
        let mut leases = Vec::with_capacity(bodies.len());
        for body in bodies.iter_mut() {
            for action in body.pass(*now).actions {
                match action {
                    Action::Start { target, instance, .. } => body.ready(&target, instance, *now),
                    Action::Stop { target, instance, .. } => body.stopped(&target, instance),
                    // There is no canary here.
                    _ => {}
                }
            }
            let _ = body.pass(*now);
            leases.push(body.presence().encode());
        }
        for lease in leases {
            revision += 1;
            for body in bodies.iter_mut() {
                body.lease(&lease, revision, *now)?;
            }
        }
    }
    Ok(())
}
