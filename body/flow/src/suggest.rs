//! "Did you mean": the nearest of the known names.

/// The name that a text most likely means, if one is near enough: one mistake in three letters.
pub(crate) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Texts of any length come in; more than a long name's worth is never near.
    let text: String = text.chars().take(128).collect();
    let near = names.into_iter().map(|name| (strsim::damerau_levenshtein(&text, name), name));
    let near = near.filter(|(distance, name)| *distance <= name.chars().count().max(3) / 3);
    near.min_by_key(|(distance, _)| *distance).map(|(_, name)| name)
}

/// Returns `did you mean …?`, else the list of known names.
pub(crate) fn hint<'a>(text: &str, names: impl Iterator<Item = &'a str> + Clone) -> String {
    match nearest(text, names.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("there are: {}", names.collect::<Vec<_>>().join(", ")),
    }
}
