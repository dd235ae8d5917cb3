//! Checks that need all specs at once.

use std::collections::{BTreeMap, BTreeSet};

use cbs::Target;

use crate::{code, findings::Findings, read::Document, source::SourceSpan, suggest};

/// A file after reading.
#[derive(Debug)]
pub(crate) struct FileRead {
    pub(crate) findings: Findings,
    pub(crate) documents: Vec<Document>,
}

/// Where something is declared.
#[derive(Clone, Copy)]
struct Declared<'a> {
    target: &'a Target,
    span: SourceSpan,
    findings: &'a Findings,
}

impl Declared<'_> {
    /// `file:line`, for hints.
    fn location(&self) -> String {
        let (line, _) = self.findings.source.line_and_column(self.span.offset);
        format!("{}:{line}", self.findings.source.file.display())
    }
}

/// Checks all files against each other.
pub(crate) fn check(files: &[FileRead], allow_remote: bool) {
    let declared = names(files);
    if !allow_remote {
        calls(files, &declared);
    }
    cycles(files);
}

/// Reports names that are declared twice or are too similar. Returns the first place of each name.
fn names(files: &[FileRead]) -> BTreeMap<&Target, Declared<'_>> {
    let mut first: BTreeMap<&Target, Declared<'_>> = BTreeMap::new();
    let mut alike: BTreeMap<(&str, String), Declared<'_>> = BTreeMap::new();
    for FileRead { findings, documents } in files {
        for (target, span) in documents.iter().filter_map(|document| document.declares.as_ref()) {
            let here = Declared { target, span: *span, findings };
            let folded = (target.kind(), target.name().replace('-', "_"));
            if let Some(there) = first.get(target) {
                let hint = format!(
                    "the other is in {}: take one out or give it another name",
                    there.location()
                );
                findings.add(
                    *span,
                    code::DUPLICATE_NAME,
                    format!("there are two specs of the {target}"),
                    hint,
                );
            } else if let Some(there) = alike.get(&folded) {
                let message = format!(
                    "`{}` and `{}` differ only in `-` and `_`",
                    target.name(),
                    there.target.name()
                );
                let location = there.location();
                let hint = format!(
                    "the other is in {location}: they would be one resource elsewhere, so choose another name"
                );
                findings.add(*span, code::SIMILAR_NAME, message, hint);
            }
            first.entry(target).or_insert(here);
            alike.entry(folded).or_insert(here);
        }
    }
    first
}

/// Reports calls to cells and flows that no spec declares.
fn calls(files: &[FileRead], declared: &BTreeMap<&Target, Declared<'_>>) {
    for FileRead { findings, documents } in files {
        for call in documents.iter().flat_map(|document| &document.calls) {
            if call.external || declared.contains_key(&call.target) {
                continue;
            }
            let same_kind = declared.keys().filter(|known| known.kind() == call.target.kind());
            let hint = match suggest::nearest(call.target.name(), same_kind.map(|known| known.name())) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "load its spec too (name the folder of both), or say `external: true` where it runs elsewhere"
                    .to_owned(),
            };
            let code = if let Target::Flow(_) = call.target {
                code::UNKNOWN_FLOW
            } else {
                code::UNKNOWN_CELL
            };
            findings.add(call.span, code, format!("no spec declares the {}", call.target), hint);
        }
    }
}

/// A call from one flow to another.
type Edge<'a> = (&'a str, SourceSpan, &'a Findings);

/// Reports flows that call each other in a circle: such a run would never end. Each circle is
/// reported once for every call that closes it.
fn cycles(files: &[FileRead]) {
    let mut edges: BTreeMap<&str, Vec<Edge<'_>>> = BTreeMap::new();
    for FileRead { findings, documents } in files {
        for document in documents {
            if let Some((Target::Flow(flow), _)) = &document.declares {
                let calls =
                    document.calls.iter().filter(|call| matches!(call.target, Target::Flow(_)));
                let calls = calls.map(|call| (call.target.name(), call.span, findings));
                edges.entry(flow.as_str()).or_default().extend(calls);
            }
        }
    }
    let mut done = BTreeSet::new();
    for flow in edges.keys() {
        walk(flow, &edges, &mut done);
    }
}

/// Walks depth first from one flow, with an explicit stack because a chain of flows may be long.
fn walk<'a>(from: &'a str, edges: &BTreeMap<&'a str, Vec<Edge<'a>>>, done: &mut BTreeSet<&'a str>) {
    let mut path: Vec<(&str, usize)> = vec![(from, 0)];
    if done.contains(from) {
        return;
    }
    while let Some((flow, next)) = path.last_mut() {
        let Some((callee, span, findings)) =
            edges.get(flow).and_then(|calls| calls.get(*next)).copied()
        else {
            done.insert(*flow);
            path.pop();
            continue;
        };
        *next += 1;
        if let Some(start) = path.iter().position(|(flow, _)| *flow == callee) {
            let circle: Vec<&str> =
                path.iter().skip(start).map(|(flow, _)| *flow).chain([callee]).collect();
            let message = format!("flows call each other in a circle: {}", shown(&circle));
            findings.add(span, code::FLOW_CYCLE, message, "take one of the calls out".to_owned());
        } else if edges.contains_key(callee) && !done.contains(callee) {
            path.push((callee, 0));
        }
    }
}

/// Returns a circle as text, shortened if it is long.
fn shown(circle: &[&str]) -> String {
    const SHOWN_MAX: usize = 8;
    match circle.get(..SHOWN_MAX) {
        Some(start) if circle.len() > SHOWN_MAX + 1 => {
            format!("{} -> … -> {}", start.join(" -> "), circle.last().copied().unwrap_or_default())
        }
        _ => circle.join(" -> "),
    }
}
