//! From a Rust cell to a cell of each language and back: in the same body, and over NATS from
//! another body. All cells read 128 B of JSON and write them anew, as a step of a flow does.

use cbs::Target;

use crate::{
    abroad::Abroad,
    cells::{self, TYPED},
    driver::{self, DRIVER},
    guests::{self, DART, EXEC, PYTHON},
    load::{Load, Sample},
    program::Program,
    report::Line,
    rows::{MANY, guest::ASKED},
    stage::Bench,
};

const SIZE: usize = 128;
const HERE: &str = "called by a Rust cell of the same body";
const ACROSS: &str = "called by a Rust cell of another body, over NATS";

/// A crossing: the language, its cell, its spec.
type Crossing = (&'static str, &'static str, String);

pub(super) fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let [_, dart] = DART;
    let [_, exec] = EXEC;
    let crossings: [Crossing; 4] = [
        ("Rust", TYPED, cells::specs([TYPED], "")),
        ("Python", PYTHON, guests::python(PYTHON, "echo.py:echo", "")),
        ("Dart", dart, guests::dart(dart)),
        ("a Rust process", exec, guests::exec(exec)?),
    ];
    bench.runtime.block_on(async {
        let mut lines = Vec::new();
        let mut found = Vec::new();
        for crossing in &crossings {
            match Measured::of(bench, crossing).await {
                Ok(measured) => found.push(measured),
                Err(error) => lines.push(Line::failed(format!("Rust → {}", crossing.0), &error)),
            }
        }
        // In turns: changes of the machine's speed affect all crossings.
        for _ in 0..bench.rounds {
            for measured in &mut found {
                measured.round(bench).await?;
            }
        }
        for measured in found {
            lines.extend(measured.lines());
            measured.abroad.stop().await?;
        }
        Ok(lines)
    })
}

/// A crossing's body, and its samples of each round.
struct Measured {
    to: &'static str,
    cell: &'static str,
    target: Target,
    abroad: Abroad,
    here: [Vec<Sample>; 2],
    across: [Vec<Sample>; 2],
}

impl Measured {
    async fn of(bench: &Bench, (to, cell, spec): &Crossing) -> anyhow::Result<Self> {
        let specs = format!("{spec}{}", cells::specs([DRIVER], driver::SPEC));
        let abroad =
            Abroad::start(bench, &Program::with_driver()?, &specs, &[(cell, ASKED)]).await?;
        abroad.within(cell, SIZE, MANY, bench.length / 4).await?;
        Ok(Self {
            to,
            cell,
            target: cell.parse()?,
            abroad,
            here: Default::default(),
            across: Default::default(),
        })
    }

    async fn round(&mut self, bench: &Bench) -> anyhow::Result<()> {
        let (payload, length) = (cells::payload(SIZE), bench.length / 2);
        let [here_alone, here_many] = &mut self.here;
        let [across_alone, across_many] = &mut self.across;
        for (callers, here, across) in
            [(1, here_alone, across_alone), (MANY, here_many, across_many)]
        {
            here.push(self.abroad.within(self.cell, SIZE, callers, length).await?);
            let load = Load { length, ..bench.load(callers) };
            across.push(
                load.run(async || self.abroad.caller.call(&self.target, &payload).await).await?,
            );
        }
        Ok(())
    }

    fn lines(&self) -> Vec<Line> {
        let to = self.to;
        let lines_of = |[alone, many]: &[Vec<Sample>; 2], place: &str, note: &str| {
            let p50 = alone.iter().map(|sample| sample.p50_us).collect();
            let rate = many.iter().map(|sample| sample.per_second).collect();
            [
                Line::new(format!("Rust → {to}, {place}, one at a time, p50"), "µs a call", p50)
                    .note(note),
                Line::new(format!("Rust → {to}, {place}, {MANY} at once"), "calls/s", rate),
            ]
        };
        let here = lines_of(&self.here, "same body", HERE);
        here.into_iter().chain(lines_of(&self.across, "over NATS", ACROSS)).collect()
    }
}
