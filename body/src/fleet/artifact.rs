//! A spec as it is stored: its document, the schemas that it names, and its code as a bundle.

use std::{
    collections::BTreeMap,
    fs,
    path::{Component, Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, bail, ensure};
use cbs::Target;
use fleet::{ContentHash, Entry, FLOW_RUNTIME, Object, Revision, Version};
use model::{CellSpec, Deployment, folder_of};
use serde::{Deserialize, Serialize};
use spec::{FlowSpec, document_at};

use super::StoredPolicy;
use crate::{
    app::Deployed,
    bundle::{self, Bundle},
    code::{self, SourceFiles},
};

/// The format that this program writes, and the newest that it reads.
const FORMAT: u32 = 1;

/// Spec document: the JSON under the key `spec.<hash>`. With the bundle it is enough to load the
/// spec on any body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SpecDocument {
    format: u32,
    /// Path of the document, relative to the root of the bundle.
    file: String,
    /// The document as its author wrote it.
    pub(crate) text: String,
    /// The schemas that it names and those that these refer to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) schemas: BTreeMap<String, String>,
    /// Call policy of the cell, which callers on bodies that do not run the cell need too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<StoredPolicy>,
}

impl SpecDocument {
    /// Reads the bytes stored under a spec's hash. The code that fetched them has checked the hash.
    pub(crate) fn read(bytes: &[u8]) -> anyhow::Result<Self> {
        #[derive(Deserialize)]
        struct Format {
            format: u32,
        }
        let Format { format } = serde_json::from_slice(bytes).context("the spec cannot be read")?;
        ensure!(
            format <= FORMAT,
            "a newer `cbs` wrote the spec (format {format}): this body's program is too old"
        );
        let document: Self = serde_json::from_slice(bytes).context("the spec cannot be read")?;
        ensure!(
            bundle::is_safe(&document.file),
            "the spec's file `{}` is not a path inside its folder",
            document.file.escape_debug()
        );
        Ok(document)
    }

    /// Loads the spec as if its file were in the folder `root`, where its code has been unpacked.
    /// `place` is a folder for its schemas.
    pub(crate) fn load(&self, root: &Path, place: &Path) -> anyhow::Result<Deployed> {
        let mut schemas = Bundle::default();
        for (name, text) in &self.schemas {
            schemas.add(&format!("{name}.json"), false, text.clone().into_bytes())?;
        }
        schemas.unpack(place)?;
        let file = root.join(&self.file);
        // Commands run in the folder of their spec.
        bundle::private().recursive(true).create(folder_of(&file))?;
        let options = spec::Options {
            schemas: Some(place.to_owned()),
            allow_remote: true,
            ..spec::Options::default()
        };
        let specs = match spec::load_texts([(file, self.text.as_str())], &options) {
            Ok(specs) => specs,
            Err(error) => bail!("{}", first_line(&error)),
        };
        match (specs.cells().next(), specs.flows().next()) {
            (Some(cell), None) => Ok(Deployed::Cell(cell.clone())),
            (None, Some(flow)) => Ok(Deployed::Flow(flow.clone())),
            _ => bail!("the document has not one spec"),
        }
    }
}

fn first_line(error: &spec::Error) -> String {
    let text =
        error.diagnostics().and_then(|all| all.iter().next().map(|first| first.message.clone()));
    text.unwrap_or_else(|| error.to_string())
}

/// All objects that are written for one spec.
#[derive(Debug)]
pub(crate) struct Artifact {
    pub(crate) target: Target,
    pub(crate) entry: Entry,
    pub(crate) spec: Object,
    pub(crate) bundle: Option<Object>,
}

impl Artifact {
    /// Packs a cell, and checks that its bundle can be unpacked.
    pub(crate) fn of_cell(spec: &Arc<CellSpec>) -> anyhow::Result<Self> {
        let (file, packed) = pack(spec)?;
        let schemas = [&spec.input, &spec.output]
            .into_iter()
            .flatten()
            .flat_map(|schema| schema.texts().clone());
        let document = SpecDocument {
            format: FORMAT,
            file,
            text: document(&spec.metadata)?,
            schemas: schemas.collect(),
            policy: StoredPolicy::of(&spec.policy),
        };
        let bundle = packed.as_ref().map(Bundle::encode).transpose()?.map(object);
        let hash = bundle.as_ref().map(|bundle| bundle.hash);
        let object = Object::new(serde_json::to_vec(&document)?)?;
        let parts =
            [spec.metadata.revision.clone()].into_iter().chain(document.schemas.values().cloned());
        let parts: Vec<String> = parts.chain(hash.map(|hash| hash.to_string())).collect();
        let revision = Revision::of(parts.iter().map(String::as_bytes));
        let mut entry =
            Entry::new(Version { spec: object.hash, bundle: hash, revision }, spec.language());
        settle(&mut entry, &spec.deployment);
        entry.rollout = spec.deployment.rollout.clone();
        entry.needs.platforms = packed.as_ref().map(Bundle::platforms).unwrap_or_default();
        let artifact = Self { target: spec.name.clone().into(), entry, spec: object, bundle };
        artifact.try_out(&document, packed.as_ref(), &spec.metadata.revision)?;
        Ok(artifact)
    }

    /// Packs a flow. It has no code.
    pub(crate) fn of_flow(spec: &Arc<FlowSpec>) -> anyhow::Result<Self> {
        let file = file_name(&spec.metadata.file);
        let text = document(&spec.metadata)?;
        let document =
            SpecDocument { format: FORMAT, file, text, schemas: BTreeMap::new(), policy: None };
        let object = Object::new(serde_json::to_vec(&document)?)?;
        let revision = Revision::of([spec.metadata.revision.as_bytes()]);
        let mut entry =
            Entry::new(Version { spec: object.hash, bundle: None, revision }, FLOW_RUNTIME);
        settle(&mut entry, &spec.deployment);
        let artifact = Self { target: spec.name.clone().into(), entry, spec: object, bundle: None };
        artifact.try_out(&document, None, &spec.metadata.revision)?;
        Ok(artifact)
    }

    /// Unpacks and loads the artifact as a body does. An artifact that does not arrive whole is
    /// refused here.
    fn try_out(
        &self,
        document: &SpecDocument,
        packed: Option<&Bundle>,
        revision: &str,
    ) -> anyhow::Result<()> {
        let place = tempfile::tempdir()?;
        let root = place.path().join("code");
        if let Some(packed) = packed {
            packed.unpack(&root)?;
        }
        let metadata = match document.load(&root, &place.path().join("schemas"))? {
            Deployed::Cell(cell) => cell.metadata.clone(),
            Deployed::Flow(flow) => flow.metadata.clone(),
        };
        ensure!(metadata.revision == revision, "its file changed while it was read: deploy again");
        Ok(())
    }
}

fn object(bytes: Vec<u8>) -> Object {
    Object { hash: ContentHash::of(&bytes), bytes }
}

/// Reads the text of the one document in a spec's file.
fn document(metadata: &model::Metadata) -> anyhow::Result<String> {
    let text =
        fs::read_to_string(&metadata.file).with_context(|| metadata.file.display().to_string())?;
    Ok(document_at(&text, metadata.line))
}

/// Sets the replicas and placement of an entry, and whether it is enabled.
fn settle(entry: &mut Entry, deployment: &Deployment) {
    entry.replicas = deployment.replicas;
    entry.spread.clone_from(&deployment.spread);
    entry.place.clone_from(&deployment.placement);
    entry.enabled = deployment.enabled;
}

/// Returns the path of the spec relative to the root of its bundle, and the bundle. There is no
/// bundle for a cell that is linked in.
fn pack(spec: &CellSpec) -> anyhow::Result<(String, Option<Bundle>)> {
    let here = file_name(&spec.metadata.file);
    let Some(source_files) = SourceFiles::of(spec) else { return Ok((here, None)) };
    let source_files = source_files?;
    let written = folder_of(&spec.metadata.file);
    let base = written.canonicalize()?;
    // Absolute paths are programs of the machine: they do not travel.
    let wanted = source_files
        .items()
        .filter_map(|(place, item)| Some((plain(&base.join(relative(place, written)?)), item)));
    let files: Vec<(PathBuf, &code::Item)> = wanted.collect();
    let root = files.iter().fold(base.clone(), |root, (file, _)| common(&root, folder_of(file)));
    let mut bundle = Bundle::default();
    for (file, item) in &files {
        let (content, executable) = item.read()?;
        bundle.add(&text_of(file.strip_prefix(&root)?)?, executable, content)?;
    }
    let folder = text_of(base.strip_prefix(&root)?)?;
    let file = if folder.is_empty() { here } else { format!("{folder}/{here}") };
    Ok((file, (!files.is_empty()).then_some(bundle)))
}

/// Returns the path of a code file relative to the spec's folder. Paths of commands are absolute,
/// because their programs are started from other folders.
fn relative(file: &Path, written: &Path) -> Option<PathBuf> {
    if let Ok(relative) = file.strip_prefix(written) {
        return Some(relative.to_owned());
    }
    let absolute = std::path::absolute(written).ok()?;
    file.strip_prefix(absolute)
        .ok()
        .map(Path::to_owned)
        .or_else(|| (!file.is_absolute()).then(|| file.to_owned()))
}

/// Returns the path without `.` and `..`.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => _ = plain.pop(),
            part => plain.push(part),
        }
    }
    plain
}

fn common(one: &Path, other: &Path) -> PathBuf {
    let both = one.components().zip(other.components()).take_while(|(one, other)| one == other);
    both.map(|(part, _)| part).collect()
}

fn text_of(path: &Path) -> anyhow::Result<String> {
    path.to_str().map(str::to_owned).with_context(|| format!("{} is no UTF-8", path.display()))
}

fn file_name(file: &Path) -> String {
    file.file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_else(|| "spec.yaml".to_owned())
}

#[cfg(test)]
#[path = "artifact_tests.rs"]
mod tests;
