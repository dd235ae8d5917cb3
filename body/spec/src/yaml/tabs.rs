//! Tabs between a colon and its value, which YAML allows and the parser does not.
//!
//! Source: <https://yaml.org/spec/1.2.2/#62-separation-spaces>.

use std::borrow::Cow;

use saphyr_parser::Parser;

/// Error message of the parser for such a tab.
pub(super) const REFUSED: &str = "':' must be followed by a valid YAML whitespace";
/// Limit of the bytes parsed to find such tabs. To find one, the text is parsed up to its place.
const WORK_MAX: usize = 2 << 20;

/// Returns the text with a blank instead of each tab that the parser refuses as a separation.
///
/// The parser itself reports these tabs, so no tab in a text or comment is changed. A blank is as
/// long as a tab, so all offsets stay.
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
    let value =
        text.char_indices().nth(error.marker().index()).map_or(text.len(), |(offset, _)| offset);
    let before = text.get(..value)?;
    let colon = before.trim_end_matches('\t').len();
    (before.get(..colon)?.ends_with(':') && colon < value).then_some(colon)
}
