//! Forms of a trace for a person or a program.

use std::time::Duration;

use cbs::{Span, SpanEntry, Target};
use serde_json::{Value, json};

use super::{
    super::ls::or_dash,
    tree::{Call, Node, Tree},
};
use crate::output;

const HEAD: [&str; 9] =
    ["call", "body", "language", "via", "wait", "handler", "transport", "total", "error"];
/// Width from which a terminal has space for a picture beside the text.
const WIDE: usize = 130;
/// Number of characters of the picture.
const PICTURE: usize = 30;

/// Formats the tree; with `verbose` also the notes of cells about their calls.
pub(super) fn text(tree: &Tree<'_>, verbose: bool, width: usize) -> String {
    let rows = || tree.nodes.iter().map(row);
    let mut text = if width >= WIDE {
        let [call, body, language, via, wait, handler, transport, total, error] = HEAD;
        let head = [call, body, language, via, wait, handler, transport, total, error, "when"];
        let wide = rows().zip(&tree.nodes).map(|(row, node)| {
            let [call, body, language, via, wait, handler, transport, total, error] = row;
            [call, body, language, via, wait, handler, transport, total, error, picture(tree, node)]
        });
        output::table(head, wide)
    } else {
        output::table(HEAD, rows())
    };
    if let Some(first) = tree.nodes.iter().find_map(|node| node.call.span()) {
        let took = output::short(tree.took);
        text.push_str(&format!("\n\ntrace {}, {took}", first.trace.id()));
    }
    if verbose {
        text.extend(tree.nodes.iter().filter_map(|node| node.call.span()).filter_map(notes));
    }
    text
}

fn row(node: &Node<'_>) -> [String; 9] {
    let indent = "  ".repeat(node.depth.min(40));
    let dash = || "-".to_owned();
    let Call::Known { client, server } = &node.call else {
        let Call::Missing(id) = node.call else { return Default::default() };
        let name = format!("{indent}(span {:016x} is kept nowhere)", u64::from_be_bytes(id));
        return [name, dash(), dash(), dash(), dash(), dash(), dash(), dash(), String::new()];
    };
    let (Some(span), Some(outer)) = (node.call.span(), node.call.outer()) else {
        return Default::default();
    };
    let attempt = if span.attempt > 0 {
        format!(" (attempt {})", u64::from(span.attempt) + 1)
    } else {
        String::new()
    };
    let body = match (server, client) {
        (Some(server), _) => server.place.body.as_str(),
        (None, Some(client)) => client.peer.body.as_str(),
        (None, None) => "",
    };
    let time = |time: Option<Duration>| time.map_or_else(dash, output::short);
    let error = server
        .and_then(|span| span.error.as_ref())
        .or_else(|| client.and_then(|span| span.error.as_ref()));
    [
        format!("{indent}{}{attempt}", name(&span.target)),
        or_dash(body),
        or_dash(server.map_or("", |server| server.language.as_str())),
        outer_via(span, outer),
        time(server.map(|server| server.waited).filter(|waited| !waited.is_zero())),
        time(server.map(|server| server.elapsed.saturating_sub(server.waited))),
        time(
            client
                .zip(*server)
                .map(|(client, server)| client.elapsed.saturating_sub(server.elapsed)),
        ),
        output::short(outer.elapsed),
        error.map(|code| code.as_str().to_owned()).unwrap_or_default(),
    ]
}

/// Returns how the call travelled: the callee knows the path of the request, the caller the path of
/// the reply.
fn outer_via(span: &Span, outer: &Span) -> String {
    let far = if span.via == cbs::Transport::InProcess { outer.via } else { span.via };
    far.to_string()
}

/// Formats a target: `logic.greet`, `flow greeting`.
fn name(target: &Target) -> String {
    match target {
        Target::Cell(name) => name.to_string(),
        other => other.to_string(),
    }
}

/// Draws the time of a call within the trace: `   ━━━━━  `.
fn picture(tree: &Tree<'_>, node: &Node<'_>) -> String {
    let Some(span) = node.call.outer() else { return String::new() };
    let whole = tree.took.as_nanos().max(1);
    let place = |nanos: u128| {
        usize::try_from(nanos * PICTURE as u128 / whole).unwrap_or(PICTURE).min(PICTURE)
    };
    let offset = u128::from(span.began_ns.saturating_sub(tree.began_ns));
    let from = place(offset).min(PICTURE - 1);
    let to = place(offset + span.elapsed.as_nanos()).max(from + 1);
    let bar = if span.error.is_some() { "╍" } else { "━" };
    // A blank that a table does not take away.
    format!("{}{}{}", "·".repeat(from), bar.repeat(to - from), "·".repeat(PICTURE - to))
}

/// Formats the notes of a cell about a call; `None` if there are none.
fn notes(span: &Span) -> Option<String> {
    if span.notes.is_empty() && span.notes_dropped == 0 {
        return None;
    }
    let mut text = format!("\n\n{}", name(&span.target));
    for note in &span.notes {
        let line = match note {
            SpanEntry::Attribute { key, value } => format!("{key} = {value}"),
            SpanEntry::Event { name, time_ns, attributes } => {
                let after =
                    output::short(Duration::from_nanos(time_ns.saturating_sub(span.began_ns)));
                let more: String =
                    attributes.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
                format!("+{after} {name}{more}")
            }
        };
        text.push_str("\n  ");
        text.push_str(&output::sanitize(&line));
    }
    if span.notes_dropped > 0 {
        text.push_str(&format!("\n  ({} more did not fit)", span.notes_dropped));
    }
    Some(text)
}

/// Formats a span for a program. Times are microseconds, ids hexadecimal.
pub(super) fn document(span: &Span) -> Value {
    let id = |id: [u8; 8]| format!("{:016x}", u64::from_be_bytes(id));
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    json!({
        "trace_id": span.trace.id().to_string(),
        "span_id": id(span.trace.span_id),
        "parent_id": span.parent.map(id),
        "sampled": span.trace.is_sampled(),
        "side": span.side,
        "target": span.target.to_string(),
        "body": span.place.body,
        "cell": span.place.cell,
        "revision": span.place.revision,
        "language": span.language,
        "peer": { "body": span.peer.body, "cell": span.peer.cell },
        "request": span.id.to_string(),
        "attempt": u64::from(span.attempt) + 1,
        "began": output::moment(span.began_ns / 1_000_000),
        "began_ns": span.began_ns,
        "wait_us": micros(span.waited),
        "elapsed_us": micros(span.elapsed),
        "via": span.via,
        "error": span.error.as_ref().map(cbs::Code::as_str),
        "notes": span.notes,
        "notes_dropped": span.notes_dropped,
    })
}
