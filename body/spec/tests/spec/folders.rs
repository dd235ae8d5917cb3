//! Paths: files, folders, and files that hold no specs.

use std::{fs, path::Path};

use spec::{Error, Options};

use crate::support::{cell, diagnostics, places};

fn write(root: &Path, file: &str, text: impl AsRef<[u8]>) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn named(name: &str) -> String {
    cell("").replace("price", name)
}

#[test]
fn a_folder_is_read_with_its_cells_and_flows_and_nothing_deeper() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    for (file, name) in
        [("b.yaml", "a"), ("a.yml", "b"), ("cells/c.yaml", "c"), ("flows/d.yaml", "d")]
    {
        write(root, file, named(name));
    }
    for file in ["cells/deeper/e.yaml", "variants/f.yaml", "g.json", "README.md", ".h.yaml"] {
        write(root, file, "not: read");
    }
    let specs = spec::load(&[root.to_owned()], &Options::default()).unwrap();
    let files: Vec<_> = specs
        .files()
        .iter()
        .map(|file| file.strip_prefix(root).unwrap().to_str().unwrap())
        .collect();
    assert_eq!(files, ["a.yml", "b.yaml", "cells/c.yaml", "flows/d.yaml"]);
    assert_eq!(specs.cells().len(), 4);
}

#[test]
fn a_file_given_twice_is_read_once() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "cells/a.yaml", named("a"));
    let paths = [root.path().to_owned(), root.path().join("cells/../cells/a.yaml")];
    assert_eq!(spec::load(&paths, &Options::default()).unwrap().files().len(), 1);
}

#[test]
fn missing_paths_are_an_error_of_their_own_that_names_them_all() {
    let root = tempfile::tempdir().unwrap();
    let paths = ["no.yaml", "none"].map(|name| root.path().join(name));
    let error = spec::load(&paths, &Options::default()).unwrap_err();
    assert!(error.diagnostics().is_none());
    let Error::Paths(missing) = &error else { panic!("{error}") };
    assert_eq!(missing.iter().map(|missing| missing.path.clone()).collect::<Vec<_>>(), paths);
    assert!(error.to_string().starts_with("there is no file or folder `"), "{error}");
}

#[test]
fn an_empty_folder_is_a_mistake_and_so_is_an_empty_file() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("empty");
    fs::create_dir(&folder).unwrap();
    write(root.path(), "empty.yaml", "");
    let found = diagnostics(spec::load(
        &[folder.clone(), root.path().join("empty.yaml")],
        &Options::default(),
    ));
    assert_eq!(places(&found), [("spec-empty", 1, 1), ("spec-empty", 1, 1)]);
    assert_eq!(
        found[0].to_string(),
        format!(
            "{}: there are no specs in this folder [spec-empty]\nhint: put them in as *.yaml, or into its folders cells and flows",
            folder.display()
        )
    );
}

#[test]
fn what_is_no_text_is_a_mistake_and_the_other_files_are_read() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.yaml", [b"kind: Cell\nname: ".as_slice(), &[0xff, 0xfe]].concat());
    write(root.path(), "b.yaml", vec![b'#'; (1 << 20) + 1]);
    write(root.path(), "c.yaml", cell("  queu: 1"));
    fs::create_dir(root.path().join("d.yaml")).unwrap();
    std::os::unix::fs::symlink("nowhere", root.path().join("e.yaml")).unwrap();
    let found = diagnostics(spec::load(&[root.path().to_owned()], &Options::default()));
    let mut codes: Vec<_> = found.iter().map(|mistake| mistake.code).collect();
    codes.sort_unstable();
    assert_eq!(codes, ["spec-not-text", "spec-too-large", "spec-unknown-field", "spec-unreadable"]);
    assert!(found.iter().any(|mistake| mistake.message.contains("line 2")), "{found:#?}");
}

#[test]
fn mistakes_come_in_the_order_of_files_and_places() {
    let root = tempfile::tempdir().unwrap();
    write(root.path(), "a.yaml", [0xff]);
    write(root.path(), "b.yaml", cell("  b: 1\n  a: 1"));
    write(root.path(), "c.yaml", [0xff]);
    let found = diagnostics(spec::load(&[root.path().to_owned()], &Options::default()));
    let found: Vec<_> = found
        .iter()
        .map(|mistake| (mistake.file.file_name().unwrap().to_str().unwrap(), mistake.line))
        .collect();
    assert_eq!(found, [("a.yaml", 1), ("b.yaml", 6), ("b.yaml", 7), ("c.yaml", 1)]);
}

#[test]
fn a_byte_order_mark_is_no_mistake() {
    assert_eq!(diagnostics(crate::support::load(&format!("\u{feff}{}", cell("")))), []);
}

/// The notes of a load, as `file code`.
fn noted(root: &Path, notes: &[spec::Diagnostic]) -> Vec<String> {
    notes
        .iter()
        .map(|note| format!("{} {}", note.file.strip_prefix(root).unwrap().display(), note.code))
        .collect()
}

#[test]
fn a_file_that_was_found_and_is_no_spec_is_passed_over_with_a_note() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(root, "a.yaml", named("a"));
    write(root, "docker-compose.yml", "services:\n  cbs:\n    image: cbs/app:1\n");
    write(root, "k8s.yaml", "apiVersion: apps/v1\nkind: Deployment\n# apiVersion: cbs/v1alpha1\n");
    write(
        root,
        "off.yaml",
        named("off").lines().map(|line| format!("# {line}\n")).collect::<String>(),
    );
    write(
        root,
        "cells/b.yaml",
        named("b").replace("apiVersion: cbs", "\"apiVersion\" : 'cbs").replace("alpha1", "alpha1'"),
    );
    let specs = spec::load(&[root.to_owned()], &Options::default()).unwrap();
    assert_eq!(specs.cells().len(), 2);
    let passed =
        ["docker-compose.yml", "k8s.yaml", "off.yaml"].map(|file| format!("{file} spec-foreign"));
    assert_eq!(noted(root, specs.notes()), passed);
    // Named, it is a mistake, and so is a folder that has nothing else.
    assert!(spec::load(&[root.join("k8s.yaml")], &Options::default()).is_err());
    fs::remove_file(root.join("a.yaml")).unwrap();
    fs::remove_dir_all(root.join("cells")).unwrap();
    let error = spec::load(&[root.to_owned()], &Options::default()).unwrap_err();
    let mistakes = error.diagnostics().unwrap();
    assert_eq!(places(&mistakes.iter().cloned().collect::<Vec<_>>()), [("spec-empty", 1, 1)]);
    assert_eq!(noted(root, mistakes.notes()), passed);
    let growing = Options { allow_empty: true, ..Options::default() };
    assert_eq!(spec::load(&[root.to_owned()], &growing).unwrap().cells().len(), 0);
}

#[test]
fn folders_with_specs_that_are_not_read_are_told() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(root, "cells/a.yaml", named("a"));
    for file in [
        "cells/billing/b.yaml",
        "flows/more/c.yml",
        "other/d.yaml",
        ".git/e.yaml",
        "cells/far/below/f.yaml",
    ] {
        write(root, file, named("b"));
    }
    write(root, "charts/values.yaml", "image: x");
    let unread =
        ["cells/billing", "flows/more", "other"].map(|folder| format!("{folder} spec-not-read"));
    let specs = spec::load(&[root.to_owned()], &Options::default()).unwrap();
    assert_eq!(noted(root, specs.notes()), unread);
    let specs = spec::load(&[root.to_owned(), root.join("other")], &Options::default()).unwrap();
    assert_eq!(noted(root, specs.notes()), &unread[..2]);
}

#[test]
fn a_fifo_that_is_found_is_passed_over_with_a_note_and_one_that_is_named_is_read() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path();
    write(root, "a.yaml", named("a"));
    fs::create_dir(root.join("deeper")).unwrap();
    for fifo in ["p.yaml", "deeper/q.yaml"] {
        assert!(
            std::process::Command::new("mkfifo").arg(root.join(fifo)).status().unwrap().success()
        );
    }
    let specs = spec::load(&[root.to_owned()], &Options::default()).unwrap();
    assert_eq!(specs.cells().len(), 1);
    assert_eq!(noted(root, specs.notes()), ["p.yaml spec-no-file"]);
    // As a shell's `<(…)` is.
    let path = root.join("p.yaml");
    let text = fs::read(root.join("a.yaml")).unwrap();
    let writer = std::thread::spawn({
        let path = path.clone();
        move || fs::write(path, text)
    });
    assert_eq!(spec::load(&[path], &Options::default()).unwrap().cells().len(), 1);
    writer.join().unwrap().unwrap();
}
