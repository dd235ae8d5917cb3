//! Paths as URIs, the form in package configurations and imports.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

/// Returns an absolute path as a `file:` URI.
pub(super) fn file(path: &Path) -> String {
    let mut uri = String::from("file://");
    for &byte in path.as_os_str().as_bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
    uri
}

/// Returns the path of a `file:` URI, or of a relative URI as seen from a folder; `None` for any
/// other.
pub(super) fn path(uri: &str, from: &Path) -> Option<PathBuf> {
    match uri.split_once(':') {
        Some(("file", rest)) => Some(decoded(rest.strip_prefix("//").unwrap_or(rest))),
        Some(_) => None,
        None => Some(from.join(decoded(uri))),
    }
}

fn decoded(text: &str) -> PathBuf {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits =
            after.get(..2).filter(|_| first == b'%').and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}
