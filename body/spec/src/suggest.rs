//! Suggestions: "did you mean …?".

/// The candidate that a text most likely means, if one is near enough.
#[must_use]
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let folded = fold(text);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), candidate))
        // One slip in three letters: `tiemout` for `timeout`, but not `env` for `each`.
        .filter(|(distance, candidate)| *distance <= candidate.chars().count().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Removes `-`, `_` and case, the most common mistakes: `maxBackoff` for `max_backoff`. Keeps at
/// most 128 characters: a longer name is never near.
fn fold(text: &str) -> String {
    text.chars()
        .filter(|c| !matches!(c, '-' | '_'))
        .take(128)
        .flat_map(char::to_lowercase)
        .collect()
}

/// Returns a hint: the nearest candidate, else all of them.
pub(crate) fn hint(text: &str, candidates: &[&str]) -> Option<String> {
    match nearest(text, candidates.iter().copied()) {
        Some(candidate) => Some(format!("did you mean `{candidate}`?")),
        None if candidates.is_empty() => None,
        None => Some(format!("expected one of: {}", candidates.join(", "))),
    }
}
