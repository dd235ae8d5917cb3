//! `cbs new cell NAME --lang LANGUAGE`.

use std::{fs, path::Path};

use cbs::CellName;

use super::{
    checkout,
    files::{self, NewFile, fill, shown},
    language::Language,
    workspace::{self, Membership},
};
use crate::{exit::Failure, output};

/// Schema of a new cell's input: payloads are checked against it, and users see an example that
/// fits.
const INPUT: &str = include_str!("templates/input.json.txt");

/// Writes the cell's folder, its spec and the schema of its input. Returns the command that runs
/// it.
pub(super) fn write(
    name: &CellName,
    language: Language,
    folder: &Path,
    given: Option<&Path>,
) -> Result<String, Failure> {
    let cbs = checkout::find(given, folder)?;
    let folder = checkout::absolute(folder)?;
    let package_name = name.as_str().replace(['.', '-'], "_");
    let package = folder.join("cells").join(&package_name);
    let spec = folder.join("specs/cells").join(format!("{name}.yaml"));
    let schema = schema_name(name);
    let input = folder.join("specs/schemas").join(format!("{schema}.json"));
    if let Some(path) =
        [&package, &spec, &input].into_iter().find(|path| path.symlink_metadata().is_ok())
    {
        return Err(files::there(path));
    }
    let cargo = (language == Language::Rust).then(|| workspace::around(&package));
    let own = cargo
        .as_ref()
        .map(|(membership, workspace)| own_part(membership, workspace.as_deref()))
        .unwrap_or_default();
    let function = language.function(name);
    let way = |to: &str| checkout::way(&package, &cbs.join(to), &cbs);
    let sdk = match language {
        Language::Dart => way("sdk-dart"),
        _ => cbs.join("sdk-python/src").display().to_string(),
    };
    let words = [
        ("name", name.as_str()),
        ("package", &package_name),
        ("function", &function),
        (
            "module",
            &if language == Language::Python { function.clone() } else { package_name.clone() },
        ),
        ("contract", &way("body/contract")),
        ("body", &way("body")),
        ("testkit", &way("body/testkit")),
        ("sdk", &sdk),
        ("schema", &schema),
        ("own", &own),
        ("hint", files::schema_hint(&folder, Some(&cbs))?),
    ];
    let new_file = |(path, text): &(&str, &str)| NewFile {
        path: package.join(fill(path, &words)),
        text: fill(text, &words),
    };
    let mut new: Vec<NewFile> = language.files().iter().map(new_file).collect();
    new.push(NewFile { path: spec.clone(), text: fill(language.spec(), &words) });
    new.push(NewFile { path: input, text: fill(INPUT, &words) });
    files::write(&new)?;
    new.iter().for_each(|file| output::report(format_args!("wrote {}", shown(&file.path))));
    let Some((membership, _)) = cargo else { return Ok(format!("cbs up {}", shown(&spec))) };
    if let Membership::Joins { manifest, text } = &membership {
        fs::write(manifest, text)
            .map_err(|error| Failure::failed(format_args!("{}: {error}", manifest.display())))?;
        output::report(format_args!("added {package_name} to the members in {}", shown(manifest)));
    }
    Ok(next(&package, &package_name, &spec, &membership))
}

/// Returns the name of the schema of its input: `demo/v1/ShoutInput` for `demo.shout`.
fn schema_name(name: &CellName) -> String {
    let words = name.part().split(['_', '-']).filter_map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    });
    format!("{}/v1/{}Input", name.organ(), words.collect::<String>())
}

/// Returns the part of the package's manifest about the workspace around it.
fn own_part(membership: &Membership, workspace: Option<&Path>) -> String {
    match membership {
        Membership::Apart => {
            "\n# The workspace around it has no list of members that could be added to.\n[workspace]\n".to_owned()
        }
        Membership::Member | Membership::Joins { .. } if workspace.is_some_and(workspace::has_lints) => {
            "\n[lints]\nworkspace = true\n".to_owned()
        }
        _ => String::new(),
    }
}

/// Returns the command that runs the cell, ready to paste.
fn next(package: &Path, package_name: &str, spec: &Path, membership: &Membership) -> String {
    let reached = match membership {
        Membership::Member | Membership::Joins { .. } => format!("-p {package_name}"),
        Membership::Alone | Membership::Apart => {
            format!("--manifest-path {}", shown(&package.join("Cargo.toml")))
        }
    };
    format!("cargo run {reached} -- up {}", shown(spec))
}
