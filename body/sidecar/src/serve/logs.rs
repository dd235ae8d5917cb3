//! The lines that this process logs, as lines of the body's log.

use std::{
    fmt::{self, Write as _},
    sync::{Arc, Weak},
};

use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    level_filters::LevelFilter,
    span,
};

use super::scope::Scopes;
use crate::{Peer, log, proto};

/// Target of the events that [`CellContext::log`](cbs::CellContext::log) writes.
const CELL_TARGET: &str = "cbs::cell";
/// Fields of these events that the body already knows from the request of a line.
const CELL_FIELDS: [&str; 4] = ["cell", "id", "correlation_id", "trace_id"];
/// Variable with the filter of the body's log. Debug lines are sent only if it names `debug` or
/// `trace`.
const LOG_VARIABLE: &str = "CBS_LOG";

/// Subscriber that sends events as log frames. Spans are not sent: the body has its own.
pub(super) struct LogSubscriber {
    peer: Weak<Peer>,
    scopes: Arc<Scopes>,
    level: LevelFilter,
}

impl LogSubscriber {
    pub(super) fn new(peer: &Arc<Peer>, scopes: Arc<Scopes>) -> Self {
        let shown = std::env::var(LOG_VARIABLE).unwrap_or_default().to_lowercase();
        let talks = shown.contains("debug") || shown.contains("trace");
        let level = if talks { LevelFilter::DEBUG } else { LevelFilter::INFO };
        Self { peer: Arc::downgrade(peer), scopes, level }
    }
}

impl Subscriber for LogSubscriber {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let Some(peer) = self.peer.upgrade() else { return };
        let target = event.metadata().target();
        let mut line = Line { is_cells: target == CELL_TARGET, ..Line::default() };
        event.record(&mut line);
        let level = match *event.metadata().level() {
            Level::ERROR => proto::Level::Error,
            Level::WARN => proto::Level::Warn,
            Level::INFO => proto::Level::Info,
            Level::DEBUG | Level::TRACE => proto::Level::Debug,
        };
        if !line.is_cells {
            target.clone_into(&mut line.logger);
        }
        let within = self.scopes.within(line.envelope);
        let Line { message, logger, fields, .. } = line;
        peer.log(proto::Log { level: level.into(), message, within, logger, fields });
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[derive(Default)]
struct Line {
    is_cells: bool,
    message: String,
    logger: String,
    envelope: Option<cbs::Uuid>,
    fields: Vec<proto::Field>,
}

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        // Writing into a `String` cannot fail.
        let _ = write!(text, "{value:?}");
        self.add(field, text);
    }
}

impl Line {
    fn add(&mut self, field: &Field, value: String) {
        match field.name() {
            "message" => self.message = value,
            name if self.is_cells && CELL_FIELDS.contains(&name) => {
                if name == "id" {
                    self.envelope = value.parse().ok();
                }
            }
            "logger" if self.is_cells => self.logger = value,
            log::OWN_FIELDS if self.is_cells => {
                let own = log::own_fields(&value).unwrap_or_default();
                self.fields.extend(own.into_iter().map(|(key, value)| proto::Field { key, value }));
            }
            name => self.fields.push(proto::Field { key: name.to_owned(), value }),
        }
    }
}
