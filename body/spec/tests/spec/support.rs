//! Helpers that load texts and return their mistakes.

use std::path::PathBuf;

use spec::{Diagnostic, Error, Options, Specs, load_texts};

/// Stands before the place of an expected mistake.
pub(crate) const MARK: char = '¦';

/// Loads one text as `spec.yaml`.
pub(crate) fn load(yaml: &str) -> Result<Specs, Error> {
    load_texts([(PathBuf::from("spec.yaml"), yaml)], &Options::default())
}

/// The mistakes of one text.
pub(crate) fn mistakes(yaml: &str) -> Vec<Diagnostic> {
    diagnostics(load(yaml))
}

/// The mistakes of a load; none where there are specs.
pub(crate) fn diagnostics(loaded: Result<Specs, Error>) -> Vec<Diagnostic> {
    match loaded {
        Ok(_) => Vec::new(),
        Err(Error::Mistakes(mistakes)) => mistakes.into_iter().collect(),
        Err(error) => panic!("{error}"),
    }
}

/// Code, line and column of each.
pub(crate) fn places(mistakes: &[Diagnostic]) -> Vec<(&str, usize, usize)> {
    mistakes.iter().map(|mistake| (mistake.code, mistake.line, mistake.column)).collect()
}

/// Takes the marks out of a text, and gives line and column of each.
pub(crate) fn unmark(marked: &str) -> (String, Vec<(usize, usize)>) {
    let mut places = Vec::new();
    for (index, line) in marked.lines().enumerate() {
        let marks = line.chars().enumerate().filter(|(_, c)| *c == MARK);
        places.extend(
            marks.enumerate().map(|(before, (column, _))| (index + 1, column + 1 - before)),
        );
    }
    (marked.replace(MARK, ""), places)
}

/// A cell in Rust with these further lines of its `spec`.
pub(crate) fn cell(spec: &str) -> String {
    format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: shop.price }}\nspec:\n  runtime: rust\n{spec}\n"
    )
}

/// The cell `shop.price`, and a flow `order` with these lines below `steps:`.
pub(crate) fn flow(steps: &str) -> String {
    format!(
        "{}---\napiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: order }}\nspec:\n  steps:\n{steps}\n",
        cell("")
    )
}
