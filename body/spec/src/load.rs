//! From paths to specs.

use std::path::PathBuf;

use crate::{
    Diagnostic, Diagnostics, Error, Specs,
    across::{self, FileRead},
    code, files,
    findings::Findings,
    read::{self, Context, Document, Spec},
    schema::Schemas,
    source::Span,
    yaml,
};

/// How specs are loaded.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder of schemas; `None`: the nearest folder `schemas` in or above each spec's folder.
    pub schemas: Option<PathBuf>,
    /// Whether flows may call what no spec declares: it runs elsewhere.
    pub allow_remote: bool,
    /// Schemas that are linked into the program, `("demo/v1/Name", json)`: taken where the
    /// folder has none of that name.
    pub embedded_schemas: &'static [(&'static str, &'static str)],
}

/// Reads and checks all specs of some files and folders.
///
/// Of a folder `DIR` the files `DIR/*.yaml`, `DIR/cells/*.yaml` and `DIR/flows/*.yaml` are read
/// (`.yml` too, hidden files not) and nothing deeper. A file given twice is read once.
///
/// # Errors
/// [`Error::Paths`] where a given path is not there; else [`Error::Mistakes`] with every mistake
/// of every file.
pub fn load(paths: &[PathBuf], options: &Options) -> Result<Specs, Error> {
    let found = files::find(paths);
    if !found.errors.is_empty() {
        return Err(Error::Paths(found.errors));
    }
    let texts = found.files.iter().map(|file| files::read(file)).collect();
    check(found.files, texts, found.diagnostics, options)
}

/// The same for texts that are at hand, for example linked into the program.
///
/// The file names are for messages, and for what specs name relative to their own file.
///
/// # Errors
/// [`Error::Mistakes`] with every mistake of every text.
pub fn load_texts<'a>(texts: impl IntoIterator<Item = (PathBuf, &'a str)>, options: &Options) -> Result<Specs, Error> {
    let texts = texts.into_iter().map(|(file, text)| (files::text(&file, text.as_bytes().to_vec()), file));
    let (texts, files) = texts.unzip();
    check(files, texts, Vec::new(), options)
}

fn check(
    files: Vec<PathBuf>,
    texts: Vec<Findings>,
    mut diagnostics: Vec<Diagnostic>,
    options: &Options,
) -> Result<Specs, Error> {
    let schemas = Schemas::new(options);
    let reads: Vec<FileRead> = texts.into_iter().map(|findings| documents(findings, &schemas)).collect();
    across::check(&reads, options.allow_remote);
    let mut specs = Specs { files, ..Specs::default() };
    for FileRead { findings, documents } in reads {
        diagnostics.extend(findings.into_sorted());
        for spec in documents.into_iter().filter_map(|document| document.spec) {
            match spec {
                Spec::Cell(cell) => drop(specs.cells.insert(cell.name.clone(), cell)),
                Spec::Flow(flow) => drop(specs.flows.insert(flow.name.clone(), flow)),
            }
        }
    }
    if diagnostics.is_empty() { Ok(specs) } else { Err(Error::Mistakes(Diagnostics(diagnostics))) }
}

/// Reads the documents of one file.
fn documents(findings: Findings, schemas: &Schemas) -> FileRead {
    if findings.count() > 0 {
        return FileRead { findings, documents: Vec::new() };
    }
    let roots = yaml::documents(&findings);
    if roots.is_empty() && findings.count() == 0 {
        let hint = "a spec begins with `apiVersion: cbs/v1alpha1` and `kind: Cell` or `kind: Flow`".to_owned();
        findings.add(Span::default(), code::EMPTY, "there is no spec in this file", hint);
    }
    let context = Context { findings: &findings, schemas };
    let documents: Vec<Document> = roots.iter().map(|root| read::document(root, context)).collect();
    FileRead { findings, documents }
}
