//! The decisions before a compiler runs: packages, files, and the entries that a cache keeps.

use std::{
    collections::HashMap,
    error::Error as StdError,
    fs,
    path::{Path, PathBuf},
    time::{Duration, SystemTime},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    Builder, Dart, Error,
    cache::{Cache, Limits, PACKAGES},
    find::find,
    package::{Package, language_version},
    sdk, sources, uri,
};

pub(super) type Checked = Result<(), Box<dyn StdError>>;

pub(super) fn write(file: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    fs::write(file, text)
}

#[test]
fn a_uri_leads_back_to_its_path() {
    for path in ["/a/b.dart", "/with space/ü#?%.dart"] {
        let file = uri::file(Path::new(path));
        assert_eq!(
            uri::path(&file, Path::new("/elsewhere")).as_deref(),
            Some(Path::new(path)),
            "{file}"
        );
    }
    assert_eq!(uri::path("../x%20y/", Path::new("/a/b")), Some(PathBuf::from("/a/b/../x y/")));
    assert_eq!(uri::path("100%", Path::new("/a")), Some(PathBuf::from("/a/100%")));
    assert_eq!(uri::path("dart:io", Path::new("/a")), None);
}

#[test]
fn a_language_version_is_the_lower_bound_of_the_sdk() {
    for (pubspec, version) in [
        ("environment:\n  sdk: ^3.5.0\n", Some("3.5")),
        ("environment: {sdk: '>=3.10.2 <4.0.0'}\n", Some("3.10")),
        ("environment:\n  # sdk: ^2.0.0\n  sdk: \"^3.7.0\" # since records\n", Some("3.7")),
        ("dependencies:\n  flutter:\n    sdk: flutter\n", None),
        ("", None),
    ] {
        assert_eq!(language_version(pubspec).as_deref(), version, "{pubspec}");
    }
}

/// Makes a cell in `<root>/cell` beside a package in `<root>/near`, and returns the source of the
/// cell.
fn cell() -> Result<(TempDir, PathBuf), Box<dyn StdError>> {
    let root = tempfile::tempdir()?;
    let folder = fs::canonicalize(root.path())?;
    write(&folder.join("cell/pubspec.yaml"), "name: greet\nenvironment:\n  sdk: ^3.5.0\n")?;
    let source = folder.join("cell/bin/main.dart");
    write(
        &source,
        "import 'package:greet/greet.dart';\nimport 'package:near/near.dart';\nvoid main() {}\n",
    )?;
    write(&folder.join("cell/lib/greet.dart"), "part 'src/part.dart';\n")?;
    write(&folder.join("cell/lib/src/part.dart"), "part of '../greet.dart';\n")?;
    write(&folder.join("near/lib/near.dart"), "export \"src/deep.dart\";\n")?;
    write(&folder.join("near/lib/src/deep.dart"), "")?;
    write(&folder.join("near/lib/unused.dart"), "")?;
    Ok((root, source))
}

/// Writes the configuration that `dart pub get` would write for the cell, with a `cbs` of its own.
fn got(source: &Path) -> Checked {
    let folder = source.parent().and_then(Path::parent).ok_or("no folder")?;
    let package = |name, root| json!({"name": name, "rootUri": root, "packageUri": "lib/", "languageVersion": "3.4"});
    let packages = [
        package("near", "../../near"),
        package("cbs", "file:///nowhere/cbs"),
        package("greet", "../"),
    ];
    let config = json!({"configVersion": 2, "generated": "today", "packages": packages});
    Ok(write(&folder.join(".dart_tool/package_config.json"), &config.to_string())?)
}

fn packages(package: &Package) -> Result<HashMap<String, (String, String)>, Box<dyn StdError>> {
    let config: Value = serde_json::from_str(&package.config())?;
    let text = |package: &Value, key: &str| package[key].as_str().unwrap_or_default().to_owned();
    let entries = config["packages"].as_array().cloned().unwrap_or_default();
    let entry = |package: &Value| {
        (text(package, "name"), (text(package, "rootUri"), text(package, "languageVersion")))
    };
    Ok(entries.iter().map(entry).collect())
}

#[test]
fn a_package_without_a_configuration_gets_one() -> Checked {
    let (_root, source) = cell()?;
    let package = Package::of(&source, Path::new("/sdk"))?;
    let folder = source.parent().and_then(Path::parent).ok_or("no folder")?;
    let packages = packages(&package)?;
    assert_eq!(packages["greet"], (format!("{}/", uri::file(folder)), "3.5".to_owned()));
    assert_eq!(packages["cbs"].0, "file:///sdk/");
    assert_eq!(packages.len(), 2);
    assert_eq!(package.program_name(&source), "greet");
    assert_eq!(package.program_name(Path::new("/x/say hi!.dart")), "say_hi_");
    Ok(())
}

#[test]
fn a_configuration_of_its_own_is_used_but_cbs_is_built_in() -> Checked {
    let (_root, source) = cell()?;
    got(&source)?;
    let packages = packages(&Package::of(&source, Path::new("/sdk"))?)?;
    assert_eq!(packages["cbs"].0, "file:///sdk/");
    assert!(packages["near"].0.ends_with("/near/"), "{packages:?}");
    assert_eq!(packages["greet"].1, "3.4");
    Ok(())
}

#[test]
fn a_member_of_a_workspace_is_found_in_the_configuration_above() -> Checked {
    let root = tempfile::tempdir()?;
    let folder = fs::canonicalize(root.path())?;
    let source = folder.join("cells/greet/bin/main.dart");
    write(&source, "")?;
    write(&folder.join("cells/greet/pubspec.yaml"), "name: greet\nresolution: workspace\n")?;
    let config = |packages: Value| json!({"configVersion": 2, "packages": packages}).to_string();
    let file = folder.join(".dart_tool/package_config.json");
    let near = json!({"name": "near", "rootUri": "../near", "packageUri": "lib/"});
    write(
        &file,
        &config(
            json!([near, {"name": "greet", "rootUri": "../cells/greet", "packageUri": "lib/"}]),
        ),
    )?;
    assert!(packages(&Package::of(&source, Path::new("/sdk"))?)?.contains_key("near"));
    // A configuration above that does not list the cell belongs to another project.
    write(&file, &config(json!([near])))?;
    assert!(!packages(&Package::of(&source, Path::new("/sdk"))?)?.contains_key("near"));
    Ok(())
}

#[test]
fn what_cannot_be_a_package_is_told_with_its_file() -> Checked {
    let (_root, source) = cell()?;
    let folder = source.parent().and_then(Path::parent).ok_or("no folder")?.to_path_buf();
    let error_of =
        |source: &Path| Package::of(source, Path::new("/sdk")).err().map(|error| error.to_string());
    write(&folder.join(".dart_tool/package_config.json"), "{")?;
    let bad = error_of(&source).unwrap_or_default();
    assert!(
        bad.contains("package_config.json: ") && bad.ends_with("run `dart pub get` again"),
        "{bad}"
    );
    write(&folder.join("pubspec.yaml"), "version: 1.0.0\n")?;
    let nameless = error_of(&source).unwrap_or_default();
    assert!(nameless.ends_with("pubspec.yaml: it has no `name:`"), "{nameless}");
    Ok(())
}

#[test]
fn a_package_that_is_missing_is_told_with_what_to_do() -> Checked {
    let (_root, source) = cell()?;
    let pubspec = source.ancestors().nth(2).ok_or("no folder")?.join("pubspec.yaml");
    let explained_of = |name: &str| -> Result<String, Error> {
        let said =
            format!("Error: Couldn't resolve the package '{name}' in 'package:{name}/a.dart'.");
        Ok(Package::of(&source, Path::new("/sdk"))?.explain(&source, said).to_string())
    };
    let explained = || explained_of("near");
    let hint =
        format!("\nhint: name `near` in {}, then run `dart pub get` there", pubspec.display());
    assert!(explained()?.ends_with(&hint), "{}", explained()?);
    write(&pubspec, "name: greet\ndependencies:\n  nearer: any\n  near:\n    path: ../near\n")?;
    let folder = pubspec.parent().ok_or("no folder")?.display();
    let hint = format!("\nhint: `near` is listed in pubspec.yaml: run `dart pub get` in {folder}");
    assert!(explained()?.ends_with(&hint), "{}", explained()?);
    // `path` describes `near`: it is no dependency.
    let other = explained_of("path")?;
    assert!(other.contains("\nhint: name `path` in "), "{other}");
    Ok(())
}

#[test]
fn the_hash_covers_all_that_is_imported_and_nothing_else() -> Checked {
    let (_root, source) = cell()?;
    got(&source)?;
    let folder = source.ancestors().nth(3).ok_or("no folder")?.to_path_buf();
    let dart = Dart { path: "/usr/bin/dart".into(), version: "3.13.4".into() };
    let key = || -> Result<String, Error> {
        sources::fingerprint(&dart, &source, &Package::of(&source, Path::new("/sdk"))?)
    };
    let mut seen = vec![key()?];
    for changed in [
        "cell/bin/main.dart",
        "cell/bin/other.dart",
        "cell/lib/src/part.dart",
        "cell/lib/unnamed.dart",
        "cell/pubspec.yaml",
        "near/lib/near.dart",
        "near/lib/src/deep.dart",
    ] {
        let file = folder.join(changed);
        let text = fs::read_to_string(&file).unwrap_or_default();
        write(&file, &format!("{text}\n# changed\n"))?;
        let new = key()?;
        assert!(!seen.contains(&new), "a change of {changed} is seen");
        seen.push(new);
    }
    for unrelated in ["cell/test/main_test.dart", "cell/README.md", "near/lib/unused.dart"] {
        write(&folder.join(unrelated), "changed")?;
        assert_eq!(Some(&key()?), seen.last(), "a change of {unrelated} changes nothing");
    }
    // `dart pub get` writes the time into its file: that is no change.
    let config = folder.join("cell/.dart_tool/package_config.json");
    fs::write(&config, fs::read_to_string(&config)?.replace("today", "tomorrow"))?;
    assert_eq!(Some(&key()?), seen.last());
    fs::write(&config, fs::read_to_string(&config)?.replace("3.4", "3.5"))?;
    assert_ne!(Some(&key()?), seen.last());
    Ok(())
}

#[test]
fn a_source_alone_brings_the_files_it_imports() -> Checked {
    let root = tempfile::tempdir()?;
    let folder = fs::canonicalize(root.path())?;
    let source = folder.join("cell/greet.dart");
    write(
        &source,
        "import '../shared/words.dart' if (dart.library.io) 'io.dart';\nimport 'dart:io';\n",
    )?;
    for file in ["shared/words.dart", "cell/io.dart", "cell/stranger.dart"] {
        write(&folder.join(file), "import '../cell/greet.dart';")?;
    }
    let package = Package::of(&source, Path::new("/sdk"))?;
    let read: Vec<PathBuf> = sources::read(&source, &package)?.into_keys().collect();
    assert_eq!(
        read,
        ["cell/greet.dart", "cell/io.dart", "shared/words.dart"].map(|file| folder.join(file))
    );
    Ok(())
}

/// The compiler's own list of files that it has read is the reference: a file missing from ours
/// would serve an old program.
#[test]
fn the_compiler_reads_no_file_that_the_hash_does_not_cover() -> Checked {
    let dart = find().map_err(|error| format!("{error}; for the tests: deploy/setup.sh lint"))?;
    let (_root, source) = cell()?;
    got(&source)?;
    let cell = source.ancestors().nth(2).ok_or("no folder")?;
    let text = "import 'package:near/near.dart';\nimport r'../lib/src/raw.dart';\nimport\n    \"web.dart\"\n    \
                if (dart.library.io) 'io%20file.dart';\nexport './../lib/greet.dart' show word;\nvoid main() {}\n";
    write(&source, text)?;
    for (file, text) in [
        ("lib/src/raw.dart", ""),
        ("bin/web.dart", ""),
        ("bin/io file.dart", "import 'deep/a.dart';"),
    ] {
        write(&cell.join(file), text)?;
    }
    write(&cell.join("bin/deep/a.dart"), "")?;
    write(&cell.join("lib/src/part.dart"), "part of '../greet.dart';\nconst word = 1;\n")?;

    let package = Package::of(&source, Path::new("/sdk"))?;
    let work = tempfile::tempdir()?;
    let entry = work.path().join("main.dart");
    let packages = work.path().join(PACKAGES);
    write(&packages, &package.config())?;
    write(&entry, &format!("export '{}' show main;\n", uri::file(&source)))?;
    let list = work.path().join("list");
    let mut command = std::process::Command::new(&dart.path);
    command.args(["compile", "exe", "--packages"]).arg(&packages).arg("--depfile").arg(&list);
    let done = command.arg("--output").arg(work.path().join("program")).arg(&entry).output()?;
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));

    let covered = sources::read(&source, &package)?;
    let list = fs::read_to_string(&list)?.replace("\\ ", "\0");
    let read: Vec<PathBuf> =
        list.split_whitespace().skip(1).map(|file| file.replace('\0', " ").into()).collect();
    let own: Vec<&PathBuf> = read.iter().filter(|file| !file.starts_with(work.path())).collect();
    assert_eq!(own.len(), 8, "{own:?}");
    for file in own {
        assert!(covered.contains_key(file), "{}", file.display());
    }
    Ok(())
}

#[test]
fn the_sdk_is_mended_where_a_file_is_missing() -> Checked {
    let root = tempfile::tempdir()?;
    let cache = Cache::open(&root.path().join("cache"))?;
    let folder = sdk::extract(&cache)?;
    assert!(sdk::FILES.iter().any(|(name, _)| *name == "lib/cbs.dart"), "the SDK is built in");
    for damage in ["lib/cbs.dart", "pubspec.yaml"] {
        fs::remove_file(folder.join(damage))?;
        assert_eq!(sdk::extract(&cache)?, folder);
        assert!(folder.join(damage).is_file());
    }
    assert!(sdk::version_min() >= (3, 0), "the SDK says which Dart it needs");
    Ok(())
}

#[test]
fn a_cache_drops_what_was_used_longest_ago() -> Checked {
    let root = tempfile::tempdir()?;
    let cache = Cache::open(root.path())?;
    let hours = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    for (name, age) in [("a", 5), ("b", 4), ("c", 3), ("d", 2), (".new-dead", 9), (".new-live", 0)]
    {
        let folder = root.path().join(name);
        write(&folder.join(PACKAGES), &"x".repeat(100))?;
        fs::File::open(&folder)?.set_modified(hours(age))?;
    }
    let names = || -> Result<Vec<String>, std::io::Error> {
        let entries = fs::read_dir(root.path())?.flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    };
    let limits = Limits { entries: 3, bytes: 10_000, rest: Duration::from_secs(60) };
    cache.trim_to("a", limits);
    assert_eq!(names()?, [".new-live", "a", "c", "d"]);
    assert!(cache.folder("c").is_some(), "asking is using");
    cache.trim_to("a", Limits { bytes: 250, rest: Duration::ZERO, ..limits });
    assert_eq!(names()?, [".new-live", "a", "c"]);
    cache.trim_to("a", Limits { entries: 0, ..limits });
    assert_eq!(names()?, [".new-live", "a", "c"], "what was just asked for stays");
    cache.trim_to("a", Limits { entries: 0, rest: Duration::ZERO, ..limits });
    assert_eq!(names()?, [".new-live", "a"]);
    Ok(())
}

#[tokio::test]
async fn what_is_no_source_is_told() -> Checked {
    let root = tempfile::tempdir()?;
    let builder = Builder::new(root.path().join("cache"));
    let folder =
        builder.prepare(root.path()).await.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(folder.ends_with("a folder, not a Dart file with a `main`"), "{folder}");
    let missing = builder.prepare(&root.path().join("none.dart")).await;
    let missing = missing.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(
        missing.starts_with("cannot read ") && missing.contains("none.dart: No such file"),
        "{missing}"
    );
    Ok(())
}
