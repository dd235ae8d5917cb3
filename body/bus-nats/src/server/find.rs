//! Search for the nats-server program.

use std::{
    ffi::OsString,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// The program's file name.
const PROGRAM: &str = "nats-server";

/// Error: there is no nats-server on this machine, or not where the environment says. One line that
/// says what to do.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFound {
    /// `CBS_NATS_SERVER` does not name a program.
    #[error("no program at {0}: set CBS_NATS_SERVER to the path of a nats-server, or unset it")]
    Named(PathBuf),
    /// It is neither in the tools cache nor on PATH.
    #[error(
        "no nats-server: run `deploy/setup.sh`, put a nats-server 2.12 or newer on PATH, or its path into CBS_NATS_SERVER"
    )]
    Nowhere,
}

/// Finds nats-server: `CBS_NATS_SERVER`, then the per-user tools cache that `deploy/setup.sh` fills
/// (`$CBS_TOOLS`, else `cbs/tools` in the user's cache folder), then PATH.
///
/// # Errors
/// [`NotFound`] says what to do. A wrong `CBS_NATS_SERVER` is an error; the search does not go on.
pub fn find() -> Result<PathBuf, NotFound> {
    find_with(|name| std::env::var_os(name))
}

fn find_with(environment: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, NotFound> {
    // As in the shell's `${NAME:-…}`, an empty variable is one that is not set.
    let variable = |name: &str| environment(name).filter(|value| !value.is_empty());
    if let Some(named) = variable("CBS_NATS_SERVER").map(PathBuf::from) {
        return if is_program(&named) { Ok(named) } else { Err(NotFound::Named(named)) };
    }
    let cache = variable("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
    let tools = variable("CBS_TOOLS")
        .map(PathBuf::from)
        .or_else(|| cache.map(|cache| cache.join("cbs/tools")));
    let path = variable("PATH").unwrap_or_default();
    tools
        .map(|tools| tools.join("bin"))
        .into_iter()
        .chain(std::env::split_paths(&path).filter(|folder| !folder.as_os_str().is_empty()))
        .map(|folder| folder.join(PROGRAM))
        .find(|file| is_program(file))
        .ok_or(NotFound::Nowhere)
}

fn is_program(file: &Path) -> bool {
    file.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, fs};

    use super::*;

    /// A folder with a program `nats-server` in each of the named folders.
    fn machine(folders: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in folders {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let file = folder.join(PROGRAM);
            fs::write(&file, "").unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        }
        root
    }

    fn find_in(root: &Path, environment: &[(&str, &str)]) -> Result<String, NotFound> {
        let environment: HashMap<_, _> = environment
            .iter()
            .map(|(name, value)| (*name, value.replace('~', root.to_str().unwrap())))
            .collect();
        let found = find_with(|name| environment.get(name).map(OsString::from))?;
        Ok(found.strip_prefix(root).unwrap().to_str().unwrap().to_owned())
    }

    #[test]
    fn the_variable_comes_first_then_the_cache_then_path() {
        let root = machine(&[
            "own",
            "home/.cache/cbs/tools/bin",
            "xdg/cbs/tools/bin",
            "tools/bin",
            "path",
        ]);
        let all = [
            ("CBS_NATS_SERVER", "~/own/nats-server"),
            ("CBS_TOOLS", "~/tools"),
            ("XDG_CACHE_HOME", "~/xdg"),
            ("HOME", "~/home"),
            ("PATH", "~/nothing:~/path"),
        ];
        let places = [
            "own/nats-server",
            "tools/bin/nats-server",
            "xdg/cbs/tools/bin/nats-server",
            "home/.cache/cbs/tools/bin/nats-server",
            "path/nats-server",
        ];
        for (known, place) in places.iter().enumerate() {
            assert_eq!(find_in(root.path(), &all[known..]).as_deref(), Ok(*place));
        }
        assert_eq!(find_in(root.path(), &[]), Err(NotFound::Nowhere));
    }

    #[test]
    fn a_wrong_variable_is_an_error_and_an_empty_one_is_none() {
        let root = machine(&["path"]);
        let wrong = find_in(root.path(), &[("CBS_NATS_SERVER", "/nowhere"), ("PATH", "~/path")]);
        assert_eq!(wrong, Err(NotFound::Named("/nowhere".into())));
        let empty = find_in(root.path(), &[("CBS_NATS_SERVER", ""), ("PATH", "~/path")]);
        assert_eq!(empty.as_deref(), Ok("path/nats-server"));
    }

    #[test]
    fn a_file_that_cannot_be_run_is_passed_over() {
        let root = machine(&["first", "second"]);
        fs::set_permissions(
            root.path().join("first/nats-server"),
            fs::Permissions::from_mode(0o644),
        )
        .unwrap();
        assert_eq!(
            find_in(root.path(), &[("PATH", "~/first:~/second")]).as_deref(),
            Ok("second/nats-server")
        );
    }
}
