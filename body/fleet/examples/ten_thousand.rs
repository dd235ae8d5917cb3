//! Duration of a pass over ten thousand unchanged cells, and the sizes of the data:
//! `cargo run -p fleet --example ten_thousand`.

use std::{
    collections::{BTreeMap, BTreeSet},
    error::Error,
    io::Write,
    time::Instant,
};

use cbs::Target;
use fleet::{
    Action, Body, ContentHash, Entry, Facts, Head, Item, Manifest, Moment, Timing, Version,
};
use model::Replicas;

const CELLS: usize = 10_000;
const BODIES: usize = 5;

fn facts(at: usize) -> Result<Facts, Box<dyn Error>> {
    Ok(Facts {
        body: format!("web{at}-7f3a91").parse()?,
        incarnation: 1,
        program: "0.1.0".to_owned(),
        platform: "linux-x86_64".to_owned(),
        labels: BTreeMap::from([("zone".to_owned(), format!("z{}", at % 3))]),
        runtimes: BTreeMap::from([("python".to_owned(), "3.11.2".to_owned())]),
    })
}

/// Runs all bodies, with every lease sent to each, until no body acts. Returns the last round with
/// an action.
fn settle(bodies: &mut [Body], now: &mut Moment) -> Result<u32, Box<dyn Error>> {
    let mut revision = 0_u64;
    let mut acted = 0;
    for round in 0..40 {
        *now = now.plus(200);
        let mut actions = 0;
        for at in 0..BODIES {
            let Some(body) = bodies.get_mut(at) else { continue };
            for action in body.pass(*now).actions {
                actions += 1;
                match action {
                    Action::Start { target, instance, .. } => body.ready(&target, instance, *now),
                    Action::Stop { target, instance, .. } => body.stopped(&target, instance),
                    Action::Share { .. } | Action::Rule { .. } | Action::Promote { .. } => {}
                }
            }
            _ = body.pass(*now);
            let lease = body.presence().encode();
            revision += 1;
            for other in bodies.iter_mut() {
                other.lease(&lease, revision, *now)?;
            }
        }
        if actions > 0 {
            acted = round + 1;
        }
    }
    Ok(acted)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    let mut entries: Vec<(Target, Item)> = Vec::new();
    for at in 0..CELLS {
        let spec = ContentHash::of(&at.to_be_bytes());
        let mut entry = Entry::new(Version::new(spec, Some(spec)), "python");
        if at % 10 == 0 {
            (entry.replicas, entry.spread) = (Replicas::Count(3), Some("zone".to_owned()));
        }
        entries.push((
            Target::Cell(format!("organ{}.cell_number_{at}", at % 50).parse()?),
            entry.into(),
        ));
    }
    let manifest = Manifest::new(entries)?;
    let began = Instant::now();
    let objects = manifest.encode()?;
    let bytes: usize = objects.iter().map(|it| it.bytes.len()).sum();
    let largest = objects.iter().map(|it| it.bytes.len()).max().unwrap_or_default();
    writeln!(
        out,
        "manifest: {} objects, {bytes} bytes, largest {largest}, written in {:?}",
        objects.len(),
        began.elapsed()
    )?;

    let head = Head::after(None, objects.first().ok_or("no root")?.hash, "ada", 0, "");
    let mut bodies = Vec::new();
    let mut now = Moment(0);
    for at in 0..BODIES {
        let mut body = Body::new(
            facts(at)?,
            BTreeSet::new(),
            Timing { starts_max: CELLS, ..Timing::default() },
        );
        body.connected(now);
        body.head(Some(&head.encode()), 1, now)?;
        let began = Instant::now();
        for object in &objects {
            body.tree(object.hash, &object.bytes, now)?;
        }
        for number in 0..CELLS {
            body.spec(ContentHash::of(&number.to_be_bytes()), &number.to_be_bytes(), now)?;
        }
        if at == 0 {
            writeln!(out, "adopted in {:?}", began.elapsed())?;
        }
        bodies.push(body);
    }
    let rounds = settle(&mut bodies, &mut now)?;
    writeln!(out, "no action after round {rounds}")?;
    let Some(body) = bodies.first_mut() else { return Ok(()) };
    let began = Instant::now();
    for _ in 0..100 {
        body.pass(now);
    }
    writeln!(
        out,
        "a pass over {CELLS} unchanged cells, {} of them here: {:?}",
        body.own().held().len(),
        began.elapsed() / 100
    )?;
    let began = Instant::now();
    let bytes: usize = (0..100).map(|_| body.presence().encode().len()).sum();
    writeln!(out, "a presence of {} bytes: {:?}", bytes / 100, began.elapsed() / 100)?;
    Ok(())
}
