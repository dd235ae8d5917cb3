use super::*;

type Checked = Result<(), Box<dyn std::error::Error>>;

/// A folder with these files, and a cell beside them.
fn beside(
    files: &[(&str, &str)],
) -> Result<(tempfile::TempDir, Result<Option<Requirements>, String>), io::Error> {
    let folder = tempfile::tempdir()?;
    for (name, text) in files {
        let file = folder.path().join(name);
        fs::create_dir_all(folder_of(&file))?;
        fs::write(file, text)?;
    }
    let found = Requirements::beside(&folder.path().join("cell.py"));
    Ok((folder, found))
}

fn identity(files: &[(&str, &str)]) -> Result<String, Box<dyn std::error::Error>> {
    let (_folder, found) = beside(files)?;
    Ok(found?.ok_or("nothing is asked for")?.identity()?)
}

const TOML: &str = "[project]\nname = 'x'\nversion = '1'\n";

#[test]
fn files_that_name_files_are_read_as_pip_reads_them() -> Checked {
    let (folder, found) = beside(&[
        (
            "requirements.txt",
            "# first\n-r deep/base.txt\nsix==1.16.0 \\\n  --hash=sha256:00\n-c limits.txt # why\n",
        ),
        ("deep/base.txt", "--requirement=more/last.txt\ncbs-sdk\nattrs\n"),
        ("deep/more/last.txt", "idna"),
        ("limits.txt", "idna<4"),
    ])?;
    let asked = found?.ok_or("nothing is asked for")?.asked;
    let texts = [
        "\n-r requirements-1.txt\nsix==1.16.0   --hash=sha256:00\n\n-c requirements-3.txt\n",
        "-r requirements-2.txt\n\nattrs\n",
        "idna\n",
        "idna<4\n",
    ];
    assert_eq!(asked.texts, texts);
    assert!(asked.is_hashed);
    let files =
        ["deep/base.txt", "deep/more/last.txt", "limits.txt"].map(|file| folder.path().join(file));
    assert_eq!(asked.named, files);
    Ok(())
}

#[test]
fn what_asks_for_nothing_is_nothing() -> Checked {
    for text in
        ["", "# six\n", "cbs-sdk\nmsgspec==0.18\n", "-c limits.txt\n", "-r base.txt\n", "--pre\n"]
    {
        let (_folder, found) = beside(&[
            ("requirements.txt", text),
            ("limits.txt", "six"),
            ("base.txt", "cbs_sdk[fast]"),
        ])?;
        assert_eq!(found?, None, "{text}");
    }
    Ok(())
}

#[test]
fn what_is_not_there_is_told_with_its_line() -> Checked {
    for (text, said) in [
        ("six\n-r base.txt\n", "requirements.txt:2: there is no file "),
        ("-rdeep/more.txt\n", "more.txt:2: there is no file "),
        ("\n--constraint limits.txt\n", "requirements.txt:2: there is no file "),
        ("-e ./nowhere\n", "requirements.txt:1: there is no `./nowhere` in "),
        ("./deep\n", "requirements.txt:1: `./deep` is no package"),
        ("x @ file:wheels/x.whl\n", "requirements.txt:1: there is no `wheels/x.whl` in "),
        ("-f wheels\nsix\n", "requirements.txt:1: there is no `wheels` in "),
        ("-r round.txt\n", "more than 64 files name each other"),
    ] {
        let files = [
            ("requirements.txt", text),
            ("deep/more.txt", "six\n-c no.txt\n"),
            ("round.txt", "-r round.txt"),
        ];
        let (_folder, found) = beside(&files)?;
        let reason = found.err().unwrap_or_default();
        assert!(reason.contains(said), "`{said}` is not in `{reason}`");
        assert!(reason.len() < 300, "{reason}");
    }
    let (_folder, found) =
        beside(&[("pyproject.toml", &format!("{TOML}dependencies = ['x @ file:x.whl']\n"))])?;
    let reason = found.err().unwrap_or_default();
    assert!(reason.contains("pyproject.toml: there is no `x.whl` in "), "{reason}");
    Ok(())
}

#[test]
fn a_file_may_be_written_on_windows() -> Checked {
    let wide = |text: &str, begin: [u8; 2], unit: fn(u16) -> [u8; 2]| {
        begin.into_iter().chain(text.encode_utf16().flat_map(unit)).collect::<Vec<u8>>()
    };
    let text = "six==1.16.0 # schön\r\n";
    let bom = [b"\xef\xbb\xbf".as_slice(), text.as_bytes()].concat();
    for content in [
        bom,
        wide(text, [0xff, 0xfe], u16::to_le_bytes),
        wide(text, [0xfe, 0xff], u16::to_be_bytes),
    ] {
        let folder = tempfile::tempdir()?;
        let file = folder.path().join("requirements.txt");
        fs::write(&file, &content)?;
        let found =
            Requirements::beside(&folder.path().join("cell.py"))?.ok_or("nothing is asked for")?;
        assert_eq!(found.asked.texts, ["six==1.16.0\n"]);
    }
    for wrong in
        [b"six\xff".as_slice(), b"\xef\xbb\xbfsix\xff", b"\xff\xfes\x00i", b"\xfe\xff\xd8\x00"]
    {
        let reason = decode(wrong).err().unwrap_or_default();
        assert!(reason.contains("save it as UTF-8"), "{wrong:?}");
    }
    let (_folder, found) = beside(&[(
        "pyproject.toml",
        &format!("\u{feff}{TOML}dependencies = ['six==1.16.0']\r\n"),
    )])?;
    assert_eq!(found?.ok_or("nothing is asked for")?.asked.texts, ["six==1.16.0\n"]);
    Ok(())
}

#[test]
fn what_is_told_apart_is_what_is_installed() -> Checked {
    let list = ("requirements.txt", "-r more.txt\n");
    let first = identity(&[list, ("more.txt", "attrs")])?;
    assert_eq!(first, identity(&[list, ("more.txt", "attrs # the same elsewhere")])?);
    assert_ne!(first, identity(&[list, ("more.txt", "attrs==25.1.0")])?);

    let mut files =
        vec![("requirements.txt", "./pkg\n"), ("pkg/pyproject.toml", ""), ("pkg/a.py", "1")];
    let (folder, found) = beside(&files)?;
    let found = found?.ok_or("nothing is asked for")?;
    let before = found.identity()?;
    fs::write(folder.path().join("pkg/.hidden"), "2")?;
    fs::create_dir_all(folder.path().join("pkg/build"))?;
    fs::write(folder.path().join("pkg/build/a.py"), "2")?;
    assert_eq!(found.identity()?, before, "what is made by installing it is no change");
    fs::write(folder.path().join("pkg/a.py"), "2")?;
    assert_ne!(found.identity()?, before);
    assert_ne!(identity(&files)?, identity(&files)?, "the same in another folder may be another");

    files[0] = ("requirements.txt", "-e ./pkg\n");
    let (folder, found) = beside(&files)?;
    let found = found?.ok_or("nothing is asked for")?;
    let before = found.identity()?;
    fs::write(folder.path().join("pkg/a.py"), "2")?;
    assert_eq!(found.identity()?, before, "its code is used from where it stands");
    fs::write(folder.path().join("pkg/pyproject.toml"), "x = 1")?;
    assert_ne!(found.identity()?, before);
    Ok(())
}

#[test]
fn what_is_named_by_its_path_is_named() -> Checked {
    let folder = tempfile::tempdir()?;
    for file in ["base.txt", "lib/pyproject.toml", "cells/limits.txt", "cells/wheels/x.whl"] {
        let file = folder.path().join(file);
        fs::create_dir_all(folder_of(&file))?;
        fs::write(file, "")?;
    }
    let cells = folder.path().join("cells");
    let absolute = folder.path().join("lib").display().to_string();
    fs::write(
        cells.join("requirements.txt"),
        format!("-r ../base.txt\n-c ./limits.txt\n-e ../lib\n{absolute}\n-f wheels\n"),
    )?;
    let named = named_by_requirements(&cells.join("cell.py"))?;
    let wanted = ["../base.txt", "limits.txt", "../lib", "wheels"].map(|path| cells.join(path));
    assert_eq!(named, wanted);
    Ok(())
}

#[test]
fn a_folder_of_links_is_told_apart_by_names_sizes_and_times() -> Checked {
    let (folder, found) =
        beside(&[("requirements.txt", "-f wheels\nsix\n"), ("wheels/deep/b.whl", "1")])?;
    let found = found?.ok_or("nothing is asked for")?;
    let wheels = folder.path().join("wheels");
    for number in 0..=FILES_MAX {
        fs::write(wheels.join(format!("{number}.whl")), "")?;
    }
    std::os::unix::fs::symlink("nowhere", wheels.join("link.whl"))?;
    let mut known = vec![found.identity()?];
    fs::write(wheels.join("deep/b.whl"), "22")?;
    assert_eq!(found.identity()?, known[0], "pip does not look there");
    fs::write(wheels.join("a.whl"), "1")?;
    known.push(found.identity()?);
    fs::write(wheels.join("a.whl"), "22")?;
    known.push(found.identity()?);
    fs::File::options()
        .write(true)
        .open(wheels.join("a.whl"))?
        .set_modified(SystemTime::UNIX_EPOCH)?;
    known.push(found.identity()?);
    known.sort();
    known.dedup();
    assert_eq!(known.len(), 4);
    Ok(())
}
