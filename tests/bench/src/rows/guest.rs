//! Common part of the rows of cells that do not run as Rust in their body: they are measured in a
//! `cbs up` of their own.

use cbs::Target;

use crate::{
    abroad::Abroad,
    cells,
    load::Sample,
    peers::Peer,
    program::Program,
    report::Line,
    rounds::{self, Rounds},
    rows::{MANY, over_nats},
    stage::{Bench, Raw},
};

/// A cell of this kind, and the targets of its calls over NATS.
pub(super) struct Guest {
    pub(super) what: &'static str,
    pub(super) cell: &'static str,
    pub(super) spec: String,
    /// Least ratio to raw and aim, with 64 calls at once, for 128 B and 4 KiB; `None`: all is for
    /// information.
    pub(super) targets: Option<[(f64, Option<f64>); 2]>,
    /// Text of a note: the kind of the calls and of the answers.
    pub(super) note: &'static str,
}

/// A peer in the same rounds, and the target ratio of our calls a second to its.
pub(super) type Beside = (Peer, f64);

impl Guest {
    /// The call of the cell that shows that its body is ready.
    pub(super) fn asked(&self) -> [(&'static str, &'static str); 1] {
        [(self.cell, ASKED)]
    }

    /// Measures calls over NATS beside raw ones, and beside peers.
    pub(super) async fn over_nats(
        &self,
        bench: &Bench,
        peers: &[Beside],
    ) -> anyhow::Result<Vec<Line>> {
        let raw = Raw::start(&bench.url).await?;
        let abroad = Abroad::start(bench, &Program::cbs()?, &self.spec, &self.asked()).await?;
        let processes: Vec<u32> = abroad
            .up
            .family()?
            .into_iter()
            .chain(peers.iter().filter_map(|(peer, _)| peer.pid()))
            .collect();
        let target: Target = self.cell.parse()?;
        let mut lines = Vec::new();
        let goals = self.targets.map_or([None; 2], |targets| targets.map(Some));
        let [small, large] = goals;
        for (size, callers, goal) in [(128, MANY, small), (4096, MANY, large), (128, 1, None)] {
            // Peers are reported at the size and number of calls that shows the difference best.
            let peers = if size == 128 && callers == MANY { peers } else { &[] };
            let payload = cells::payload(size);
            let base = async || raw.call(&payload).await;
            let ours = async || abroad.caller.call(&target, &payload).await;
            let theirs: Vec<_> =
                peers.iter().map(|(peer, _)| async || peer.call(&payload).await).collect();
            let mut sides = vec![rounds::side(&base)];
            sides.extend(theirs.iter().map(|call| rounds::side(call)));
            sides.push(rounds::side(&ours));
            let load = bench.load(callers).beside(processes.iter().copied());
            let mut samples = rounds::laps(bench.rounds, &load, &sides).await?.into_iter();
            let base = samples.next().unwrap_or_default();
            let ours = samples.next_back().unwrap_or_default();
            let [speed, cpu] = over_nats(
                bench,
                self.what,
                size,
                callers,
                Rounds { base: base.clone(), ours: ours.clone() },
            );
            match goal {
                Some((least, aim)) => {
                    lines.extend([speed.at_least(least, aim).note(self.note), cpu]);
                }
                None if callers == MANY => lines.extend([speed.note(self.note), cpu]),
                None => lines.extend([speed, cpu]),
            }
            for ((peer, least), theirs) in peers.iter().zip(samples) {
                lines.extend(self.beside(peer, *least, theirs, &base, &ours));
            }
        }
        abroad.stop().await?;
        Ok(lines)
    }

    /// Returns the lines of ours beside a peer, and of the peer beside raw.
    fn beside(
        &self,
        peer: &Peer,
        least: f64,
        theirs: Vec<Sample>,
        base: &[Sample],
        ours: &[Sample],
    ) -> [Line; 2] {
        let of_peer = Rounds { base: base.to_vec(), ours: theirs.clone() };
        let beside = Rounds { base: theirs, ours: ours.to_vec() };
        let note = "both read and write the same JSON by msgspec in a process of their own; the peer is called by a raw \
                    client, without envelope and deadline";
        let name = peer.name;
        [
            Line::new(
                format!("{} beside {name}, 128 B, {MANY} at once", self.what),
                "× peer",
                beside.speed(),
            )
            .at_least(least, None)
            .note(note)
            .samples(beside),
            Line::new(format!("{name}, 128 B, {MANY} at once"), "× raw", of_peer.speed())
                .note("for information"),
        ]
    }
}

/// Input of the call that shows that a body is ready.
pub(super) const ASKED: &str = r#"{"text":"ready?"}"#;
/// Text of a note on a cell that does more than raw.
pub(super) const JSON: &str =
    "for information: raw gives back bytes, the cell reads JSON and writes it anew";
