//! The four parts that every document has.

use std::sync::Arc;

use cbs::{CellName, FlowName, Target};
use model::{CellSpec, Metadata};

use super::{
    cell,
    fields::Fields,
    flow::{self, Call},
    item::Item,
    shape::{CELL_KIND, DOCUMENT, KINDS, METADATA},
};
use crate::{
    API_VERSION, FlowSpec, code, findings::Findings, revision, schema::Schemas, source::SourceSpan,
    suggest, yaml::Node,
};

/// Context of reading a document: the place for mistakes, and the schemas.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) findings: &'a Findings,
    pub(crate) schemas: &'a Schemas,
}

/// A document as far as it could be read.
#[derive(Debug, Default)]
pub(crate) struct Document {
    /// Declared cell or flow and the place of its name, even if the rest is broken. Other specs may
    /// refer to it, and get reports only of their own mistakes.
    pub(crate) declares: Option<(Target, SourceSpan)>,
    /// Calls that it makes.
    pub(crate) calls: Vec<Call>,
    /// The spec itself; complete only where the file has no mistake.
    pub(crate) spec: Option<Spec>,
}

/// A spec of one kind or the other.
#[derive(Debug)]
pub(crate) enum Spec {
    Cell(Arc<CellSpec>),
    Flow(Arc<FlowSpec>),
}

/// Reads a document.
pub(crate) fn document(root: &Node, context: Context<'_>) -> Document {
    let findings = context.findings;
    let Some(fields) = Fields::open(Item { name: "document", node: root, findings }, &DOCUMENT)
    else {
        return Document::default();
    };
    version(&fields);
    let kind = kind(&fields);
    let metadata = fields
        .need("metadata", "add `metadata: { name: … }`")
        .and_then(|item| Fields::open(item, &METADATA));
    let named = metadata.and_then(|metadata| {
        metadata.need("name", "a spec needs a name, for example `name: logic.greet`")
    });
    let spec = fields.need("spec", "add `spec:` with the fields of this kind");
    let metadata = read_metadata(root, metadata, findings);
    match kind {
        Some(CELL_KIND) => {
            let name = named.and_then(|item| item.name(CellName::new));
            let cell = spec.and_then(|spec| cell::read(spec, name.clone(), metadata, context));
            Document {
                declares: declared(name.map(Target::Cell), named),
                calls: Vec::new(),
                spec: cell.map(Arc::new).map(Spec::Cell),
            }
        }
        Some(_) => {
            let name = named.and_then(|item| item.name(FlowName::new));
            let (flow, calls) =
                spec.map(|spec| flow::read(spec, name.clone(), metadata)).unwrap_or_default();
            Document {
                declares: declared(name.map(Target::Flow), named),
                calls,
                spec: flow.map(Arc::new).map(Spec::Flow),
            }
        }
        None => Document::default(),
    }
}

fn declared(target: Option<Target>, named: Option<Item<'_>>) -> Option<(Target, SourceSpan)> {
    target.zip(named.map(|item| item.node.span))
}

fn version(fields: &Fields<'_>) {
    let hint = format!("add `apiVersion: {API_VERSION}`");
    if let Some(item) = fields.need("apiVersion", &hint)
        && let Some(text) = item.text()
        && text != API_VERSION
    {
        let message =
            format!("this program does not know the apiVersion `{}`", super::fields::shown(text));
        let _: Option<()> =
            item.report(code::UNKNOWN_VERSION, message, Some(format!("write `{API_VERSION}`")));
    }
}

fn kind(fields: &Fields<'_>) -> Option<&'static str> {
    let item = fields.need("kind", "add `kind: Cell` or `kind: Flow`")?;
    let text = item.text()?;
    let known = KINDS.iter().find(|kind| **kind == text).copied();
    if known.is_none() {
        let message = format!("there is no kind `{}`", super::fields::shown(text));
        return item.report(code::UNKNOWN_KIND, message, suggest::hint(text, KINDS));
    }
    known
}

fn read_metadata(root: &Node, fields: Option<Fields<'_>>, findings: &Findings) -> Metadata {
    let field = |name| fields.and_then(|fields| fields.get(name));
    let (line, _) = findings.source.line_and_column(root.span.offset);
    Metadata {
        file: findings.source.file.clone(),
        line,
        description: field("description").and_then(Item::text).map(str::to_owned),
        labels: field("labels").and_then(Item::text_map).unwrap_or_default(),
        annotations: field("annotations").and_then(Item::text_map).unwrap_or_default(),
        revision: revision::of_document(root),
    }
}
