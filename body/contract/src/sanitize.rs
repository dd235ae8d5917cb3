//! Text for one line of a terminal, a log or a header.

/// Returns a blank for a control character, and any other character as it is. Control characters
/// are commands to a terminal and ends of lines to a log or a header.
///
/// ```
/// let start: String = "a\tb\nc".chars().map(cbs::sanitize_char).take(3).collect();
/// assert_eq!(start, "a b");
/// ```
#[must_use]
pub fn sanitize_char(c: char) -> char {
    if c.is_control() { ' ' } else { c }
}

/// Returns the text with a blank for each control character, so that it is one line.
///
/// ```
/// assert_eq!(cbs::sanitize("one\ntwo \u{1b}[2J"), "one two  [2J");
/// ```
#[must_use]
pub fn sanitize(text: &str) -> String {
    text.chars().map(sanitize_char).collect()
}
