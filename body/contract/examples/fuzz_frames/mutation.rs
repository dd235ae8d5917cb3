//! Seeded mutations of the golden frames.

/// The golden frames of `specs/vectors/`, good and bad.
pub(crate) fn golden_frames() -> Vec<Vec<u8>> {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../specs/vectors/frames.json"))
            .unwrap_or_default();
    let lists =
        ["frames", "bad"].map(|list| vectors.get(list).and_then(|list| list.as_array()).cloned());
    let frames = lists.into_iter().flatten().flatten();
    frames.filter_map(|frame| frame.get("frame")?.as_str().map(unhex)).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> =
        text.chars().filter_map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    digits
        .chunks_exact(2)
        .map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit))
        .collect()
}

/// SplitMix64 (Steele, Lea, Flood 2014): enough chance for a fuzzer, and the same on every machine.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 where there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.roll() % end).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        // Bytes at the edges of varints and tags break more than others do.
        const EDGES: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x0a, 0x72, 0xcb];
        let [low, ..] = self.roll().to_le_bytes();
        if low.is_multiple_of(2) {
            EDGES.get(self.below(EDGES.len())).copied().unwrap_or(low)
        } else {
            low
        }
    }
}

/// One to three changes of one of the frames.
pub(crate) fn mutate(frames: &[Vec<u8>], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = frames.get(dice.below(frames.len())).cloned().unwrap_or_default();
    for _ in 0..=dice.below(3) {
        change(&mut bytes, frames, dice);
    }
    if dice.below(3) == 0 {
        mend_length(&mut bytes);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, frames: &[Vec<u8>], dice: &mut Dice) {
    let at = dice.below(bytes.len() + 1);
    let to = at + dice.below(bytes.len() + 1 - at).min(40);
    // Cutting off comes seldom: most of what is cut off is no frame any more.
    match dice.below(16) {
        0..=1 => {
            let bit = 1 << dice.below(8);
            bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= bit);
        }
        2..=4 => bytes.iter_mut().skip(at).take(1).for_each(|byte| *byte = dice.byte()),
        5..=7 => bytes.insert(at, dice.byte()),
        8..=9 => drop(bytes.drain(at..to)),
        10 => bytes.truncate(at),
        _ => {
            let other = frames.get(dice.below(frames.len())).map_or(&[][..], Vec::as_slice);
            let from = dice.below(other.len() + 1);
            let piece: Vec<u8> = other.iter().skip(from).take(dice.below(60)).copied().collect();
            drop(bytes.splice(at..to, piece));
        }
    }
}

/// Makes a length of one byte fit the rest again: else a change of
/// the length of a field would only ever move the payload.
fn mend_length(bytes: &mut [u8]) {
    let rest = bytes.len().saturating_sub(3).min(0x7f);
    if let ([0xCB, 1, length, ..], Ok(rest)) = (bytes, u8::try_from(rest)) {
        *length = rest;
    }
}
