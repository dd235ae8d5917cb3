//! Shared parts of the Dart tests: a folder for a cell's source, a cache, and a Dart that records
//! its compilations.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{
    error::Error as StdError,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use host_sidecar::dart::{self, Builder, Dart, Ready};
use tempfile::TempDir;
use testkit::{eventually, within};

pub(crate) type Checked = Result<(), Box<dyn StdError>>;

/// Limit of the time for a compilation. It takes a second and a half, on a busy machine far more,
/// because it runs with a low priority.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

fn real_dart() -> Result<Dart, String> {
    dart::find().map_err(|error| format!("{error}; for the tests: deploy/setup.sh lint"))
}

/// Writes a program. Another process writes it, because this one forks in other tests: a program
/// that a child still holds open for writing would not start.
fn program(file: &Path, text: &str) -> Checked {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    let write = ["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"];
    let done = std::process::Command::new("sh").args(write).arg(file).arg(text).status()?;
    if done.success() { Ok(()) } else { Err(format!("{} was not written", file.display()).into()) }
}

/// A folder for a cell's source, a cache, and a Dart that records its compilations.
pub(crate) struct Workshop {
    pub(crate) root: TempDir,
    dart: Dart,
}

impl Workshop {
    /// Makes a workshop whose Dart runs these lines of shell first. In them `$n` is the number of
    /// the compilation, from 1, or 0 if nothing is compiled.
    pub(crate) fn new(before: &str) -> Result<Self, Box<dyn StdError>> {
        let real = real_dart()?;
        let root = tempfile::tempdir()?;
        let path = root.path().join("dart");
        let script = format!(
            "#!/bin/sh\ncd '{}'\nn=0\ncase \"$*\" in *' compile '*) echo x >> asked; n=$(wc -l < asked) ;; esac\n{before}\nexec '{}' \"$@\"\n",
            root.path().display(),
            real.path.display(),
        );
        program(&path, &script)?;
        Ok(Self { root, dart: Dart { path, version: real.version } })
    }

    pub(crate) fn builder(&self) -> Builder {
        Builder::new(self.root.path().join("cache")).with_dart(self.dart.clone())
    }

    pub(crate) fn write(&self, file: &str, text: &str) -> std::io::Result<PathBuf> {
        let file = self.root.path().join(file);
        fs::create_dir_all(file.parent().unwrap_or(&file))?;
        fs::write(&file, text)?;
        Ok(file)
    }

    /// Returns the number of compilations.
    pub(crate) fn compiled(&self) -> usize {
        fs::read_to_string(self.root.path().join("asked")).unwrap_or_default().lines().count()
    }
}

/// Runs the program, and returns its output.
pub(crate) async fn output(ready: &Ready) -> Result<String, Box<dyn StdError>> {
    let (program, arguments) = ready.command.split_first().ok_or("an empty command")?;
    let mut command = tokio::process::Command::new(program);
    let done =
        within(LIMIT, "the program ends", command.args(arguments).kill_on_drop(true).output())
            .await?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

/// Waits for the end of the process whose number the script has written down.
pub(crate) async fn gone(shop: &Workshop) -> Checked {
    let child = fs::read_to_string(shop.root.path().join("child"))?;
    let status = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    // A dead process that nobody has waited for yet is a zombie.
    let is_dead = || fs::read_to_string(&status).map_or(true, |text| text.contains(") Z "));
    eventually("the compiler's child is gone", LIMIT, async || is_dead()).await;
    Ok(())
}
