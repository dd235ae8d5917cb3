//! The golden vectors in `specs/vectors/`, which every language reads.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::DeserializeOwned};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../specs/vectors").join(name)
}

fn print<T: Serialize>(vectors: &T) -> String {
    serde_json::to_string_pretty(vectors).expect("vectors are JSON") + "\n"
}

/// Reads a file of vectors.
///
/// # Panics
/// If the file is not there, or has another form.
#[must_use]
pub fn read<T: DeserializeOwned>(name: &str) -> T {
    let text =
        std::fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Reads a file of vectors of which some parts follow from the others. With `CBS_BLESS` in the
/// environment, the file is written anew first, with these parts as `follow` makes them.
///
/// # Panics
/// As [`read`].
#[must_use]
pub fn read_blessed<T: DeserializeOwned + Serialize>(name: &str, follow: fn(T) -> T) -> T {
    static BLESSED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    if std::env::var_os("CBS_BLESS").is_some() {
        let mut blessed = BLESSED.lock().unwrap_or_else(PoisonError::into_inner);
        if blessed.insert(name.to_owned()) {
            std::fs::write(path(name), print(&follow(read(name)))).expect("a file of vectors");
        }
    }
    read(name)
}

/// Checks that a file of vectors has the derived parts that `follow` makes.
///
/// # Panics
/// At the first line that differs. `hint` says how to write the file anew.
pub fn assert_follows<T: DeserializeOwned + Serialize>(name: &str, follow: fn(T) -> T, hint: &str) {
    let expected = print(&follow(read_blessed(name, follow)));
    let found = std::fs::read_to_string(path(name)).expect("a file of vectors");
    for (line, (found, expected)) in found.lines().zip(expected.lines()).enumerate() {
        assert_eq!(found, expected, "specs/vectors/{name}:{}: {hint}", line + 1);
    }
    assert_eq!(found, expected);
}

/// Bytes that are hexadecimal in the vectors, two lower-case digits a byte.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hex(pub bytes::Bytes);

impl std::fmt::Debug for Hex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hex({})", hex(&self.0))
    }
}

impl Serialize for Hex {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&hex(&self.0))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = try_unhex(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is not hexadecimal in lower case"))
        })?;
        Ok(Self(bytes.into()))
    }
}

/// Writes bytes as the vectors do.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Reads bytes that [`hex`] writes.
///
/// # Panics
/// If the text is another one.
#[must_use]
pub fn unhex(text: &str) -> Vec<u8> {
    try_unhex(text).unwrap_or_else(|| panic!("`{text}` is not hexadecimal in lower case"))
}

fn try_unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let pairs = text.as_bytes().chunks(2);
    pairs.map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_two_digits_each() {
        assert_eq!(hex(b"\x00\xcb\x1f"), "00cb1f");
        assert_eq!(unhex("00cb1f"), b"\x00\xcb\x1f");
        assert_eq!(["0", "0G", "CB", "é"].map(try_unhex), [None, None, None, None]);
    }
}
