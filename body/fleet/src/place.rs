//! Placement: the choice of the bodies that own an entry. Every body decides it alone, and all
//! alike.
//!
//! Rendezvous hashing (Thaler and Ravishankar, 1998): each body has a score for each entry, and
//! the highest scores win. When a body comes or goes, only what it wins or won moves.

use std::collections::BTreeMap;

use cbs::BodyId;
use model::Replicas;

use crate::ContentHash;

/// A body that placement may choose.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The body.
    pub body: &'a BodyId,
    /// Its labels, for `spread`.
    pub labels: &'a BTreeMap<String, String>,
    /// The body's number in scores.
    key: u64,
}

impl<'a> Candidate<'a> {
    /// A body with its labels.
    #[must_use]
    pub fn new(body: &'a BodyId, labels: &'a BTreeMap<String, String>) -> Self {
        Self { body, labels, key: key_of(body) }
    }

    /// The same, where its number is known.
    pub(crate) fn known(body: &'a BodyId, labels: &'a BTreeMap<String, String>, key: u64) -> Self {
        Self { body, labels, key }
    }
}

/// The number that stands for a body.
pub(crate) fn key_of(body: &BodyId) -> u64 {
    ContentHash::of(body.as_str().as_bytes()).first()
}

/// Returns the score of a body for an entry: both numbers mixed by the finalizer of splitmix64
/// (Steele, Lea and Flood, 2014). It is the same in every version for ever, else bodies of two
/// versions would disagree.
fn score(entry: u64, body: u64) -> u64 {
    let mut mixed = entry ^ body.rotate_left(32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Chooses owners; keeps its working space between choices.
#[derive(Debug, Default)]
pub struct Chooser {
    ranked: Vec<(u64, usize)>,
    chosen: Vec<usize>,
}

impl Chooser {
    /// Returns the indices of the candidates that own an entry, best first. `key` is the entry's
    /// number, `may` is true for candidates that can run it; if fewer can than `replicas`, all of
    /// them own it.
    ///
    /// Candidates are in the order of their ids, so that equal scores are decided alike.
    pub fn choose(
        &mut self,
        key: u64,
        replicas: Replicas,
        spread: Option<&str>,
        candidates: &[Candidate<'_>],
        may: impl Fn(usize) -> bool,
    ) -> &[usize] {
        self.chosen.clear();
        self.ranked.clear();
        let able = candidates.iter().enumerate().filter(|(index, _)| may(*index));
        self.ranked.extend(able.map(|(index, candidate)| (score(key, candidate.key), index)));
        let wanted = match replicas {
            Replicas::Count(count) => usize::try_from(count.max(1)).unwrap_or(usize::MAX),
            Replicas::All => usize::MAX,
        };
        if wanted == 1 {
            let best = self.ranked.iter().max_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
            self.chosen.extend(best.map(|(_, index)| *index));
            return &self.chosen;
        }
        self.ranked.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        match spread {
            Some(label) if wanted < self.ranked.len() => {
                self.choose_apart(wanted, label, candidates);
            }
            _ => self.chosen.extend(self.ranked.iter().take(wanted).map(|(_, index)| *index)),
        }
        &self.chosen
    }

    /// Chooses again and again: the value of the label that has the fewest chosen bodies yet, and
    /// of its bodies the best one. Bodies without the label count as one more value.
    fn choose_apart(&mut self, wanted: usize, label: &str, candidates: &[Candidate<'_>]) {
        let mut taken: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        let value = |index: usize| {
            candidates.get(index).and_then(|it| it.labels.get(label)).map(String::as_str)
        };
        while self.chosen.len() < wanted {
            let next = self.ranked.iter().enumerate().min_by_key(|(rank, (_, index))| {
                (taken.get(&value(*index)).copied().unwrap_or_default(), *rank)
            });
            let Some((rank, (_, index))) = next else { return };
            let index = *index;
            self.ranked.remove(rank);
            *taken.entry(value(index)).or_default() += 1;
            self.chosen.push(index);
        }
    }
}
