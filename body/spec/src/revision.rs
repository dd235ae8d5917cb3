//! Short hashes of content: the same on every machine and in every version.

use sha2::{Digest, Sha256};

use crate::{
    read::shape::DEPLOYMENT,
    yaml::{Content, Node},
};

/// How many bytes of the hash are shown: 12 digits tell a million revisions apart with a chance
/// of one in five hundred that any two are alike.
const BYTES_SHOWN: usize = 6;

/// The first 12 hexadecimal digits of the SHA-256 of all parts, each after its length, so that
/// no two lists of parts are alike.
pub(crate) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(BYTES_SHOWN).map(|byte| format!("{byte:02x}")).collect()
}

/// Of what a document says: of its JSON with sorted keys, without what only says where it runs.
pub(crate) fn of_document(root: &Node) -> String {
    let mut json = String::new();
    let mut parts: Vec<_> = root.entries().iter().collect();
    parts.sort_by(|a, b| a.key.cmp(&b.key));
    json.push('{');
    for part in parts {
        entry(&part.key, &part.value, if part.key == "spec" { DEPLOYMENT } else { &[] }, &mut json);
    }
    json.push('}');
    of_parts([json.as_bytes()])
}

fn entry(key: &str, value: &Node, without: &[&str], json: &mut String) {
    json.push_str(&serde_json::Value::from(key).to_string());
    json.push(':');
    canonical(value, without, json);
    json.push(',');
}

/// The nesting of a tree is bounded by the parser, so this may recurse.
fn canonical(node: &Node, without: &[&str], json: &mut String) {
    match &node.content {
        Content::List(items) => {
            json.push('[');
            for item in items {
                canonical(item, &[], json);
                json.push(',');
            }
            json.push(']');
        }
        Content::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.key.cmp(&b.key));
            json.push('{');
            for it in sorted.into_iter().filter(|it| !without.contains(&it.key.as_str())) {
                entry(&it.key, &it.value, &[], json);
            }
            json.push('}');
        }
        _ => json.push_str(&node.to_json().to_string()),
    }
}
