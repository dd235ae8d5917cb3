//! JSON that a flow passes on.

use std::{fmt, sync::OnceLock};

use bytes::Bytes;
use cbs::CellError;
use jaq_json::Val;
use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{Error as _, MapAccess, SeqAccess, Visitor},
};
use serde_json::Value;

/// A JSON value, kept as its text. A value that only passes through a flow stays byte for byte,
/// also numbers of any length. It is parsed when an expression reads it for the first time.
///
/// ```
/// let id = flow::Json::read(&"12345678901234567890123".into())?;
/// assert_eq!(id.to_string(), "12345678901234567890123");
/// # Ok::<(), cbs::CellError>(())
/// ```
#[derive(Clone)]
pub struct Json {
    text: Bytes,
    parsed: OnceLock<Option<Val>>,
}

impl Json {
    /// Takes a payload; an empty one is `null`, as for cells.
    ///
    /// # Errors
    /// Returns `bad-request` for a text that is no JSON or is nested deeper than 128 levels.
    pub fn read(payload: &Bytes) -> Result<Self, CellError> {
        if payload.is_empty() {
            return Ok(Self::null());
        }
        cbs::from_json::<Checked>(payload)?;
        Ok(Self::trusted(payload.clone()))
    }

    /// The value `null`.
    #[must_use]
    pub fn null() -> Self {
        Self::trusted(Bytes::from_static(b"null"))
    }

    /// The value's text, ready to be sent.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.text
    }

    /// A text that is known to be JSON.
    pub(crate) fn trusted(text: impl Into<Bytes>) -> Self {
        Self { text: text.into(), parsed: OnceLock::new() }
    }

    /// The value in jaq's form; `None` if jaq cannot read a text that serde can read, which is a
    /// fault.
    pub(crate) fn parsed(&self) -> Option<&Val> {
        self.parsed.get_or_init(|| jaq_json::read::parse_single(&self.text).ok()).as_ref()
    }

    /// True if the value is `null` or `false`.
    pub(crate) fn is_no(&self) -> bool {
        matches!(self.text.trim_ascii(), b"null" | b"false")
    }

    /// A list of values, each as it is written.
    pub(crate) fn list<'a>(items: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut text = vec![b'['];
        for (index, item) in items.into_iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(&item.text);
        }
        text.push(b']');
        Self::trusted(text)
    }

    /// A map of values, each as it is written.
    pub(crate) fn map<'a>(entries: impl IntoIterator<Item = (&'a str, Self)>) -> Self {
        let mut text = vec![b'{'];
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(Value::from(key).to_string().as_bytes());
            text.push(b':');
            text.extend_from_slice(&value.text);
        }
        text.push(b'}');
        Self::trusted(text)
    }
}

impl From<Value> for Json {
    fn from(value: Value) -> Self {
        Self::trusted(value.to_string())
    }
}

/// Equal where their texts are.
impl PartialEq for Json {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that holds the value's text, so that a journal keeps every digit.
impl Serialize for Json {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Bytes::from(String::deserialize(deserializer)?)).map_err(D::Error::custom)
    }
}

/// JSON that was read to its end, texts and numbers too, and thrown away.
struct Checked;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Not `deserialize_ignored_any`, which looks neither at escapes nor at the range of
        // numbers.
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(Self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(Self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while entries.next_entry::<Self, Self>()?.is_some() {}
        Ok(Self)
    }
}

#[cfg(test)]
mod tests;
