//! Where schemas are found, and how they are compiled.

use std::{
    cell::RefCell,
    collections::{BTreeMap, HashMap},
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jsonschema::{Retrieve, Uri};
use model::Schema;
use serde_json::Value;

use super::CompiledSchema;
use crate::{Options, bounds::FILE_BYTES_MAX, code, revision};

/// Regular expression of a schema's name.
pub(crate) const NAME_PATTERN: &str = "^[a-z][a-z0-9_-]*/v[1-9][0-9]*/[A-Z][A-Za-z0-9]*$";
/// The name of the folder that is looked for above a spec.
const FOLDER: &str = "schemas";
/// Base address of every schema: a `$ref` to a schema beside it is found, and no `..` leads out.
const BASE: &str = "schemas:///";

/// Reason why a schema cannot be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// A schema, or the reason why it cannot be loaded. The reason is reported at each place that names
/// the schema.
type Compiled = Result<Arc<dyn Schema>, Failure>;

/// Sources of one text: first a folder, then the schemas that are linked into the program.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Shelf {
    folder: Option<PathBuf>,
    embedded: &'static [(&'static str, &'static str)],
}

/// All schemas of a load, each compiled once.
#[derive(Debug)]
pub(crate) struct Schemas {
    folder: Option<PathBuf>,
    embedded: &'static [(&'static str, &'static str)],
    compiled: RefCell<HashMap<(Option<PathBuf>, String), Compiled>>,
}

impl Schemas {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            folder: options.schemas.clone(),
            embedded: options.embedded_schemas,
            compiled: RefCell::default(),
        }
    }

    /// The schema of this name, for a spec in this folder.
    pub(crate) fn get(&self, name: &str, spec_folder: &Path) -> Compiled {
        if !is_schema_name(name) {
            let shown: String = name.chars().take(80).collect();
            let hint = "write `domain/vN/Type`, for example `demo/v1/Name`".to_owned();
            return Err(Failure {
                code: code::BAD_NAME,
                message: format!("`{shown}` is no schema name"),
                hint: Some(hint),
            });
        }
        let folder = self.folder.clone().or_else(|| nearest(spec_folder));
        let key = (folder.clone(), name.to_owned());
        let known = self.compiled.borrow().get(&key).cloned();
        known.unwrap_or_else(|| {
            let schema = compile(name, &Shelf { folder, embedded: self.embedded });
            self.compiled.borrow_mut().insert(key, schema.clone());
            schema
        })
    }
}

/// The nearest folder `schemas` in this folder or above it.
fn nearest(spec_folder: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(if spec_folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        spec_folder
    });
    absolute.ok()?.ancestors().map(|above| above.join(FOLDER)).find(|folder| folder.is_dir())
}

/// True if the name has the form `domain/vN/Type`. Such a name is never a path to another place.
pub(crate) fn is_schema_name(name: &str) -> bool {
    let rest = |text: &str, extra: &[char]| {
        text.chars().skip(1).all(|c| c.is_ascii_alphanumeric() || extra.contains(&c))
    };
    let parts: Vec<&str> = name.split('/').collect();
    let [domain, version, kind] = parts.as_slice() else { return false };
    let number = version.strip_prefix('v').unwrap_or("");
    domain.starts_with(|c: char| c.is_ascii_lowercase())
        && rest(domain, &['_', '-'])
        && !domain.contains(|c: char| c.is_ascii_uppercase())
        && number.starts_with(|c: char| ('1'..='9').contains(&c))
        && number.bytes().all(|b| b.is_ascii_digit())
        && kind.starts_with(|c: char| c.is_ascii_uppercase())
        && rest(kind, &[])
        && name.len() <= 200
}

fn compile(name: &str, shelf: &Shelf) -> Compiled {
    let bad = |message: String| Failure {
        code: code::BAD_SCHEMA,
        message,
        hint: Some(format!("mend `{}`", shelf.shown(name))),
    };
    let Some(text) =
        shelf.read(name).map_err(|error| bad(format!("the schema `{name}` {error}")))?
    else {
        return Err(Failure {
            code: code::UNKNOWN_SCHEMA,
            message: format!("there is no schema `{name}`"),
            hint: Some(match &shelf.folder {
                Some(_) => format!("looked for `{}`", shelf.shown(name)),
                None => format!(
                    "make a folder `{FOLDER}` beside or above the spec, with `{name}.json` in it"
                ),
            }),
        });
    };
    let json: Value = serde_json::from_str(&text)
        .map_err(|error| bad(format!("the schema `{name}` is no JSON: {error}")))?;
    let fetched = Arc::new(Mutex::new(BTreeMap::new()));
    let validator = jsonschema::options()
        .with_base_uri(format!("{BASE}{name}.json"))
        .with_retriever(Within { shelf: shelf.clone(), fetched: Arc::clone(&fetched) })
        .build(&json)
        .map_err(|error| {
            bad(format!(
                "the schema `{name}` does not compile: {}",
                super::violation::short(&error.to_string())
            ))
        })?;
    let mut fetched = std::mem::take(&mut *fetched.lock().unwrap_or_else(PoisonError::into_inner));
    let others = fetched.iter().flat_map(|(name, text)| [name.as_bytes(), text.as_bytes()]);
    let hash = revision::of_parts([text.as_bytes()].into_iter().chain(others));
    fetched.insert(name.to_owned(), text);
    Ok(Arc::new(CompiledSchema { name: name.to_owned(), hash, validator, texts: fetched }))
}

impl Shelf {
    /// The text of a schema; `None` where there is none of this name.
    fn read(&self, name: &str) -> Result<Option<String>, String> {
        if let Some(file) = self.folder.as_ref().map(|folder| folder.join(format!("{name}.json")))
            && file.is_file()
        {
            let mut text = String::new();
            let open =
                std::fs::File::open(&file).map_err(|error| format!("cannot be read: {error}"))?;
            let read = open.take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
            let size = read.map_err(|error| format!("cannot be read: {error}"))?;
            if size as u64 > FILE_BYTES_MAX {
                return Err("is larger than 1 MiB".to_owned());
            }
            return Ok(Some(text));
        }
        Ok(self
            .embedded
            .iter()
            .find(|(embedded, _)| *embedded == name)
            .map(|(_, text)| (*text).to_owned()))
    }

    fn shown(&self, name: &str) -> String {
        let folder = self.folder.as_deref().unwrap_or_else(|| Path::new(FOLDER));
        folder.join(format!("{name}.json")).display().to_string()
    }
}

/// Follows a `$ref` only within the shelf: never to the network, never to another folder.
struct Within {
    shelf: Shelf,
    fetched: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Retrieve for Within {
    fn retrieve(
        &self,
        uri: &Uri<String>,
    ) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        let inside = uri.as_str().strip_prefix(BASE).and_then(|path| path.strip_suffix(".json"));
        let Some(name) = inside.filter(|name| is_schema_name(name)) else {
            return Err("a `$ref` may only name a schema of the same folder, for example `Name.json` or `../../demo/v1/Name.json`".into());
        };
        let text = self.shelf.read(name)?.ok_or_else(|| format!("there is no schema `{name}`"))?;
        let json = serde_json::from_str(&text)?;
        self.fetched.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), text);
        Ok(json)
    }
}
