//! Tests of both forms of a line.

use std::{fs::File, sync::Arc};

use serde_json::json;
use tracing_subscriber::{Layer, Registry, layer::SubscriberExt};

use super::*;

/// Returns a line of a cell as it is written.
fn written<W>(layer: impl FnOnce(Arc<File>) -> W) -> std::io::Result<String>
where
    W: Layer<Registry> + Send + Sync,
{
    let file = tempfile::NamedTempFile::new()?;
    let subscriber = tracing_subscriber::registry().with(layer(Arc::new(file.reopen()?)));
    let own = json!({ "sku": "green tea", "cell": "mine" });
    let exception = "KeyError\n  \u{1b}[2Jhere";
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(
            target: "cbs::cell", cell = "shop.place", lines = 3, { log::OWN_FIELDS } = %own, %exception, "placed"
        );
    });
    std::fs::read_to_string(file.path())
}

#[test]
fn fields_of_an_author_stand_beside_those_of_the_body_and_replace_none()
-> Result<(), Box<dyn std::error::Error>> {
    let line = written(|to| tracing_subscriber::fmt::layer().with_writer(to).event_format(Json))?;
    let mut read: Value = serde_json::from_str(&line)?;
    assert!(read["timestamp"].take().as_str().is_some_and(|time| time.ends_with('Z')), "{line}");
    let exception = "KeyError\n  \u{1b}[2Jhere";
    let fields = json!({ "message": "placed", "cell": "shop.place", "lines": 3, "sku": "green tea", "exception": exception });
    assert_eq!(
        read,
        json!({ "timestamp": null, "level": "WARN", "fields": fields, "target": "cbs::cell" })
    );
    Ok(())
}

#[test]
fn a_person_reads_words_and_an_exception_on_lines_of_its_own() -> std::io::Result<()> {
    let form = |to| {
        tracing_subscriber::fmt::layer()
            .with_writer(to)
            .with_ansi(false)
            .without_time()
            .fmt_fields(Plain)
    };
    let expected =
        " WARN cbs::cell: placed cell=shop.place lines=3 sku=\"green tea\"\nKeyError\n   [2Jhere\n";
    assert_eq!(written(form)?, expected);
    Ok(())
}

#[test]
fn a_line_of_the_crate_log_has_its_own_target_and_no_paths_of_its_source()
-> Result<(), Box<dyn std::error::Error>> {
    let file = tempfile::NamedTempFile::new()?;
    let form = tracing_subscriber::fmt::layer().with_writer(Arc::new(file.reopen()?));
    let subscriber = tracing_subscriber::registry().with(form.event_format(Json));
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!(
            target: "log", port = 1, { "log.target" } = "mio::poll", { "log.file" } = "/build/mio.rs", { "log.line" } = 7, "said"
        );
    });
    let read: Value = serde_json::from_str(&std::fs::read_to_string(file.path())?)?;
    assert_eq!(
        (&read["target"], &read["fields"]),
        (&json!("mio::poll"), &json!({ "message": "said", "port": 1 }))
    );
    Ok(())
}
