//! The generated code that `specs/proto/` gives. It is checked in: building the house needs no generator.

use std::{collections::BTreeMap, error::Error};

use prost_build::{Config, Module};

use crate::tree;

/// Where the contract's generated code stands.
pub const FOLDER: &str = "body/contract/generated";

/// File names and texts, one for each protobuf package of ours, as they should stand in [`FOLDER`].
pub fn generated() -> Result<BTreeMap<String, String>, Box<dyn Error>> {
    let root = tree::root().join("specs/proto");
    let paths: Vec<_> = tree::files(&["proto"])?
        .into_iter()
        .filter_map(|file| file.path.strip_prefix("specs/proto/").map(str::to_owned))
        .collect();
    // What ours import from elsewhere (google.protobuf, say) comes with prost-types.
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
        let text = format!("// @generated from specs/proto/ by `CBS_BLESS=1 cargo test -p tidy generated`.\n{code}");
        files.insert(module.to_file_name_or("nameless"), text);
    }
    Ok(files)
}
