//! The code that is generated from `specs/proto/`. It is checked in: a build of the project needs
//! no generator.

use std::{collections::BTreeMap, error::Error};

use prost_build::{Config, Module};

use crate::tree;

/// Folder of the code of each protobuf package of this project.
pub const FOLDERS: &[(&str, &str)] = &[
    ("cbs.v1", "body/contract/tests/frame/generated"),
    ("cbs.sidecar.v1", "body/sidecar/generated"),
];

/// Generates the code: paths from the root and texts, one for each protobuf package of this
/// project.
pub fn generated() -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let root = tree::root().join("specs/proto");
    let paths: Vec<_> = tree::files(&["proto"])?
        .into_iter()
        .filter_map(|file| file.path.strip_prefix("specs/proto/").map(str::to_owned))
        .collect();
    // Foreign packages that ours import (google.protobuf, for example) come with prost-types.
    let requests = protox::compile(&paths, [root])?
        .file
        .into_iter()
        .filter(|file| paths.iter().any(|path| path == file.name()))
        .map(|file| (Module::from_protobuf_package_name(file.package()), file))
        .collect();
    // A field of bytes is a slice of the received buffer, not a copy.
    let modules = Config::new().bytes(["."]).generate(requests)?;
    let mut files = BTreeMap::new();
    for (module, code) in modules {
        let code = prettyplease::unparse(&syn::parse_file(&code)?);
        let text = format!(
            "// @generated from specs/proto/ by `CBS_BLESS=1 cargo test -p tidy generated`.\n{code}"
        );
        let package = module.parts().collect::<Vec<_>>().join(".");
        let folder = FOLDERS.iter().find(|(of, _)| *of == package).map(|(_, folder)| *folder);
        let folder = folder
            .ok_or_else(|| format!("no folder is named for the protobuf package {package}"))?;
        files.insert(format!("{folder}/{}", module.to_file_name_or("nameless")), text);
    }
    Ok(files)
}
