//! Tabs between a colon and its value, which YAML allows and the parser does not.
//!
//! Source: <https://yaml.org/spec/1.2.2/#62-separation-spaces>.

use std::borrow::Cow;

use saphyr_parser::Parser;

/// What the parser says of such a tab.
pub(super) const REFUSED: &str = "':' must be followed by a valid YAML whitespace";
/// How many bytes are parsed to find such tabs: each takes a parse up to its place.
const WORK_MAX: usize = 2 << 20;

/// The text with a blank for each tab that the parser takes for no separation.
///
/// The parser itself says which these are, so that no tab in a text or comment is touched; a blank is as
/// long as a tab, so that all places stay.
pub(super) fn separated(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    if !text.contains(":\t") {
        return text;
    }
    for _ in 0..WORK_MAX / text.len() {
        let Some(tab) = refused(&text) else { break };
        text.to_mut().replace_range(tab..=tab, " ");
    }
    text
}

/// The offset of the first tab that is refused.
fn refused(text: &str) -> Option<usize> {
    let mut parser = Parser::new_from_str(text);
    let error = loop {
        match parser.next_event()? {
            Ok(_) => {}
            Err(error) if error.info() == REFUSED => break error,
            Err(_) => return None,
        }
    };
    // It points at the value; the tabs stand right before.
    let value = text.char_indices().nth(error.marker().index()).map_or(text.len(), |(offset, _)| offset);
    let before = text.get(..value)?;
    let colon = before.trim_end_matches('\t').len();
    (before.get(..colon)?.ends_with(':') && colon < value).then_some(colon)
}
