//! States of the deployed entries in each body, as `cbs bodies` reports them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::World;

/// State of every entry of the fleet in every body: one letter for each entry, `r` for ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standings(BTreeMap<String, BodyReport>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct BodyReport {
    states: Vec<char>,
    /// The hash of the head that the body has applied.
    head: String,
    /// The whole report of the body, as JSON.
    all: String,
}

impl Standings {
    /// Runs `cbs bodies`; empty if no body answers.
    pub async fn read(world: &World, url: &str) -> Self {
        let done = world.run(&["bodies", "--format", "json", "--nats", url]).await;
        let bodies: Vec<Value> = serde_json::from_str(&done.stdout).unwrap_or_default();
        let text = |body: &Value, at: &str| {
            body.pointer(at).and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        Self(
            bodies
                .iter()
                .map(|body| {
                    let states = letters(&text(body, "/states"));
                    let reported = BodyReport {
                        states,
                        head: text(body, "/applied/head"),
                        all: body.to_string(),
                    };
                    (text(body, "/body"), reported)
                })
                .collect(),
        )
    }

    /// The ids of the bodies that run.
    pub fn bodies(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Number of bodies that run.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if no body runs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Number of instances that are ready in a body.
    #[must_use]
    pub fn ready_in(&self, body: &str) -> usize {
        self.0
            .get(body)
            .map_or(0, |reported| reported.states.iter().filter(|state| **state == 'r').count())
    }

    /// Number of instances that are ready in all bodies.
    #[must_use]
    pub fn ready(&self) -> usize {
        self.bodies().map(|body| self.ready_in(body)).sum()
    }

    /// Number of entries that any body serves, in any revision and wherever they were placed.
    #[must_use]
    pub fn served(&self) -> usize {
        let serving = |reported: &BodyReport| {
            let serves =
                reported.states.iter().enumerate().filter(|(_, state)| "reoukyu".contains(**state));
            serves.map(|(index, _)| index).collect::<Vec<_>>()
        };
        self.0.values().flat_map(serving).collect::<BTreeSet<usize>>().len()
    }

    /// True if all bodies have applied the same head, and no body has a change under way.
    #[must_use]
    pub fn settled(&self) -> bool {
        let heads: BTreeSet<&str> =
            self.0.values().map(|reported| reported.head.as_str()).collect();
        let quiet =
            |reported: &BodyReport| reported.states.iter().all(|state| ".rx".contains(*state));
        heads.len() == 1 && self.0.values().all(quiet)
    }

    /// True if `bodies` bodies run, have settled, and have `ready` ready instances together.
    #[must_use]
    pub fn are(&self, bodies: usize, ready: usize) -> bool {
        self.len() == bodies && self.settled() && self.ready() == ready
    }

    /// The states of the entries by body, to compare where instances run before and after a change.
    #[must_use]
    pub fn spread(&self) -> Vec<(&str, &[char])> {
        self.0.iter().map(|(body, reported)| (body.as_str(), reported.states.as_slice())).collect()
    }

    /// True if the report of a body contains these words, for example an error.
    #[must_use]
    pub fn mention(&self, words: &str) -> bool {
        self.0.values().any(|reported| reported.all.contains(words))
    }
}

/// Returns one letter for each entry: `.3r2` are three absent and two ready.
fn letters(states: &str) -> Vec<char> {
    let mut letters = Vec::new();
    let mut rest = states.chars().peekable();
    while let Some(letter) = rest.next() {
        let mut count = String::new();
        while let Some(digit) = rest.next_if(char::is_ascii_digit) {
            count.push(digit);
        }
        letters.extend(std::iter::repeat_n(letter, count.parse().unwrap_or(1)));
    }
    letters
}
