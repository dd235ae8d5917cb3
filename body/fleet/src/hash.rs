//! Names of content: content is stored under the hash of its bytes.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use sha2::{Digest, Sha256};

/// A text that is no hash: not the right number of lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no hash: {digits} hexadecimal digits (0-9, a-f) are wanted")]
pub struct HashError {
    /// The text, cut to 80 characters.
    pub text: String,
    /// Number of digits that there should be.
    pub digits: usize,
}

fn read<const BYTES: usize>(text: &str) -> Result<[u8; BYTES], HashError> {
    let wrong = || HashError { text: text.chars().take(80).collect(), digits: BYTES * 2 };
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(wrong()),
    };
    if text.len() != BYTES * 2 {
        return Err(wrong());
    }
    let mut bytes = [0; BYTES];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return Err(wrong()) };
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Ok(bytes)
}

fn write(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

macro_rules! digest {
    ($(#[$doc:meta])* $name:ident, $bytes:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; $bytes]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write(self.0.get(..6).unwrap_or_default(), f)
            }
        }

        impl FromStr for $name {
            type Err = HashError;
            fn from_str(text: &str) -> Result<Self, HashError> {
                read(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(D::Error::custom)
            }
        }
    };
}

digest!(
    /// The SHA-256 of some bytes; as text 64 hexadecimal digits.
    ContentHash,
    32
);

digest!(
    /// Hash of the parts that an instance of a cell is made from, in 12 hexadecimal digits. Two
    /// versions of a cell that have the same revision never need a restart.
    Revision,
    6
);

impl ContentHash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// The first 12 digits, for people.
    #[must_use]
    pub fn short(&self) -> String {
        format!("{self:?}")
    }

    /// The first eight bytes as a number.
    #[must_use]
    pub(crate) fn first(&self) -> u64 {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&self.0[..8]);
        u64::from_be_bytes(bytes)
    }
}

impl Revision {
    /// Returns the revision of these parts, each counted with its length, so that no two lists of
    /// parts are alike. An example: the parts of a spec that an instance depends on, and the hash
    /// of its code.
    #[must_use]
    pub fn of<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut bytes = [0; 6];
        bytes.copy_from_slice(&digest[..6]);
        Self(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_read_as_it_is_written() -> Result<(), HashError> {
        let hash = ContentHash::of(b"abc");
        assert_eq!(
            hash.to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        assert_eq!(hash.to_string().parse::<ContentHash>()?, hash);
        assert_eq!(hash.short(), "ba7816bf8f01"); // typos: meant
        let wrong = ["", "ba78", "BA7816BF8F01", "ba7816bf8f0g", "ba7816bf8f0é"]; // typos: meant
        for wrong in wrong {
            assert!(wrong.parse::<Revision>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn a_revision_knows_where_its_parts_end() {
        assert_ne!(Revision::of([&b"ab"[..], b"c"]), Revision::of([&b"a"[..], b"bc"]));
        assert_ne!(Revision::of([&b"ab"[..]]), Revision::of([&b"ab"[..], b""]));
    }
}
