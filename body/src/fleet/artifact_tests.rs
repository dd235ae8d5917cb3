use std::{collections::BTreeSet, error::Error, io, os::unix::fs::PermissionsExt};

use super::*;

type Checked = Result<(), Box<dyn Error>>;

const HEAD: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.say }\n";

fn write(folder: &Path, path: &str, text: &str) -> io::Result<PathBuf> {
    let path = folder.join(path);
    fs::create_dir_all(model::folder_of(&path))?;
    fs::write(&path, text)?;
    Ok(path)
}

/// The artifact of the one cell in this file.
fn artifact(file: &Path) -> anyhow::Result<Artifact> {
    let specs = spec::load(&[file.to_owned()], &spec::Options::default())?;
    let cell = specs.cells().next().context("a cell")?;
    Artifact::of_cell(cell)
}

/// Makes a Python cell with a schema beside it, in any folder.
fn python(folder: &Path, text: &str) -> io::Result<PathBuf> {
    write(folder, "cells/say/say.py", text)?;
    write(folder, "cells/say/lib/words.py", "WORD = 1\n")?;
    write(folder, "specs/schemas/demo/v1/Name.json", r#"{"$ref": "Text.json"}"#)?;
    write(folder, "specs/schemas/demo/v1/Text.json", r#"{"type": "string"}"#)?;
    let spec = "spec: { runtime: python, source: '../../cells/say/say.py:say', input: demo/v1/Name, replicas: 3 }\n";
    write(folder, "specs/cells/demo.say.yaml", &format!("{HEAD}{spec}"))
}

#[test]
fn a_cell_is_loaded_anywhere_from_its_parcel_alone() -> Checked {
    let here = tempfile::tempdir()?;
    let there = tempfile::tempdir()?;
    let artifact = artifact(&python(here.path(), "1\n")?)?;
    drop(here);
    let bundle = artifact.bundle.ok_or("a bundle")?;
    let root = there.path().join("code");
    Bundle::decode(bundle.hash, &bundle.bytes)?.unpack(&root)?;
    assert_eq!(fs::read_to_string(root.join("cells/say/lib/words.py"))?, "WORD = 1\n");
    let document = SpecDocument::read(&artifact.spec.bytes)?;
    let Deployed::Cell(cell) = document.load(&root, &there.path().join("schemas"))? else {
        return Err("a cell".into());
    };
    let input = cell.input.as_ref().ok_or("a schema")?;
    assert!(input.accepts(&"x".into()) && !input.accepts(&1.into()));
    assert_eq!(artifact.entry.replicas, model::Replicas::Count(3));
    Ok(())
}

#[test]
fn a_parcel_is_the_same_from_every_folder_and_its_revision_follows_code_and_schemas_alone()
-> Checked {
    let folders = [tempfile::tempdir()?, tempfile::tempdir()?];
    let [one, two] =
        folders.each_ref().map(|folder| python(folder.path(), "1\n").map(|file| artifact(&file)));
    let (one, two) = (one??, two??);
    assert_eq!((one.spec.hash, &one.entry), (two.spec.hash, &two.entry));
    let there = folders[1].path();
    let file = there.join("specs/cells/demo.say.yaml");
    // Where it runs, and how the file looks.
    let text = fs::read_to_string(&file)?.replace("replicas: 3", "replicas: 4") + "# a word\n";
    fs::write(&file, text)?;
    let placed = artifact(&file)?;
    assert_ne!(placed.spec.hash, one.spec.hash);
    assert_eq!(placed.entry.version.revision, one.entry.version.revision);
    // The code, and a schema that a schema refers to.
    write(there, "cells/say/lib/words.py", "WORD = 2\n")?;
    let coded = artifact(&file)?;
    assert_ne!(coded.entry.version.revision, placed.entry.version.revision);
    write(there, "specs/schemas/demo/v1/Text.json", r#"{"type": "number"}"#)?;
    assert_ne!(artifact(&file)?.entry.version.revision, coded.entry.version.revision);
    Ok(())
}

#[test]
fn one_document_of_several_travels() -> Checked {
    let folder = tempfile::tempdir()?;
    let cell = |name: &str| HEAD.replace("demo.say", name) + "spec: { runtime: rust }\n";
    let text = format!(
        "# first\n{}---\n# second\n{}...\n--- # third\n{}",
        cell("demo.a"),
        cell("demo.b"),
        cell("demo.c")
    );
    let file = write(folder.path(), "all.yaml", &text)?;
    let specs = spec::load(&[file], &spec::Options::default())?;
    for cell in specs.cells() {
        let artifact = Artifact::of_cell(cell)?;
        let document = SpecDocument::read(&artifact.spec.bytes)?;
        let names: Vec<&str> = ["demo.a", "demo.b", "demo.c"]
            .into_iter()
            .filter(|it| document.text.contains(it))
            .collect();
        assert_eq!(names, [cell.name.as_str()], "{}", document.text);
    }
    Ok(())
}

#[test]
fn a_command_keeps_its_rights_and_its_neighbours() -> Checked {
    let folder = tempfile::tempdir()?;
    let program = write(folder.path(), "run.sh", "#!/bin/sh\n")?;
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    write(folder.path(), "cell.py", "1\n")?;
    let file = write(
        folder.path(),
        "cell.yaml",
        &format!("{HEAD}spec: {{ runtime: exec, command: [./run.sh, cell.py, -v] }}\n"),
    )?;
    let packed = artifact(&file)?;
    let bundle = packed.bundle.ok_or("a bundle")?;
    let root = folder.path().join("there");
    Bundle::decode(bundle.hash, &bundle.bytes)?.unpack(&root)?;
    assert!(root.join("cell.py").is_file());
    assert_eq!(fs::metadata(root.join("run.sh"))?.permissions().mode() & 0o777, 0o700);
    assert_eq!(packed.entry.needs.platforms, BTreeSet::new(), "a script runs anywhere");
    fs::write(&program, b"\x7fELF")?;
    assert_eq!(artifact(&file)?.entry.needs.platforms, BTreeSet::from([crate::fleet::platform()]));
    Ok(())
}

#[test]
fn a_canary_travels_with_its_rules() -> Checked {
    let folder = tempfile::tempdir()?;
    let spec = "spec: { runtime: rust, rollout: { canary: { share: 20%, calls: 7, after: 2s, errors: 3%, slower: 150% } } }\n";
    let file = write(folder.path(), "cell.yaml", &format!("{HEAD}{spec}"))?;
    let rules = model::CanaryRules {
        share: 20,
        calls_min: 7,
        after_ms: 2_000,
        errors_more_max: 3,
        slower_max: 150,
    };
    assert_eq!(artifact(&file)?.entry.rollout, model::Rollout::Canary(rules));
    Ok(())
}

#[test]
fn a_letter_of_a_newer_program_or_one_that_leads_elsewhere_is_refused() -> Checked {
    let document = |format: u32, file: &str| {
        serde_json::json!({ "format": format, "file": file, "text": format!("{HEAD}spec: {{ runtime: rust }}\n") })
            .to_string()
    };
    assert!(SpecDocument::read(document(1, "specs/a.yaml").as_bytes()).is_ok());
    assert!(
        SpecDocument::read(document(2, "specs/a.yaml").as_bytes())
            .is_err_and(|error| error.to_string().contains("newer"))
    );
    for file in ["/etc/a.yaml", "../a.yaml", "a/../../b.yaml", ""] {
        assert!(SpecDocument::read(document(1, file).as_bytes()).is_err(), "{file}");
    }
    let mut stray = SpecDocument::read(document(1, "a.yaml").as_bytes())?;
    stray.schemas.insert("../../stray".to_owned(), "{}".to_owned());
    let folder = tempfile::tempdir()?;
    assert!(stray.load(&folder.path().join("code"), &folder.path().join("a/schemas")).is_err());
    assert!(!folder.path().join("stray.json").exists());
    Ok(())
}
