//! Presence: the report of a body.

use std::collections::BTreeMap;

use fleet::{
    CanarySample, CanarySamples, ContentHash, ENTRIES_MAX, EntryStatus, HeartbeatSequence,
    PRESENCE_BYTES_MAX, Presence, Revision, States, Trouble,
};
use proptest::prelude::*;

use crate::stage::{Checked, facts};

fn presence(states: States) -> Result<Presence, cbs::NameError> {
    Ok(Presence {
        facts: facts("b0")?,
        beat: 1,
        applied: Some(fleet::Applied { number: 3, head: ContentHash::of(b"") }),
        states,
        draining: false,
        observed: BTreeMap::new(),
        troubles: Vec::new(),
        tallies: Vec::new(),
        stuck: None,
    })
}

#[test]
fn fleet_11_the_worst_presence_fits_and_keeps_what_decides() -> Checked {
    let mut states = States::default();
    for at in 0..ENTRIES_MAX {
        states.push(if at % 2 == 0 { EntryStatus::Ready } else { EntryStatus::Extra });
    }
    let mut worst = presence(states)?;
    let long = |letter: &str, at: usize| format!("{}{at:03}", letter.repeat(60));
    worst.facts.labels = (0..100).map(|at| (long("\"", at), long("\\", at))).collect();
    worst.facts.runtimes = worst.facts.labels.clone();
    worst.facts.program = "\u{1}".repeat(10_000);
    for at in 0..200 {
        worst.troubles.push(Trouble { index: at, reason: "\u{1}".repeat(1000) });
        let mut sample = CanarySample::default();
        (0..64).for_each(|power| sample.count(1 << power, true));
        let revision = Revision::of([&b""[..]]);
        worst.tallies.push(CanarySamples {
            index: at,
            revision,
            base: sample.clone(),
            canary: sample,
        });
        worst.observed.insert(
            long("b", at).parse()?,
            HeartbeatSequence { incarnation: u64::MAX, number: u64::MAX },
        );
    }
    let bytes = worst.encode();
    println!("the worst presence has {} bytes", bytes.len());
    assert!(bytes.len() <= PRESENCE_BYTES_MAX);
    let read = Presence::decode(&bytes)?;
    assert_eq!(
        (read.states, read.observed.len(), read.applied),
        (worst.states.clone(), 64, worst.applied)
    );
    Ok(())
}

#[test]
fn fleet_11_ten_thousand_settled_cells_take_little() -> Checked {
    let mut states = States::default();
    for at in 0..10_000_u64 {
        let mine = at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 62 == 0;
        states.push(if mine { EntryStatus::Ready } else { EntryStatus::Absent });
    }
    let bytes = presence(states)?.encode().len();
    println!("10,000 cells, a quarter of them here: {bytes} bytes");
    assert!(bytes < 10_000);
    Ok(())
}

#[test]
fn fleet_11_a_presence_of_a_newer_program_is_read() -> Checked {
    let mut value = serde_json::to_value(presence("r2Q3x".parse()?)?)?;
    value["moon"] = serde_json::json!({ "phase": "full" });
    let read = Presence::decode(&serde_json::to_vec(&value)?)?;
    let standings: Vec<EntryStatus> = (0..7).map(|at| read.states.at(at)).collect();
    use EntryStatus::{Absent, Ready, Refused, Unknown};
    assert_eq!(standings, [Ready, Ready, Unknown, Unknown, Unknown, Refused, Absent]);
    for wrong in ["3r", "r0", "r9999999", "r99999"] {
        assert!(wrong.parse::<States>().is_err(), "{wrong}");
    }
    assert!(Presence::decode(&vec![b' '; PRESENCE_BYTES_MAX + 1]).is_err());
    Ok(())
}

proptest! {
    #[test]
    fn states_are_read_as_they_are_written(letters in prop::collection::vec(0..4u8, 0..300)) {
        let mut states = States::default();
        for letter in &letters {
            states.push([EntryStatus::Absent, EntryStatus::Ready, EntryStatus::Extra, EntryStatus::Refused][usize::from(*letter)]);
        }
        let text = states.to_string();
        prop_assert!(text.len() <= letters.len());
        prop_assert_eq!(text.parse::<States>()?, states);
    }
}
