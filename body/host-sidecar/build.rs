//! Builds the Dart SDK into the program: a list of the files of `sdk-dart/` with their texts, for
//! `src/dart/sdk.rs`.

use std::{
    env,
    error::Error,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

fn main() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let sdk = here.join("../../sdk-dart");
    let mut files = Vec::new();
    // Cargo also looks at the files of a watched folder, new files included.
    println!("cargo::rerun-if-changed={}", sdk.join("lib").display());
    println!("cargo::rerun-if-changed={}", sdk.join("pubspec.yaml").display());
    if sdk.is_dir() {
        files.push(sdk.join("pubspec.yaml"));
        dart_files(&sdk.join("lib"), &mut files)?;
    }
    files.sort();

    let mut list = String::from("&[\n");
    for file in files {
        let name = file
            .strip_prefix(&sdk)?
            .to_str()
            .ok_or("a file of sdk-dart has a name that is not UTF-8")?;
        let path =
            fs::canonicalize(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        writeln!(list, "    ({name:?}, include_str!({path:?})),")?;
    }
    list.push_str("]\n");
    fs::write(Path::new(&env::var("OUT_DIR")?).join("sdk_dart.rs"), list)?;
    Ok(())
}

fn dart_files(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            dart_files(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "dart") {
            found.push(path);
        }
    }
    Ok(())
}
