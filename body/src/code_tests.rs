use std::path::PathBuf;

use super::*;

type Checked = Result<(), Box<dyn std::error::Error>>;

fn code(folder: &Path, spec: &str) -> Result<Code, Box<dyn std::error::Error>> {
    let text = format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: demo.cell }}\nspec: {{ {spec} }}\n"
    );
    let specs =
        spec::load_texts([(folder.join("cell.yaml"), text.as_str())], &spec::Options::default())?;
    let spec = specs.cells().next().ok_or("a cell")?;
    Ok(Code::of(spec).ok_or("a cell that is not linked in")??)
}

fn write(folder: &Path, path: &str, text: &str) -> std::io::Result<()> {
    let path = folder.join(path);
    fs::create_dir_all(model::folder_of(&path))?;
    fs::write(path, text)
}

#[test]
fn a_python_cells_code_is_what_stands_in_its_folder() -> Checked {
    let folder = tempfile::tempdir()?;
    for path in
        ["a.py", "lib/b.py", "requirements.txt", "__pycache__/a.py", ".venv/c.py", "notes.md"]
    {
        write(folder.path(), path, "1")?;
    }
    let spec = "runtime: python, source: 'a.py:f'";
    let files: Vec<_> = code(folder.path(), spec)?.files.into_iter().collect();
    assert_eq!(files, ["a.py", "lib/b.py", "requirements.txt"].map(PathBuf::from));
    let before = code(folder.path(), spec)?.hash()?;
    write(folder.path(), "notes.md", "2")?;
    assert_eq!(code(folder.path(), spec)?.hash()?, before);
    write(folder.path(), "lib/b.py", "2")?;
    assert_ne!(code(folder.path(), spec)?.hash()?, before);
    Ok(())
}

#[cfg(feature = "python")]
#[test]
fn what_its_requirements_name_is_a_python_cells_code() -> Checked {
    let folder = tempfile::tempdir()?;
    for path in [
        "a.py",
        "limits.txt",
        "pkg/pyproject.toml",
        "pkg/data.csv",
        "../lib/setup.py",
        "../base.txt",
    ] {
        write(&folder.path().join("cell"), path, "")?;
    }
    write(
        folder.path(),
        "cell/requirements.txt",
        "-r ../base.txt\n-c limits.txt\n-e ../lib\n./pkg\n",
    )?;
    let spec = "runtime: python, source: 'cell/a.py:f'";
    let files: Vec<_> = code(folder.path(), spec)?.files.into_iter().collect();
    let named = [
        "../base.txt",
        "../lib/setup.py",
        "a.py",
        "limits.txt",
        "pkg/pyproject.toml",
        "requirements.txt",
    ];
    assert_eq!(files, named.map(PathBuf::from));
    let before = code(folder.path(), spec)?.hash()?;
    write(folder.path(), "base.txt", "six")?;
    assert_ne!(code(folder.path(), spec)?.hash()?, before);
    Ok(())
}

#[test]
fn a_dart_cells_code_is_its_package() -> Checked {
    let folder = tempfile::tempdir()?;
    for path in ["cell/pubspec.yaml", "cell/bin/main.dart", "cell/lib/a.dart", "other/b.dart"] {
        write(folder.path(), path, "name: cell")?;
    }
    let files: Vec<_> = code(folder.path(), "runtime: dart, source: cell/bin/main.dart")?
        .files
        .into_iter()
        .collect();
    assert_eq!(files, ["bin/main.dart", "lib/a.dart", "pubspec.yaml"].map(PathBuf::from));
    Ok(())
}

#[test]
fn a_commands_code_is_the_files_that_it_names() -> Checked {
    let folder = tempfile::tempdir()?;
    write(folder.path(), "run.sh", "1")?;
    write(folder.path(), "cell.py", "1")?;
    let code =
        code(folder.path(), "runtime: exec, command: [./run.sh, cell.py, --flag, not-there.py]")?;
    let names: BTreeSet<_> = code.files.iter().filter_map(|file| file.file_name()).collect();
    assert_eq!(names, BTreeSet::from(["cell.py".as_ref(), "run.sh".as_ref()]));
    assert!(code.hash().is_ok());
    Ok(())
}
