//! What the tests of Dart share: a folder for a cell's source, a cache, and a Dart that writes down what it is asked for.
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

/// Compiling takes a second and a half, on a busy machine far more: what compiles is nice to everything else.
pub(crate) const LIMIT: Duration = Duration::from_secs(120);

fn real_dart() -> Result<Dart, String> {
    dart::find().map_err(|error| format!("{error}; for the tests: deploy/setup.sh lint"))
}

/// Writes a program. Another process does, for this one forks in other tests: a program that a child of it still holds
/// open for writing would not start.
fn program(file: &Path, text: &str) -> Checked {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    let write = ["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"];
    let done = std::process::Command::new("sh").args(write).arg(file).arg(text).status()?;
    if done.success() { Ok(()) } else { Err(format!("{} was not written", file.display()).into()) }
}

/// A folder for a cell's source, a cache, and a Dart that writes down what it is asked for.
pub(crate) struct Workshop {
    pub(crate) root: TempDir,
    dart: Dart,
}

impl Workshop {
    /// With a Dart that runs these lines of shell before it does as asked. There `$n` is the number of the
    /// compilation, from 1, or 0 where nothing is compiled.
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

    /// How often something was compiled.
    pub(crate) fn compiled(&self) -> usize {
        fs::read_to_string(self.root.path().join("asked")).unwrap_or_default().lines().count()
    }
}

/// Runs what was made, and gives what it wrote.
pub(crate) async fn output(ready: &Ready) -> Result<String, Box<dyn StdError>> {
    let (program, arguments) = ready.command.split_first().ok_or("an empty command")?;
    let mut command = tokio::process::Command::new(program);
    let done = within(LIMIT, "the program ends", command.args(arguments).kill_on_drop(true).output()).await?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    Ok(String::from_utf8(done.stdout)?.trim().to_owned())
}

/// Waits for the end of the process that the script has started and written down.
pub(crate) async fn gone(shop: &Workshop) -> Checked {
    let child = fs::read_to_string(shop.root.path().join("child"))?;
    let status = PathBuf::from(format!("/proc/{}/stat", child.trim()));
    // A dead process that nobody has waited for yet is a zombie.
    let is_dead = || fs::read_to_string(&status).map_or(true, |text| text.contains(") Z "));
    eventually("the compiler's child is gone", LIMIT, async || is_dead()).await;
    Ok(())
}
