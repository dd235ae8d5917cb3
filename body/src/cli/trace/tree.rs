//! Spans as a tree: the spans of a call's caller and callee are one node.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use cbs::{Side, Span};

/// Limit of the depth that is shown. In one body, calls are 32 deep at most.
const DEPTH_MAX: usize = 200;

/// All known spans of one trace.
pub(super) struct Tree<'a> {
    /// Nodes in the order in which they are shown: each after its parent, children by start time.
    pub(super) nodes: Vec<Node<'a>>,
    /// Start of the first span.
    pub(super) began_ns: u64,
    /// Time from that start to the last end.
    pub(super) took: Duration,
}

/// One call, or a gap in the tree.
pub(super) struct Node<'a> {
    pub(super) depth: usize,
    pub(super) call: Call<'a>,
}

pub(super) enum Call<'a> {
    /// A call with the span of its caller, of its callee, or of both.
    Known { client: Option<&'a Span>, server: Option<&'a Span> },
    /// A call whose children are known, but that has no span itself.
    Missing([u8; 8]),
}

impl<'a> Call<'a> {
    /// Returns the span that has more facts: the callee's, else the caller's.
    pub(super) fn span(&self) -> Option<&'a Span> {
        match self {
            Self::Known { client, server } => server.or(*client),
            Self::Missing(_) => None,
        }
    }

    /// Returns the longer span: the caller's, which includes transport, else the callee's.
    pub(super) fn outer(&self) -> Option<&'a Span> {
        match self {
            Self::Known { client, server } => client.or(*server),
            Self::Missing(_) => None,
        }
    }
}

impl<'a> Tree<'a> {
    /// Builds the tree from spans in the order of their start.
    pub(super) fn of(spans: &'a [Span]) -> Self {
        let mut growing = Growing::new(spans);
        for span in spans {
            if span.parent.is_none() {
                growing.grow(span, 0);
            }
        }
        for span in spans {
            let Some(parent) = span.parent else { continue };
            if growing.shown.contains(&span.trace.span_id) {
                continue;
            }
            if growing.ids.contains(&parent) {
                continue;
            }
            growing.nodes.push(Node { depth: 0, call: Call::Missing(parent) });
            growing.children(parent, 1);
        }
        // The remaining spans form a cycle: they are shown too.
        for span in spans {
            growing.grow(span, 0);
        }
        let began_ns = spans.iter().map(|span| span.began_ns).min().unwrap_or(0);
        let ends =
            spans.iter().map(|span| Duration::from_nanos(span.began_ns - began_ns) + span.elapsed);
        Self { nodes: growing.nodes, began_ns, took: ends.max().unwrap_or_default() }
    }
}

struct Growing<'a> {
    ids: HashSet<[u8; 8]>,
    by_parent: HashMap<[u8; 8], Vec<&'a Span>>,
    shown: HashSet<[u8; 8]>,
    nodes: Vec<Node<'a>>,
}

impl<'a> Growing<'a> {
    fn new(spans: &'a [Span]) -> Self {
        let mut by_parent: HashMap<_, Vec<_>> = HashMap::new();
        for span in spans {
            if let Some(parent) = span.parent {
                by_parent.entry(parent).or_default().push(span);
            }
        }
        let ids = spans.iter().map(|span| span.trace.span_id).collect();
        Self { ids, by_parent, shown: HashSet::new(), nodes: Vec::new() }
    }

    /// Adds a call with all calls that follow from it, once.
    fn grow(&mut self, span: &'a Span, depth: usize) {
        if depth > DEPTH_MAX || !self.shown.insert(span.trace.span_id) {
            return;
        }
        let (client, server) = match span.side {
            Side::Server => (None, Some(span)),
            Side::Client => {
                let answers = |other: &&&Span| {
                    other.side == Side::Server
                        && (other.id, other.attempt) == (span.id, span.attempt)
                };
                let below = self.by_parent.get(&span.trace.span_id);
                (Some(span), below.and_then(|below| below.iter().find(answers)).copied())
            }
        };
        self.nodes.push(Node { depth, call: Call::Known { client, server } });
        if let (Some(_), Some(server)) = (client, server) {
            self.shown.insert(server.trace.span_id);
            self.children(server.trace.span_id, depth + 1);
        }
        self.children(span.trace.span_id, depth + 1);
    }

    fn children(&mut self, parent: [u8; 8], depth: usize) {
        for span in self.by_parent.get(&parent).cloned().unwrap_or_default() {
            self.grow(span, depth);
        }
    }
}

#[cfg(test)]
#[path = "tree_tests.rs"]
mod tests;
