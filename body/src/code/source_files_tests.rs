use std::{error::Error, os::unix::fs::symlink};

use super::*;
use crate::bundle::Bundle;

type Checked = Result<(), Box<dyn Error>>;

fn source_files(folder: &Path, spec: &str) -> Result<SourceFiles, Box<dyn Error>> {
    let text = format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: demo.cell }}\nspec: {{ {spec} }}\n"
    );
    let specs =
        spec::load_texts([(folder.join("cell.yaml"), text.as_str())], &spec::Options::default())?;
    let spec = specs.cells().next().ok_or("a cell")?;
    Ok(SourceFiles::of(spec).ok_or("a cell that is not linked in")??)
}

/// Returns the reason why the cell cannot be packed.
fn refused(folder: &Path, spec: &str) -> String {
    source_files(folder, spec).err().map(|error| error.to_string()).unwrap_or_default()
}

fn write(folder: &Path, path: &str, text: &str) -> io::Result<PathBuf> {
    let path = folder.join(path);
    fs::create_dir_all(model::folder_of(&path))?;
    fs::write(&path, text)?;
    Ok(path)
}

/// Returns the paths relative to a folder.
fn places(source_files: &SourceFiles, folder: &Path) -> Vec<String> {
    let place = |place: &Path| place.strip_prefix(folder).unwrap_or(place).display().to_string();
    source_files.items().map(|(at, _)| place(at)).collect()
}

const PYTHON: &str = "runtime: python, source: 'cell/a.py:f'";
const DART: &str = "runtime: dart, source: house/cell/bin/main.dart";

#[test]
fn all_of_a_cells_folder_travels_but_what_others_made_or_is_hidden_and_specs() -> Checked {
    let folder = tempfile::tempdir()?;
    let travels =
        ["a.py", "data/table.csv", "deep/er/model.bin", "fast.so", "notes.md", "settings.yaml"];
    let stays = [
        ".env",
        ".git/config",
        "__pycache__/a.pyc",
        "a.py~",
        "big/x.csv",
        "build/x",
        "env/pyvenv.cfg",
        "env/lib/x.py",
        "node_modules/x.js",
        "old.pyc",
        "raw.csv",
    ];
    for path in travels.iter().chain(&stays) {
        write(folder.path(), &format!("cell/{path}"), "1")?;
    }
    write(folder.path(), "cell/.cbsignore", "# Not needed.\nraw.csv\nbig/\n")?;
    write(folder.path(), "cell/other.yaml", "# A spec.\napiVersion: cbs/v1alpha1\nkind: Cell\n")?;
    write(folder.path(), "elsewhere.py", "1")?;
    assert_eq!(places(&source_files(folder.path(), PYTHON)?, &folder.path().join("cell")), travels);
    Ok(())
}

#[cfg(feature = "python")]
#[test]
fn what_a_python_cells_requirements_name_travels_too() -> Checked {
    let folder = tempfile::tempdir()?;
    for path in
        ["cell/a.py", "base.txt", "lib/pyproject.toml", "lib/lib.py", "cell/.hidden/limits.txt"]
    {
        write(folder.path(), path, "")?;
    }
    write(
        folder.path(),
        "cell/requirements.txt",
        "-r ../base.txt\n-c .hidden/limits.txt\n../lib\n",
    )?;
    let travels = [
        "../base.txt",
        "../lib/lib.py",
        "../lib/pyproject.toml",
        ".hidden/limits.txt",
        "a.py",
        "requirements.txt",
    ];
    assert_eq!(places(&source_files(folder.path(), PYTHON)?, &folder.path().join("cell")), travels);
    write(folder.path(), "cell/requirements.txt", "-r ../nowhere.txt\n")?;
    assert!(refused(folder.path(), PYTHON).contains("requirements.txt:1: there is no file "));
    Ok(())
}

#[test]
fn links_may_lead_within_the_folder_alone() -> Checked {
    let folder = tempfile::tempdir()?;
    write(folder.path(), "cell/a.py", "1")?;
    write(folder.path(), "secret", "1")?;
    symlink("a.py", folder.path().join("cell/b.py"))?;
    symlink("nowhere", folder.path().join("cell/c.py"))?;
    assert_eq!(
        places(&source_files(folder.path(), PYTHON)?, &folder.path().join("cell")),
        ["a.py", "b.py"]
    );
    symlink("../secret", folder.path().join("cell/d.py"))?;
    assert!(
        refused(folder.path(), PYTHON).contains("d.py is a link out of the cell's folder, to ")
    );
    fs::remove_file(folder.path().join("cell/d.py"))?;
    symlink("..", folder.path().join("cell/up"))?;
    assert!(refused(folder.path(), PYTHON).contains("up is a link out of the cell's folder"));
    fs::remove_file(folder.path().join("cell/up"))?;
    Ok(())
}

#[test]
fn a_link_to_a_folder_that_it_stands_in_is_told_as_such() -> Checked {
    let folder = tempfile::tempdir()?;
    write(folder.path(), "cell/a.py", "1")?;
    write(folder.path(), "cell/one/b.py", "1")?;
    write(folder.path(), "cell/two/c.py", "1")?;
    for (link, target) in [("round", "."), ("one/up", ".."), ("one/self", "../one")] {
        symlink(target, folder.path().join("cell").join(link))?;
        let reason = refused(folder.path(), PYTHON);
        assert!(
            reason.contains(&format!("{link} is a link to a folder that contains it")),
            "{reason}"
        );
        fs::remove_file(folder.path().join("cell").join(link))?;
    }
    // Two folders that lead to each other; one that leads to another is fine.
    symlink("../two", folder.path().join("cell/one/two"))?;
    source_files(folder.path(), PYTHON)?;
    symlink("../one", folder.path().join("cell/two/one"))?;
    assert!(refused(folder.path(), PYTHON).contains("is a link to a folder that contains it"));
    Ok(())
}

#[test]
fn too_much_is_told_with_what_takes_most() -> Checked {
    let folder = tempfile::tempdir()?;
    write(folder.path(), "cell/a.py", "1")?;
    let large = fs::File::create(folder.path().join("cell/large.bin"))?;
    large.set_len(BUNDLE_BYTES_MAX as u64 + 1)?;
    let reported = refused(folder.path(), PYTHON);
    assert!(
        reported.contains("no more than 64 MiB may; the largest are ")
            && reported.contains("large.bin (65 MiB)"),
        "{reported}"
    );
    assert!(reported.contains(".cbsignore"), "{reported}");
    write(folder.path(), "cell/.cbsignore", "large.bin\n")?;
    assert!(source_files(folder.path(), PYTHON).is_ok());
    for number in 0..FILES_MAX {
        write(folder.path(), &format!("cell/many/{number}"), "")?;
    }
    let reported = refused(folder.path(), PYTHON);
    assert!(
        reported.contains("4001 files travel") && reported.contains(&format!("many ({FILES_MAX})")),
        "{reported}"
    );
    write(folder.path(), "cell/.cbsignore", "!a\n")?;
    assert!(refused(folder.path(), PYTHON).contains(".cbsignore: `!a` is not understood"));
    Ok(())
}

/// Makes a cell in `house/cell` with a package beside it, one that pub fetched, and a file that
/// nothing uses.
fn dart(folder: &Path) -> io::Result<()> {
    let main = "import 'package:near/near.dart';\nimport '../../words.dart';\n/// import 'package:example/a.dart';\n\
                import 'package:cbs/cbs.dart';\nvoid main() => print('$near$word');\n";
    write(folder, "house/cell/pubspec.yaml", "name: greet\nenvironment:\n  sdk: ^3.5.0\n")?;
    write(folder, "house/cell/pubspec_overrides.yaml", "dependency_overrides: {}\n")?;
    write(folder, "house/cell/bin/main.dart", main)?;
    write(folder, "house/cell/data/table.csv", "1")?;
    write(folder, "house/words.dart", "const word = 'word';\n")?;
    write(folder, "house/near/pubspec.yaml", "name: near\n")?;
    let near = "import 'package:far/far.dart';\nconst near = 'near $far ';\n";
    write(folder, "house/near/lib/near.dart", near)?;
    write(folder, "house/near/lib/data.txt", "1")?;
    write(folder, "cache/hosted/pub/far-1.2.3/pubspec.yaml", "name: far\n")?;
    write(folder, "cache/hosted/pub/far-1.2.3/LICENSE", "Yours.\n")?;
    write(folder, "cache/hosted/pub/far-1.2.3/lib/far.dart", "export 'src/far.dart';\n")?;
    write(folder, "cache/hosted/pub/far-1.2.3/lib/src/far.dart", "const far = 'far';\n")?;
    write(folder, "cache/hosted/pub/far-1.2.3/lib/unused.dart", "")?;
    write(folder, "cache/hosted/pub/test-1.0.0/lib/test.dart", "")?;
    let far = folder.join("cache/hosted/pub");
    let packages = json!({ "configVersion": 2, "packages": [
        { "name": "greet", "rootUri": "../", "packageUri": "lib/", "languageVersion": "3.5" },
        { "name": "near", "rootUri": "../../near", "packageUri": "lib/", "languageVersion": "3.4" },
        { "name": "far", "rootUri": format!("file://{}/far-1.2.3", far.display()), "packageUri": "lib/" },
        { "name": "test", "rootUri": format!("file://{}/test-1.0.0", far.display()), "packageUri": "lib/" },
    ] });
    write(folder, "house/cell/.dart_tool/package_config.json", &packages.to_string())?;
    Ok(())
}

#[test]
fn a_dart_cell_takes_along_what_it_imports() -> Checked {
    let folder = tempfile::tempdir()?;
    dart(folder.path())?;
    let packed = source_files(folder.path(), DART)?;
    assert_eq!(
        places(&packed, &folder.path().join("house/cell")),
        [
            "../words.dart",
            ".dart_tool/package_config.json",
            ".dart_tool/packages/far/LICENSE",
            ".dart_tool/packages/far/lib/far.dart",
            ".dart_tool/packages/far/lib/src/far.dart",
            ".dart_tool/packages/far/pubspec.yaml",
            ".dart_tool/packages/near/lib/data.txt",
            ".dart_tool/packages/near/lib/near.dart",
            ".dart_tool/packages/near/pubspec.yaml",
            "bin/main.dart",
            "data/table.csv",
            "pubspec.yaml",
        ]
    );
    let config = packed
        .items()
        .find(|(place, _)| place.ends_with("package_config.json"))
        .ok_or("a configuration")?
        .1;
    let Item::Text(config) = config else { return Err("a text".into()) };
    let config: serde_json::Value = serde_json::from_str(config)?;
    assert_eq!(
        config["packages"][2],
        json!({"name": "near", "rootUri": "packages/near/", "packageUri": "lib/",
        "languageVersion": "3.4"})
    );
    // What changes beside it changes what runs; what pub fetched does not change.
    let code = Code::dart(&folder.path().join("house/cell/bin/main.dart"))?;
    let watched: Vec<_> = code.files.iter().filter_map(|file| file.file_name()).collect();
    assert_eq!(watched, ["near.dart", "words.dart", "main.dart", "pubspec.yaml"]);
    Ok(())
}

#[test]
fn a_package_that_is_not_known_or_not_there_is_told_with_what_to_do() -> Checked {
    let folder = tempfile::tempdir()?;
    dart(folder.path())?;
    fs::remove_file(folder.path().join("house/cell/.dart_tool/package_config.json"))?;
    let reported = refused(folder.path(), DART);
    assert!(
        reported.contains("main.dart: `package:near` is imported, but not found: name it in "),
        "{reported}"
    );
    assert!(reported.ends_with("pubspec.yaml, and run `dart pub get` there"), "{reported}");
    dart(folder.path())?;
    fs::remove_dir_all(folder.path().join("house/near"))?;
    let reported = refused(folder.path(), DART);
    assert!(
        reported.contains("`package:near/near.dart` is not at ")
            && reported.contains("run `dart pub get`"),
        "{reported}"
    );
    Ok(())
}

/// Compiles with a Dart that has no other files than the copied ones.
#[tokio::test]
async fn what_has_arrived_compiles_where_nothing_else_is() -> Checked {
    let here = tempfile::tempdir()?;
    let there = tempfile::tempdir()?;
    dart(here.path())?;
    let mut bundle = Bundle::default();
    let root = here.path().join("house");
    for (place, item) in source_files(here.path(), DART)?.items() {
        let (content, executable) = item.read()?;
        let mut plain = PathBuf::new();
        for part in place.components() {
            if part == Component::ParentDir { _ = plain.pop() } else { plain.push(part) }
        }
        let path = plain.strip_prefix(&root)?.to_str().ok_or("a text")?.to_owned();
        bundle.add(&path, executable, content)?;
    }
    drop(here);
    let arrived = there.path().join("code");
    bundle.unpack(&arrived)?;
    let builder = dart::Builder::new(there.path().join("cache"));
    let soon = builder.prepare_soon(&arrived.join("cell/bin/main.dart")).await?;
    let (program, arguments) = soon.ready.command.split_first().ok_or("a command")?;
    let done = tokio::process::Command::new(program).args(arguments).output().await?;
    assert_eq!(String::from_utf8_lossy(&done.stdout), "near far word\n");
    Ok(())
}

#[test]
fn a_command_takes_along_its_folder_or_the_libraries_that_it_names() -> Checked {
    let folder = tempfile::tempdir()?;
    let files = ["tool/bin/run", "tool/lib/x.so", "tool/node_modules/y.js", "tool/.env", "other/z"];
    for path in files {
        write(folder.path(), path, "1")?;
    }
    let packed = source_files(folder.path(), "runtime: exec, command: [tool/bin/run, -v]")?;
    let folder_of = |packed: &SourceFiles| {
        let mut places = places(packed, folder.path());
        places.retain(|place| !place.starts_with('/'));
        places
    };
    assert_eq!(folder_of(&packed), ["tool/bin/run", "tool/lib/x.so", "tool/node_modules/y.js"]);
    // A program beside its spec, with libraries beside it.
    write(folder.path(), "alone", "\x7fELF … liba.so.1 …")?;
    write(folder.path(), "liba.so.1", "\x7fELF … libb.so …")?;
    for path in ["libb.so", "libc.so", "notes.md"] {
        write(folder.path(), path, "1")?;
    }
    let packed = source_files(folder.path(), "runtime: exec, command: [./alone]")?;
    assert_eq!(folder_of(&packed), ["alone", "liba.so.1", "libb.so"]);
    Ok(())
}

#[test]
fn the_way_from_a_folder_leads_up_and_down() {
    for (folder, file, way) in [
        ("/a/b", "/a/b/c.dart", "c.dart"),
        ("/a/b/c", "/a/d/e.dart", "../../d/e.dart"),
        ("/a", "/b", "../b"),
    ] {
        assert_eq!(from(Path::new(folder), Path::new(file)), Path::new(way));
    }
}
