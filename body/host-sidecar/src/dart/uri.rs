//! Paths as URIs, the form in package configurations and imports.

use std::{
    ffi::OsString,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, percent_encode};

/// Bytes of a path that a URI has as they are.
const PLAIN: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns an absolute path as a `file:` URI.
pub(super) fn file(path: &Path) -> String {
    format!("file://{}", percent_encode(path.as_os_str().as_bytes(), PLAIN))
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
    PathBuf::from(OsString::from_vec(percent_decode_str(text).collect()))
}
