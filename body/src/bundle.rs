//! A bundle: the code of a cell as files with their relative paths, in one canonical sequence of
//! bytes.
//!
//! `cbs-bundle 1\n`, then for each file, in the order of the paths: the path's length (2 bytes,
//! big-endian), the path, 1 if it may be executed and else 0, the content's length (8 bytes), the
//! content. One set of files gives exactly one sequence of bytes, and no other sequence is
//! accepted.

mod native;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::Path,
};

use fleet::{ContentHash, keys::BUNDLE_BYTES_MAX};

pub(crate) use self::native::is_native;

/// First bytes of a bundle.
const MAGIC: &[u8] = b"cbs-bundle 1\n";
/// Limit of the files of a bundle.
pub(crate) const FILES_MAX: usize = 4_000;
/// Limit of the length of a path, in bytes.
const PATH_BYTES_MAX: usize = 1_024;
/// Limit of the length of a folder's or file's name, in bytes, as on Linux.
const NAME_BYTES_MAX: usize = 255;
/// Limit of the depth of nested folders.
const DEPTH_MAX: usize = 32;

/// Reason why files cannot be a bundle, or bytes are not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BundleError {
    /// A path that leads out of its folder, or that some system takes for another path.
    Path(String),
    /// Two files with one path, or a file where another file needs a folder.
    Twice(String),
    /// More files than [`FILES_MAX`].
    TooMany,
    /// More bytes than [`BUNDLE_BYTES_MAX`].
    TooLarge,
    /// The bytes have another hash than the name that they are stored under.
    WrongHash { wanted: ContentHash, found: ContentHash },
    /// The bytes were not written by a program of this project.
    Unreadable(&'static str),
}

impl std::fmt::Display for BundleError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path(path) => {
                write!(f, "the path `{}` is none that a bundle may have", path.escape_debug())
            }
            Self::Twice(path) => write!(f, "the path `{}` stands twice", path.escape_debug()),
            Self::TooMany => {
                write!(f, "more than {FILES_MAX} files: give the cell a folder of its own")
            }
            Self::TooLarge => {
                write!(
                    f,
                    "more than {} MiB: give the cell a folder of its own",
                    BUNDLE_BYTES_MAX / (1024 * 1024)
                )
            }
            Self::WrongHash { wanted, found } => {
                write!(
                    f,
                    "the bundle {} has the hash {}: it is not unpacked",
                    wanted.short(),
                    found.short()
                )
            }
            Self::Unreadable(reason) => write!(f, "the bundle cannot be read: {reason}"),
        }
    }
}

impl std::error::Error for BundleError {}

/// Files by their relative paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bundle {
    files: BTreeMap<String, File>,
    bytes: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    executable: bool,
    content: Vec<u8>,
}

impl Bundle {
    /// Adds a file.
    pub(crate) fn add(
        &mut self,
        path: &str,
        executable: bool,
        content: Vec<u8>,
    ) -> Result<(), BundleError> {
        if !is_safe(path) {
            return Err(BundleError::Path(path.chars().take(120).collect()));
        }
        if self.files.contains_key(path) {
            return Err(BundleError::Twice(path.to_owned()));
        }
        if self.files.len() >= FILES_MAX {
            return Err(BundleError::TooMany);
        }
        self.bytes += path.len() + content.len() + 11;
        if self.bytes + MAGIC.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        self.files.insert(path.to_owned(), File { executable, content });
        Ok(())
    }

    /// Returns the platforms that its programs and libraries are made for, such as `linux-x86_64`.
    /// The set is empty if it runs anywhere.
    pub(crate) fn platforms(&self) -> BTreeSet<String> {
        self.files.values().filter_map(|file| native::platform(&file.content)).collect()
    }

    /// Returns the bundle as bytes.
    pub(crate) fn encode(&self) -> Result<Vec<u8>, BundleError> {
        self.check_folders()?;
        let mut bytes = Vec::with_capacity(self.bytes + MAGIC.len());
        bytes.extend_from_slice(MAGIC);
        for (path, file) in &self.files {
            let length = u16::try_from(path.len()).map_err(|_| BundleError::Path(path.clone()))?;
            bytes.extend_from_slice(&length.to_be_bytes());
            bytes.extend_from_slice(path.as_bytes());
            bytes.push(u8::from(file.executable));
            bytes.extend_from_slice(&(file.content.len() as u64).to_be_bytes());
            bytes.extend_from_slice(&file.content);
        }
        Ok(bytes)
    }

    /// Checks that no file has the path of a folder.
    fn check_folders(&self) -> Result<(), BundleError> {
        let folders: BTreeSet<&str> = self.files.keys().flat_map(|path| folders(path)).collect();
        match self.files.keys().find(|path| folders.contains(path.as_str())) {
            Some(path) => Err(BundleError::Twice(path.clone())),
            None => Ok(()),
        }
    }

    /// Reads the bytes that are stored under a hash. Nothing is written to disk.
    pub(crate) fn decode(wanted: ContentHash, bytes: &[u8]) -> Result<Self, BundleError> {
        if bytes.len() > BUNDLE_BYTES_MAX {
            return Err(BundleError::TooLarge);
        }
        let found = ContentHash::of(bytes);
        if found != wanted {
            return Err(BundleError::WrongHash { wanted, found });
        }
        let mut rest =
            bytes.strip_prefix(MAGIC).ok_or(BundleError::Unreadable("it does not begin as one"))?;
        let mut bundle = Self::default();
        let mut last = String::new();
        while !rest.is_empty() {
            let length = u16::from_be_bytes(take(&mut rest)?);
            let path = cut(&mut rest, u64::from(length))?;
            let path = std::str::from_utf8(path)
                .map_err(|_| BundleError::Unreadable("a path is no UTF-8"))?;
            let executable = match take::<1>(&mut rest)? {
                [0] => false,
                [1] => true,
                _ => {
                    return Err(BundleError::Unreadable(
                        "a file is of a kind that this program does not know",
                    ));
                }
            };
            let length = u64::from_be_bytes(take(&mut rest)?);
            let content = cut(&mut rest, length)?;
            if path <= last.as_str() {
                return Err(BundleError::Unreadable("its files are out of order"));
            }
            last = path.to_owned();
            bundle.add(path, executable, content.to_vec())?;
        }
        bundle.check_folders()?;
        Ok(bundle)
    }

    /// Writes the files into a folder, which appears whole or not at all. A folder that exists is
    /// left unchanged.
    pub(crate) fn unpack(&self, folder: &Path) -> io::Result<()> {
        if folder.is_dir() {
            return Ok(());
        }
        let above = folder
            .parent()
            .ok_or_else(|| io::Error::other("a bundle needs a folder of its own"))?;
        private().recursive(true).create(above)?;
        let part = tempfile::Builder::new().prefix(".part-").tempdir_in(above)?;
        for (path, file) in &self.files {
            let path = part.path().join(path);
            private().recursive(true).create(path.parent().unwrap_or(part.path()))?;
            let mode = if file.executable { 0o700 } else { 0o600 };
            // A new file in a new folder: there is no link to follow.
            let mut open =
                fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
            open.write_all(&file.content)?;
        }
        match fs::rename(part.path(), folder) {
            Err(_) if folder.is_dir() => Ok(()),
            done => done,
        }
    }
}

/// Builder of folders that only their owner may read.
pub(crate) fn private() -> fs::DirBuilder {
    let mut builder = fs::DirBuilder::new();
    builder.mode(0o700);
    builder
}

/// True if a path stays in its folder on every system, and can be written in one way only.
pub(crate) fn is_safe(path: &str) -> bool {
    let mut names = path.split('/');
    let plain = |name: &str| {
        !name.is_empty()
            && name.len() <= NAME_BYTES_MAX
            && name != "."
            && name != ".."
            && !name.chars().any(|c| c.is_control() || c == '\\')
    };
    path.len() <= PATH_BYTES_MAX && path.matches('/').count() < DEPTH_MAX && names.all(plain)
}

/// Returns the folders that a path leads through.
fn folders(path: &str) -> impl Iterator<Item = &str> {
    path.match_indices('/').filter_map(|(index, _)| path.get(..index))
}

fn cut<'a>(rest: &mut &'a [u8], length: u64) -> Result<&'a [u8], BundleError> {
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let (part, after) =
        rest.split_at_checked(length).ok_or(BundleError::Unreadable("it ends too soon"))?;
    *rest = after;
    Ok(part)
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], BundleError> {
    let part = cut(rest, N as u64)?;
    part.try_into().map_err(|_| BundleError::Unreadable("it ends too soon"))
}

#[cfg(test)]
#[path = "bundle_tests.rs"]
mod tests;
