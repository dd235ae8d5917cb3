//! Feeds mutated frames to the frame codec on a stable compiler.
//!
//! ```text
//! cargo run -p cbs --release --example fuzz_frames -- --rounds 1000000
//! cargo run -p cbs --release --example fuzz_frames -- --seconds 60 --seed 7
//! ```
//!
//! The program prints the seed first: the same seed makes the same frames. On a finding it prints
//! the round and the bytes, and then panics.
//!
//! With `cargo +nightly fuzz` the same check runs under libFuzzer: `cargo fuzz init` in a copy of
//! this crate, and as the target
//!
//! ```text
//! #![no_main]
//! #[path = "../../examples/fuzz_frames/fuzz_one.rs"]
//! mod fuzz_one;
//! libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_one::fuzz_one(bytes));
//! ```

mod fuzz_one;
mod mutation;

use std::{
    io::{self, Write},
    panic,
    process::ExitCode,
    time::{Duration, Instant},
};

use self::{
    fuzz_one::fuzz_one,
    mutation::{Dice, golden_frames, mutate},
};

const USAGE: &str = "usage: fuzz_frames [--rounds N] [--seconds N] [--seed N]";

/// Length of the run, and its seed.
struct Settings {
    rounds: u64,
    seconds: u64,
    seed: u64,
}

fn settings(mut arguments: impl Iterator<Item = String>) -> Option<Settings> {
    let mut settings = Settings { rounds: u64::MAX, seconds: u64::MAX, seed: cbs::now_ms() };
    let mut limited = false;
    while let Some(flag) = arguments.next() {
        let number = arguments.next()?.parse().ok()?;
        match flag.as_str() {
            "--rounds" => (settings.rounds, limited) = (number, true),
            "--seconds" => (settings.seconds, limited) = (number, true),
            "--seed" => settings.seed = number,
            _ => return None,
        }
    }
    if !limited {
        settings.rounds = 1_000_000;
    }
    Some(settings)
}

fn main() -> io::Result<ExitCode> {
    let Some(Settings { rounds, seconds, seed }) = settings(std::env::args().skip(1)) else {
        writeln!(io::stderr(), "{USAGE}")?;
        return Ok(ExitCode::from(64));
    };
    writeln!(io::stderr(), "seed {seed}")?;
    let frames = golden_frames();
    let mut dice = Dice(seed);
    let started = Instant::now();
    frames.iter().for_each(|frame| fuzz_one(frame));
    let end = Duration::from_secs(seconds);
    let mut round = 0;
    while round < rounds && (!round.is_multiple_of(1_000) || started.elapsed() < end) {
        let bytes = mutate(&frames, &mut dice);
        if let Err(cause) = panic::catch_unwind(|| fuzz_one(&bytes)) {
            writeln!(
                io::stderr(),
                "seed {seed}, round {round}, {} bytes: {bytes:02x?}",
                bytes.len()
            )?;
            panic::resume_unwind(cause);
        }
        round += 1;
    }
    writeln!(io::stderr(), "{round} frames in {:.1?}, nothing found", started.elapsed())?;
    Ok(ExitCode::SUCCESS)
}
