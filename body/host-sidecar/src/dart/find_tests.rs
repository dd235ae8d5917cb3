//! The choice of a Dart, with programs that only claim to be one.

use std::{collections::HashMap, ffi::OsString, fs, path::Path};

use super::{
    Error,
    find::{find_with, tools},
    tests::{Checked, write},
};

/// Writes a program. Another process writes it, because this one forks in other tests: a program
/// that a child still holds open for writing would not start.
fn program(file: &Path, text: &str) -> Checked {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    let write = ["-c", "printf %s \"$2\" > \"$1\" && chmod 755 \"$1\"", "sh"];
    let done = std::process::Command::new("sh").args(write).arg(file).arg(text).status()?;
    if done.success() { Ok(()) } else { Err(format!("{} was not written", file.display()).into()) }
}

/// Writes a program that answers `--version` as a Dart of this version does.
fn fake_dart(file: &Path, version: &str) -> Checked {
    program(
        file,
        &format!(
            "#!/bin/sh\necho 'Dart SDK version: {version} (stable) (today) on \"linux_x64\"'\n"
        ),
    )
}

fn found(root: &Path, environment: &[(&str, &str)]) -> Result<String, Error> {
    let root = root.to_string_lossy();
    let environment: HashMap<_, _> = environment
        .iter()
        .map(|(name, value)| (*name, OsString::from(value.replace('~', &root))))
        .collect();
    let dart = find_with(|name| environment.get(name).cloned())?;
    Ok(dart.path.to_string_lossy().replace(&*root, "~"))
}

#[test]
fn the_named_dart_comes_first_then_path_then_the_tools_cache() -> Checked {
    let root = tempfile::tempdir()?;
    for place in
        ["own/dart", "path/dart", "tools/dart/bin/dart", "home/.cache/cbs/tools/dart/bin/dart"]
    {
        fake_dart(&root.path().join(place), "3.13.4")?;
    }
    let all = [
        ("CBS_DART", "~/own/dart"),
        ("PATH", "~/nowhere:~/path"),
        ("CBS_TOOLS", "~/tools"),
        ("HOME", "~/home"),
    ];
    assert_eq!(found(root.path(), &all)?, "~/own/dart");
    assert_eq!(found(root.path(), &all[1..])?, "~/path/dart");
    assert_eq!(found(root.path(), &all[2..])?, "~/tools/dart/bin/dart");
    assert_eq!(found(root.path(), &all[3..])?, "~/home/.cache/cbs/tools/dart/bin/dart");
    assert_eq!(found(root.path(), &[("CBS_DART", ""), ("PATH", "~/path")])?, "~/path/dart");
    Ok(())
}

#[test]
fn a_dart_that_does_not_work_is_passed_over_and_told() -> Checked {
    let root = tempfile::tempdir()?;
    let broken = root.path().join("path/dart");
    program(&broken, "#!/bin/sh\nexit 3\n")?;
    fake_dart(&root.path().join("old/dart"), "2.19.6")?;
    let path = [("PATH", "~/path:~/old"), ("CBS_TOOLS", "~/tools")];
    let reported =
        found(root.path(), &path).err().map(|error| error.to_string()).unwrap_or_default();
    for part in [
        "no Dart that works",
        "path/dart: it ends with",
        "it is Dart 2.19.6",
        "deploy/setup.sh",
        "CBS_DART",
    ] {
        assert!(reported.contains(part), "{part} in: {reported}");
    }
    fake_dart(&root.path().join("tools/dart/bin/dart"), "3.13.4")?;
    assert_eq!(found(root.path(), &path)?, "~/tools/dart/bin/dart");
    Ok(())
}

#[test]
fn a_named_dart_that_is_wrong_is_an_error() -> Checked {
    let root = tempfile::tempdir()?;
    fake_dart(&root.path().join("path/dart"), "3.13.4")?;
    write(&root.path().join("text"), "no program")?;
    for (named, reason) in [("~/nowhere", "it is no program"), ("~/text", "it is no program")] {
        match found(root.path(), &[("CBS_DART", named), ("PATH", "~/path")]) {
            Err(Error::Named { reason: reported, .. }) => assert_eq!(reported, reason),
            other => return Err(format!("{other:?}").into()),
        }
    }
    Ok(())
}

#[test]
fn no_dart_says_what_to_install() {
    let reported = find_with(|_| None).err().map(|error| error.to_string()).unwrap_or_default();
    let expected = "no Dart: on Debian run `deploy/setup.sh polyglot`; on other systems install the Dart SDK from its makers \
                    and put `dart` on PATH, or name it in CBS_DART";
    assert_eq!(reported, expected);
    assert_eq!(tools(|_| None), None);
}
