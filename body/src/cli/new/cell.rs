//! `cbs new cell NAME --lang rust`.

use std::{fs, path::Path};

use cbs::CellName;

use super::{
    checkout,
    files::{self, NewFile, fill, shown},
    workspace::{self, Standing},
};
use crate::{exit::Failure, output};

/// Package-relative paths and what stands there.
const PACKAGE: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("templates/cell-rust/Cargo.toml.txt")),
    ("README.md", include_str!("templates/cell-rust/README.md.txt")),
    ("src/lib.rs", include_str!("templates/cell-rust/lib.rs.txt")),
    ("src/main.rs", include_str!("templates/cell-rust/main.rs.txt")),
];
const SPEC: &str = include_str!("templates/cell-rust/spec.yaml");

/// Writes the package and its spec, and gives the command that runs it.
pub(super) fn write(name: &CellName, folder: &Path, given: Option<&Path>) -> Result<String, Failure> {
    let cbs = checkout::find(given, folder)?;
    let folder = checkout::absolute(folder)?;
    let package_name = name.as_str().replace(['.', '-'], "_");
    let package = folder.join("cells").join(&package_name);
    let spec = folder.join("specs/cells").join(format!("{name}.yaml"));
    if let Some(path) = [&package, &spec].into_iter().find(|path| path.symlink_metadata().is_ok()) {
        return Err(files::there(path));
    }
    let (standing, workspace) = workspace::around(&package);
    let own = own_part(&standing, workspace.as_deref());
    let part = name.part().replace('-', "_");
    let words = [
        ("name", name.as_str()),
        ("package", &package_name),
        // A function must not be called like a word of the language.
        ("function", &if is_word(&part) { format!("{part}_") } else { part }),
        ("contract", &checkout::way(&package, &cbs.join("body/contract"), &cbs)),
        ("body", &checkout::way(&package, &cbs.join("body"), &cbs)),
        ("testkit", &checkout::way(&package, &cbs.join("body/testkit"), &cbs)),
        ("own", &own),
        ("hint", files::schema_hint(&folder, Some(&cbs))?),
    ];
    let mut new: Vec<NewFile> = PACKAGE
        .iter()
        .map(|(path, template)| NewFile { path: package.join(path), text: fill(template, &words) })
        .collect();
    new.push(NewFile { path: spec.clone(), text: fill(SPEC, &words) });
    files::write(&new)?;
    new.iter().for_each(|file| output::tell(format_args!("wrote {}", shown(&file.path))));
    if let Standing::Joins { manifest, text } = &standing {
        fs::write(manifest, text).map_err(|error| Failure::failed(format_args!("{}: {error}", manifest.display())))?;
        output::tell(format_args!("added {package_name} to the members in {}", shown(manifest)));
    }
    Ok(next(&package, &package_name, &spec, &standing))
}

/// What the package's manifest says about the workspace around it.
fn own_part(standing: &Standing, workspace: Option<&Path>) -> String {
    match standing {
        Standing::Apart => {
            "\n# The workspace around it has no list of members that could be added to.\n[workspace]\n".to_owned()
        }
        Standing::Member | Standing::Joins { .. } if workspace.is_some_and(workspace::has_lints) => {
            "\n[lints]\nworkspace = true\n".to_owned()
        }
        _ => String::new(),
    }
}

/// The command that runs it, ready to paste.
fn next(package: &Path, package_name: &str, spec: &Path, standing: &Standing) -> String {
    let reached = match standing {
        Standing::Member | Standing::Joins { .. } => format!("-p {package_name}"),
        Standing::Alone | Standing::Apart => format!("--manifest-path {}", shown(&package.join("Cargo.toml"))),
    };
    format!("cargo run {reached} -- up {}", shown(spec))
}

/// Whether the language, or the template, has the word for itself.
fn is_word(part: &str) -> bool {
    const WORDS: &[&str] = &[
        "abstract", "as", "async", "await", "become", "box", "break", "cell", "const", "continue", "crate", "do",
        "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
        "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct",
        "super", "tests", "trait", "true", "try", "type", "typeof", "union", "unsafe", "unsized", "use", "virtual",
        "where", "while", "yield",
    ];
    WORDS.contains(&part)
}
