//! Short hashes of content: the same on every machine and in every version.

use sha2::{Digest, Sha256};

use crate::{
    read::shape::DEPLOYMENT,
    yaml::{Content, Node},
};

/// Number of bytes of the hash that are shown. With 12 digits, the chance that any two of a million
/// revisions are equal is one in five hundred.
const BYTES_SHOWN: usize = 6;

/// Returns the first 12 hexadecimal digits of the SHA-256 of all parts. Each part follows its
/// length, so that different lists of parts never give the same bytes.
pub(crate) fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(BYTES_SHOWN).map(|byte| format!("{byte:02x}")).collect()
}

/// Returns the hash of a document's JSON with sorted keys, without the fields of its deployment.
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

/// Writes a value with sorted keys. It may recurse because the parser limits the nesting.
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
