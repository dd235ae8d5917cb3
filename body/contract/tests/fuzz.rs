//! A short run of the fuzzer with a fixed seed; `examples/fuzz_frames` runs as long as one likes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests fail loudly")]

#[path = "../examples/fuzz_frames/fuzz_one.rs"]
mod fuzz_one;
#[path = "../examples/fuzz_frames/mutation.rs"]
mod mutation;

use cbs::{Bytes, frame};

use self::{
    fuzz_one::fuzz_one,
    mutation::{Dice, golden_frames, mutate},
};

#[test]
fn golden_frames_and_their_mutations_do_no_harm() {
    let frames = golden_frames();
    let mut dice = Dice(20_261_120);
    assert!(frames.len() > 50, "the golden frames were not found");
    frames.iter().for_each(|frame| fuzz_one(frame));
    let mut read = 0;
    for _ in 0..20_000 {
        let bytes = mutate(&frames, &mut dice);
        fuzz_one(&bytes);
        read += usize::from(frame::decode(Bytes::from(bytes)).is_ok());
    }
    // Mutations that all fail at the first byte would prove nothing.
    assert!((2_000..18_000).contains(&read), "{read} of 20,000 mutations were still frames");
}
