//! Checkout of CBS: its crates are on no registry, so a new package names them by path.

use std::path::{Component, Path, PathBuf};

use crate::exit::Failure;

/// Folder where this program was built. On a machine that only got the program, it usually does not
/// exist.
const BUILT_IN: &str = env!("CARGO_MANIFEST_DIR");

/// Finds the checkout to build against: the given one, the one that contains the folder, or the one
/// that this program was built from.
pub(super) fn find(given: Option<&Path>, folder: &Path) -> Result<PathBuf, Failure> {
    if let Some(given) = given {
        let absolute = absolute(given)?;
        return if is_checkout(&absolute) {
            Ok(absolute)
        } else {
            Err(Failure::failed(format_args!(
                "{} is no checkout of CBS: it has no body/contract",
                given.display()
            )))
        };
    }
    let built = Path::new(BUILT_IN).parent().map(Path::to_owned);
    let around = absolute(folder)?;
    let found =
        around.ancestors().map(Path::to_owned).chain(built).find(|folder| is_checkout(folder));
    found.ok_or_else(|| {
        Failure::failed(
            "the crates of CBS are on no registry: say where a checkout of it is with --cbs PATH",
        )
    })
}

fn is_checkout(folder: &Path) -> bool {
    let names = |manifest: &str, line: &str| {
        std::fs::read_to_string(folder.join(manifest))
            .is_ok_and(|text| text.lines().any(|found| found == line))
    };
    names("body/contract/Cargo.toml", "name = \"cbs\"")
        && names("body/Cargo.toml", "name = \"body\"")
}

/// Returns the path without `.` and `..`. Links are followed as far as the path exists.
pub(super) fn absolute(path: &Path) -> Result<PathBuf, Failure> {
    let absolute = std::path::absolute(path)
        .map_err(|error| Failure::failed(format_args!("{}: {error}", path.display())))?;
    // What is to be made does not exist yet: its nearest folder that does is followed.
    for there in absolute.ancestors() {
        if let Ok(followed) = there.canonicalize() {
            let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
            return Ok(rest.components().fold(followed, |path, part| match part {
                Component::ParentDir => path.parent().map(Path::to_owned).unwrap_or_default(),
                part => path.join(part),
            }));
        }
    }
    Ok(absolute)
}

/// Returns the path from one folder to another for a manifest: relative within one checkout, else
/// absolute. Both folders are absolute and without links.
pub(super) fn way(from: &Path, to: &Path, root: &Path) -> String {
    match from.strip_prefix(root) {
        Ok(down) => {
            let up = down.components().map(|_| "..");
            let rest = to
                .strip_prefix(root)
                .unwrap_or(to)
                .components()
                .map(|part| part.as_os_str().to_string_lossy());
            up.map(Into::into).chain(rest).collect::<Vec<_>>().join("/")
        }
        Err(_) => to.to_string_lossy().into_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_way_is_relative_within_the_checkout_and_absolute_from_outside() {
        let way = |from: &str| {
            way(Path::new(from), Path::new("/code/cbs/body/contract"), Path::new("/code/cbs"))
        };
        assert_eq!(way("/code/cbs/cells/logic_shout"), "../../body/contract");
        assert_eq!(way("/home/ada/cells/logic_shout"), "/code/cbs/body/contract");
    }

    #[test]
    fn this_is_a_checkout_and_the_root_is_none() {
        assert!(is_checkout(Path::new(BUILT_IN).parent().unwrap()));
        assert!(!is_checkout(Path::new("/")));
    }
}
