//! Helpers that the tests of this crate share.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{
    io::Write,
    sync::{Arc, Mutex},
    time::Duration,
};

use bus::{ConcurrencySettings, InProcess, Settings};
use cbs::{
    BodyBus, BodyId, BoxFuture, BusError, CellEnv, CellError, Console, DynCell, Envelope,
    NativeCell, Serving, Target,
};
use host::{CallLimits, CellHandler, Schemas};
use model::CellSpec;
use serde_json::Value;
use spec::Specs;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// A program without a terminal.
pub(crate) struct NoConsole;

impl Console for NoConsole {
    fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async { Ok(()) })
    }
    fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async { Ok(None) })
    }
}

pub(crate) fn bus() -> Arc<InProcess> {
    InProcess::new(Settings::default())
}

pub(crate) fn target(name: &str) -> Target {
    name.parse().unwrap()
}

pub(crate) fn env(bus: Arc<dyn BodyBus>, name: &str) -> CellEnv {
    let env = CellEnv::new(target(name), BodyId::new("web1").unwrap(), bus, Arc::new(NoConsole));
    env.with_reply_max(Settings::default().payload_max)
}

pub(crate) fn limits(concurrency: usize, queue: usize, timeout: Duration) -> CallLimits {
    CallLimits {
        concurrency: ConcurrencySettings { concurrency, queue, ..ConcurrencySettings::default() },
        timeout,
    }
}

/// Serves a cell as a body does.
pub(crate) async fn serve(
    bus: &Arc<InProcess>,
    cell: &NativeCell,
    limits: CallLimits,
    schemas: Schemas,
) -> Served {
    serve_dyn(bus, cell.name(), cell.cell(), limits, schemas).await
}

pub(crate) async fn serve_dyn(
    bus: &Arc<InProcess>,
    name: &str,
    cell: Arc<dyn DynCell>,
    limits: CallLimits,
    schemas: Schemas,
) -> Served {
    let cell_handler = CellHandler::new(Arc::new(env(bus.clone(), name)), cell, limits, schemas);
    let serving = bus.serve(cell_handler.service(Arc::default())).await.unwrap();
    Served { cell_handler, serving }
}

/// A served cell.
pub(crate) struct Served {
    pub(crate) cell_handler: Arc<CellHandler>,
    pub(crate) serving: Box<dyn Serving>,
}

pub(crate) async fn call(bus: &dyn BodyBus, name: &str, input: Value) -> Result<Value, BusError> {
    let reply = bus.call(Envelope::request(target(name), input.to_string())).await?;
    Ok(serde_json::from_slice(&reply.payload).unwrap())
}

/// Returns specs from YAML, with two schemas for them.
pub(crate) fn specs(yaml: &str) -> Specs {
    let schemas = &[
        (
            "demo/v1/Name",
            r#"{"type":"object","required":["name"],"additionalProperties":false,
                "properties":{"name":{"type":"string","minLength":1},"age":{"type":"integer"}}}"#,
        ),
        ("demo/v1/Count", r#"{"type":"integer"}"#),
    ];
    let options = spec::Options { embedded_schemas: schemas, ..spec::Options::default() };
    spec::load_texts([("specs.yaml".into(), yaml)], &options).unwrap()
}

/// Returns the spec of a Rust cell with these further fields, each on its own line.
pub(crate) fn cell_spec(name: &str, fields: &str) -> Arc<CellSpec> {
    let fields: String = fields.lines().map(|line| format!("  {}\n", line.trim())).collect();
    let yaml = format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec:\n  runtime: rust\n{fields}"
    );
    specs(&yaml).cells().next().unwrap().clone()
}

/// Log of this thread.
#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Records the log until the guard is dropped.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let writer = logged.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(writer).with_ansi(false).finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Logged {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
