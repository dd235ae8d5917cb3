//! Loads specs from paths.

use std::path::PathBuf;

use crate::{
    Diagnostic, Diagnostics, Error, Specs,
    across::{self, FileRead},
    code, files,
    findings::Findings,
    read::{self, Context, Document, Spec},
    schema::Schemas,
    source::SourceSpan,
    yaml,
};

/// Options of a load.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The folder of schemas; `None`: the nearest folder `schemas` in or above each spec's folder.
    pub schemas: Option<PathBuf>,
    /// True if flows may call cells and flows that no spec declares: they run on another body.
    pub allow_remote: bool,
    /// True if a folder may have no specs.
    pub allow_empty: bool,
    /// Schemas that are linked into the program, `("demo/v1/Name", json)`. Such a schema is used if
    /// the folder has none of that name.
    pub embedded_schemas: &'static [(&'static str, &'static str)],
}

/// Reads and checks all specs of some files and folders.
///
/// Of a folder `DIR` the files `DIR/*.yaml`, `DIR/cells/*.yaml` and `DIR/flows/*.yaml` are read
/// (`.yml` too, hidden files not) and nothing deeper; of these, files without `apiVersion: cbs/…`
/// are passed over. A file given twice is read once. Files that are not read are in the
/// [`notes`](Specs::notes).
///
/// # Errors
/// [`Error::Paths`] where a given path is not there; else [`Error::Mistakes`] with every mistake
/// of every file.
pub fn load(paths: &[PathBuf], options: &Options) -> Result<Specs, Error> {
    let mut found = files::find(paths);
    if options.allow_empty {
        found.diagnostics.clear();
    }
    if !found.errors.is_empty() {
        return Err(Error::Paths(found.errors));
    }
    let mut files = Vec::new();
    let mut texts = Vec::new();
    let mut notes = found.notes;
    for file in found.files {
        if !file.is_named && files::is_special(&file.path) {
            notes.push(files::special(&file.path));
            continue;
        }
        let findings = files::read(&file.path);
        if file.is_named || findings.count() > 0 || files::is_spec(&findings.source.text) {
            files.push(file.path);
            texts.push(findings);
        } else {
            notes.push(files::foreign(&file.path));
        }
    }
    let mut diagnostics = found.diagnostics;
    let is_bare =
        |folder: &PathBuf| folder.is_dir() && !files.iter().any(|file| file.starts_with(folder));
    if files.is_empty() && diagnostics.is_empty() && !options.allow_empty {
        diagnostics
            .extend(paths.iter().filter(|path| is_bare(path)).map(|path| files::empty(path)));
    }
    check(files, texts, Report { diagnostics, notes }, options)
}

/// Reads and checks specs from texts in memory, for example linked into the program.
///
/// The file names are for messages, and for paths that specs name relative to their own file.
///
/// # Errors
/// [`Error::Mistakes`] with every mistake of every text.
pub fn load_texts<'a>(
    texts: impl IntoIterator<Item = (PathBuf, &'a str)>,
    options: &Options,
) -> Result<Specs, Error> {
    let texts =
        texts.into_iter().map(|(file, text)| (files::text(&file, text.as_bytes().to_vec()), file));
    let (texts, files) = texts.unzip();
    check(files, texts, Report::default(), options)
}

/// Mistakes and notes that are known before the texts are read.
#[derive(Default)]
struct Report {
    diagnostics: Vec<Diagnostic>,
    notes: Vec<Diagnostic>,
}

fn check(
    files: Vec<PathBuf>,
    texts: Vec<Findings>,
    report: Report,
    options: &Options,
) -> Result<Specs, Error> {
    let Report { mut diagnostics, notes } = report;
    let schemas = Schemas::new(options);
    let reads: Vec<FileRead> =
        texts.into_iter().map(|findings| documents(findings, &schemas)).collect();
    across::check(&reads, options.allow_remote);
    let mut specs = Specs { files, notes, ..Specs::default() };
    for FileRead { findings, documents } in reads {
        diagnostics.extend(findings.into_sorted());
        for spec in documents.into_iter().filter_map(|document| document.spec) {
            match spec {
                Spec::Cell(cell) => drop(specs.cells.insert(cell.name.clone(), cell)),
                Spec::Flow(flow) => drop(specs.flows.insert(flow.name.clone(), flow)),
            }
        }
    }
    if diagnostics.is_empty() {
        Ok(specs)
    } else {
        let cells = specs.cells.into_values().collect();
        Err(Error::Mistakes(Diagnostics { list: diagnostics, notes: specs.notes, cells }))
    }
}

/// Reads the documents of one file.
fn documents(findings: Findings, schemas: &Schemas) -> FileRead {
    if findings.count() > 0 {
        return FileRead { findings, documents: Vec::new() };
    }
    let roots = yaml::documents(&findings);
    if roots.is_empty() && findings.count() == 0 {
        let hint = "a spec begins with `apiVersion: cbs/v1alpha1` and `kind: Cell` or `kind: Flow`"
            .to_owned();
        findings.add(SourceSpan::default(), code::EMPTY, "there is no spec in this file", hint);
    }
    let context = Context { findings: &findings, schemas };
    let documents: Vec<Document> = roots.iter().map(|root| read::document(root, context)).collect();
    FileRead { findings, documents }
}
