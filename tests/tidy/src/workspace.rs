//! Members and dependencies, as Cargo reports them.

use std::{error::Error, process::Command};

use cargo_metadata::{Metadata, MetadataCommand, Package};

use crate::tree;

/// Reads the members with their dependencies, and every package of a build on this machine.
pub fn read() -> Result<Metadata, Box<dyn Error>> {
    // Only for this machine: other platforms' packages would have to be fetched first.
    let rustc = Command::new("rustc").arg("-vV").output()?;
    let rustc = String::from_utf8(rustc.stdout)?;
    let host = rustc
        .lines()
        .find_map(|line| line.strip_prefix("host: "))
        .ok_or("rustc -vV names no host")?;
    let metadata = MetadataCommand::new()
        .manifest_path(tree::root().join("Cargo.toml"))
        .other_options(["--locked".to_owned(), "--filter-platform".to_owned(), host.to_owned()])
        .exec()?;
    Ok(metadata)
}

/// Returns the folder of a member, from the root of the repository.
pub fn folder(package: &Package) -> String {
    let folder =
        package.manifest_path.parent().map(|folder| folder.as_str().to_owned()).unwrap_or_default();
    let root = tree::root().to_string_lossy().into_owned();
    folder.strip_prefix(&root).unwrap_or(&folder).trim_start_matches('/').to_owned()
}
