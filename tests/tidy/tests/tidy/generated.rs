//! Generated code is checked in, and fresh.

use std::fs;

use tidy::{protobuf, tree};

use crate::{Checked, hold};

#[test]
fn generated_code_is_what_its_sources_give() -> Checked {
    let folder = tree::root().join(protobuf::FOLDER);
    let bless = std::env::var_os("CBS_BLESS").is_some();
    let mut stale = Vec::new();
    for (name, text) in protobuf::generated()? {
        let path = folder.join(&name);
        if fs::read_to_string(&path).unwrap_or_default() == text {
            continue;
        }
        if bless {
            fs::create_dir_all(&folder)?;
            fs::write(path, text)?;
        } else {
            stale.push(format!("{}/{name}:1", protobuf::FOLDER));
        }
    }
    hold("Generated code is what its sources give: `CBS_BLESS=1 cargo test -p tidy generated` writes it anew.", &stale)
}

#[test]
fn generated_code_has_a_source() -> Checked {
    let generated = protobuf::generated()?;
    let orphans: Vec<String> = tree::files(&["rs"])?
        .iter()
        .filter_map(|file| file.path.strip_prefix(protobuf::FOLDER)?.strip_prefix('/'))
        .filter(|name| !generated.contains_key(*name))
        .map(|name| format!("{}/{name}:1", protobuf::FOLDER))
        .collect();
    hold("Every generated file has a source in specs/proto/.", &orphans)
}
