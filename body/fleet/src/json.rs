//! Canonical JSON: one text for one value, so that content has one hash.

use serde::Serialize;
use serde_json::Value;

/// Keys sorted by their bytes, no white space, numbers and texts as serde_json writes them.
pub(crate) fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>, serde_json::Error> {
    let mut text = Vec::new();
    write(&serde_json::to_value(value)?, &mut text)?;
    Ok(text)
}

/// The nesting is that of our own types and of what serde_json read, which stops at 128.
fn write(value: &Value, text: &mut Vec<u8>) -> Result<(), serde_json::Error> {
    match value {
        Value::Array(items) => {
            text.push(b'[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                write(item, text)?;
            }
            text.push(b']');
        }
        Value::Object(fields) => {
            let mut sorted: Vec<_> = fields.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(b.0));
            text.push(b'{');
            for (index, (key, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    text.push(b',');
                }
                serde_json::to_writer(&mut *text, key)?;
                text.push(b':');
                write(value, text)?;
            }
            text.push(b'}');
        }
        _ => serde_json::to_writer(text, value)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_keys_does_not_matter() -> Result<(), serde_json::Error> {
        let one: Value =
            serde_json::from_str(r#"{"b": [1, "ü\n", null], "a": {"d": true, "c": {}}}"#)?;
        assert_eq!(
            String::from_utf8_lossy(&canonical(&one)?),
            "{\"a\":{\"c\":{},\"d\":true},\"b\":[1,\"ü\\n\",null]}"
        );
        Ok(())
    }
}
