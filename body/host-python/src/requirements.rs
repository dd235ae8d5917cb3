//! What a cell asks for beside its file: `requirements.txt`, or the dependencies in `pyproject.toml`.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{
    environment::{EnvironmentError, Packages, ensure, folder, short_hash},
    interpreter::BUILT,
};

/// Prints the dependencies of a `pyproject.toml`, one a line.
const DEPENDENCIES: &str = "import sys, tomllib; project = tomllib.load(open(sys.argv[1], 'rb')).get('project', {}); \
                            print('\\n'.join(project.get('dependencies', [])))";
/// What every environment has in any case, and what the program brings itself.
const OURS: [&str; 3] = ["cbs-sdk", "cbs_sdk", "msgspec"];

/// What a cell needs that its body's environment may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Requirements {
    /// The file that says so.
    pub(crate) file: PathBuf,
    /// As pip reads them, one a line.
    lines: Vec<String>,
}

impl Requirements {
    /// What is asked for beside this file; `None`: nothing, or only what every environment has.
    pub(crate) fn beside(file: &Path) -> Result<Option<Self>, String> {
        let folder = file.parent().unwrap_or(Path::new("."));
        let (named, project) = (folder.join("requirements.txt"), folder.join("pyproject.toml"));
        let (file, text) = match fs::read_to_string(&named) {
            Ok(text) => (named, text),
            Err(error) if error.kind() == io::ErrorKind::NotFound && project.is_file() => {
                let text = dependencies(&project)?;
                (project, text)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(format!("{}: {error}", named.display())),
        };
        let asked = |line: &&str| !line.is_empty() && !line.starts_with('#') && !is_ours(line);
        let lines: Vec<_> = text.lines().map(str::trim).filter(asked).map(str::to_owned).collect();
        Ok((!lines.is_empty()).then_some(Self { file, lines }))
    }

    /// An environment that has it all, made if it is not there. Returns its site-packages. Blocks.
    pub(crate) fn install(&self) -> Result<PathBuf, EnvironmentError> {
        let text = self.lines.join("\n");
        let place = folder().join(format!("requirements-{}", short_hash(text.as_bytes())));
        let from = self.file.parent().map(Path::to_owned).filter(|folder| !folder.as_os_str().is_empty());
        ensure(&place, &Packages { lines: &self.lines, from: from.as_deref() })
    }
}

fn is_ours(line: &str) -> bool {
    let name = line.split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c)).next().unwrap_or_default();
    OURS.contains(&name.to_ascii_lowercase().as_str())
}

fn dependencies(project: &Path) -> Result<String, String> {
    let wrong = |reason: &dyn std::fmt::Display| format!("{}: {reason}", project.display());
    let mut command = Command::new(BUILT.executable);
    let output = command.args(["-I", "-S", "-X", "utf8", "-c", DEPENDENCIES]).arg(project).output();
    let output = output.map_err(|error| wrong(&error))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(wrong(&said.lines().last().unwrap_or("it cannot be read")))
}
