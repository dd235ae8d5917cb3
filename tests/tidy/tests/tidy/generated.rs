//! Generated code is checked in, and up to date.

use std::{fs, path::Path};

use tidy::{protobuf, tree};

use crate::{Checked, hold};

#[test]
fn generated_code_is_what_its_sources_give() -> Checked {
    let bless = std::env::var_os("CBS_BLESS").is_some();
    let mut stale = Vec::new();
    for (name, text) in protobuf::generated()? {
        let path = tree::root().join(&name);
        if fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        if bless {
            fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
            fs::write(path, text)?;
        } else {
            stale.push(format!("{name}:1"));
        }
    }
    hold(
        "Generated code is what its sources give: `CBS_BLESS=1 cargo test -p tidy generated` writes it anew.",
        &stale,
    )
}

#[test]
fn generated_code_has_a_source() -> Checked {
    let generated = protobuf::generated()?;
    let ours = |path: &str| {
        protobuf::FOLDERS.iter().any(|(_, folder)| path.starts_with(&format!("{folder}/")))
    };
    let orphans: Vec<String> = tree::files(&["rs"])?
        .iter()
        .filter(|file| ours(&file.path) && !generated.contains_key(&file.path))
        .map(|file| format!("{}:1", file.path))
        .collect();
    hold("Every generated file has a source in specs/proto/.", &orphans)
}
