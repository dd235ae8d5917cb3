//! Short hashes of content: the same on every machine and in every version.

use sha2::{Digest, Sha256};

use crate::yaml::{Content, Node};

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

/// Of what a document says: of its JSON with sorted keys.
pub(crate) fn of_document(root: &Node) -> String {
    let mut json = String::new();
    canonical(root, &mut json);
    of_parts([json.as_bytes()])
}

/// The nesting of a tree is bounded by the parser, so this may recurse.
fn canonical(node: &Node, json: &mut String) {
    match &node.content {
        Content::List(items) => {
            json.push('[');
            for item in items {
                canonical(item, json);
                json.push(',');
            }
            json.push(']');
        }
        Content::Map(entries) => {
            let mut sorted: Vec<_> = entries.iter().collect();
            sorted.sort_by(|a, b| a.key.cmp(&b.key));
            json.push('{');
            for entry in sorted {
                json.push_str(&serde_json::Value::from(entry.key.as_str()).to_string());
                json.push(':');
                canonical(&entry.value, json);
                json.push(',');
            }
            json.push('}');
        }
        _ => json.push_str(&node.to_json().to_string()),
    }
}
