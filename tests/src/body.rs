//! A body that a story will start: a program, its specs, its arguments.

use std::path::{Path, PathBuf};

use crate::{World, greeting_specs};

/// A body that is not started yet.
#[derive(Clone, Debug)]
pub struct Body {
    id: String,
    /// The program; `None` stands for `cbs`.
    program: Option<PathBuf>,
    /// Files by their path below the body's own folder of specs.
    files: Vec<(String, String)>,
    folders: Vec<PathBuf>,
    arguments: Vec<String>,
}

impl Body {
    /// `cbs up specs` with the greeting's specs.
    #[must_use]
    pub fn greeting(id: &str) -> Self {
        Self { folders: vec![greeting_specs()], ..Self::empty(id, None) }
    }

    /// A program that has `cbs`'s commands and cells of its own, without any spec yet.
    #[must_use]
    pub fn of(program: &str, id: &str) -> Self {
        Self::empty(id, Some(program.into()))
    }

    /// `cbs up` with the specs of this folder.
    #[must_use]
    pub fn of_specs(id: &str, folder: &Path) -> Self {
        Self { folders: vec![folder.to_owned()], ..Self::empty(id, None) }
    }

    /// `cbs up` without any spec yet.
    #[must_use]
    pub fn without_files(id: &str) -> Self {
        Self::empty(id, None)
    }

    fn empty(id: &str, program: Option<PathBuf>) -> Self {
        Self {
            id: id.to_owned(),
            program,
            files: Vec::new(),
            folders: Vec::new(),
            arguments: Vec::new(),
        }
    }

    /// Adds a Rust cell; `more` are further fields of its spec, as YAML in one line without braces.
    #[must_use]
    pub fn cell(mut self, name: &str, more: &str) -> Self {
        let comma = if more.is_empty() { "" } else { ", " };
        let text = format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec: {{ runtime: rust{comma}{more} }}\n"
        );
        self.files.push((format!("cells/{name}.yaml"), text));
        self
    }

    /// Adds a flow; `spec` is the YAML below `spec:`, in one line.
    #[must_use]
    pub fn flow(mut self, name: &str, spec: &str) -> Self {
        let text = format!(
            "apiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: {name} }}\nspec: {{ {spec} }}\n"
        );
        self.files.push((format!("flows/{name}.yaml"), text));
        self
    }

    /// Adds a file to the specs, with any content.
    #[must_use]
    pub fn file(mut self, path: &str, text: &str) -> Self {
        self.files.push((path.to_owned(), text.to_owned()));
        self
    }

    /// Adds arguments for `up`.
    #[must_use]
    pub fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// The body's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the body's specs and returns the command that runs it.
    pub fn command(&self, world: &World) -> tokio::process::Command {
        let mut command = match &self.program {
            Some(program) => world.command(Path::new(program)),
            None => world.cbs(&[]),
        };
        command.arg("up").args(&self.folders);
        for (path, text) in &self.files {
            world.write(&format!("{}/{path}", self.id), text);
        }
        if !self.files.is_empty() {
            command.arg(&self.id);
        }
        command.args(["--body", &self.id]).args(&self.arguments);
        command
    }
}
