//! Shared parts of the tests of this crate: a body with Python cells whose files the test writes.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{
    cell::RefCell,
    env,
    fmt::Write as _,
    fs, io,
    path::{Path, PathBuf},
    rc::{Rc, Weak},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use bus::{InProcess, Settings};
use cbs::{
    BodyBus, BodyId, BoxFuture, BusError, CellEnv, CellError, Console, Envelope, Span, SpanSink,
    Target, Uuid, Worker,
};
use host::{Host, Restarts, Running, State, Supervisor};
use host_python::PythonHost;
use model::CellSpec;
use serde_json::Value;
use tempfile::TempDir;
use tracing_subscriber::fmt::MakeWriter;

pub(crate) const LONG: Duration = Duration::from_secs(20);

/// Terminal that keeps the printed lines, and answers every question.
#[derive(Default)]
pub(crate) struct Screen(Mutex<Vec<String>>);

impl Console for Screen {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        self.0.lock().unwrap().push(line);
        Box::pin(async { Ok(()) })
    }
    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async move { Ok(Some(format!("{question} Ada"))) })
    }
}

impl Screen {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

/// Spans of calls that were sampled, or failed.
#[derive(Default)]
pub(crate) struct Spans(Mutex<Vec<Span>>);

impl Spans {
    /// Returns the span of the call with this id.
    pub(crate) fn of(&self, id: Uuid) -> Option<Span> {
        self.0.lock().unwrap().iter().find(|span| span.id == id).cloned()
    }
}

impl SpanSink for Spans {
    fn samples(&self, _: [u8; 16]) -> bool {
        false
    }
    fn slow(&self) -> Duration {
        LONG * 100
    }
    fn record(&self, span: Span) {
        self.0.lock().unwrap().push(span);
    }
}

/// Folder of cells, and the body that hosts them.
pub(crate) struct Body {
    pub(crate) folder: TempDir,
    pub(crate) bus: Arc<InProcess>,
    pub(crate) screen: Arc<Screen>,
    pub(crate) log: Log,
    pub(crate) spans: Arc<Spans>,
    supervisor: Supervisor,
    _turn: Rc<Turn>,
}

impl Body {
    pub(crate) fn new() -> Self {
        let (turn, log) = (turn(), Log::listen());
        // The worker is a test of this very program that only cells start.
        let worker = [
            env::current_exe().unwrap().into(),
            "--exact".into(),
            "worker".into(),
            "--ignored".into(),
        ];
        let command = worker.into_iter().chain(["--nocapture".into(), "--".into()]).collect();
        let host = PythonHost::new(host_sidecar::Settings::new(cbs::Namespace::default()))
            .with_worker_command(command);
        let host: Arc<dyn Host> = Arc::new(host);
        // One failure is enough for a test.
        let restarts = Restarts {
            intensity: 0,
            failed_retry: Duration::from_secs(600),
            start_timeout: Duration::from_secs(100),
            ..Restarts::default()
        };
        Self {
            folder: tempfile::tempdir().unwrap(),
            bus: InProcess::new(Settings::default()),
            screen: Arc::default(),
            log,
            spans: Arc::default(),
            supervisor: Supervisor::new(vec![host], restarts),
            _turn: turn,
        }
    }

    /// Writes a file in the folder.
    pub(crate) fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Returns the spec of a Python cell with these further fields, each on a line of its own.
    pub(crate) fn spec(&self, name: &str, source: &str, fields: &str) -> Arc<CellSpec> {
        let mut yaml = format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec:\n  runtime: python\n  source: {}/{source}\n",
            self.folder.path().display()
        );
        for line in fields.lines() {
            writeln!(yaml, "  {}", line.trim()).unwrap();
        }
        let specs =
            spec::load_texts([("specs.yaml".into(), &*yaml)], &spec::Options::default()).unwrap();
        specs.cells().next().unwrap().clone()
    }

    pub(crate) fn env(&self, spec: &CellSpec) -> CellEnv {
        CellEnv::new(
            spec.name.clone().into(),
            BodyId::new("web1").unwrap(),
            self.bus.clone(),
            self.screen.clone(),
        )
        .with_span_sink(Some(self.spans.clone()))
    }

    pub(crate) fn begin(&self, spec: &Arc<CellSpec>) -> Running {
        self.supervisor.start(spec.clone(), self.env(spec)).unwrap()
    }

    /// Starts a cell from `source` (`file.py:function`), and waits until calls reach it.
    pub(crate) async fn start(&self, name: &str, source: &str, fields: &str) -> Running {
        let running = self.begin(&self.spec(name, source, fields));
        running
            .ready(LONG)
            .await
            .unwrap_or_else(|state| panic!("{name}: {state:?}\n{}", self.log.text()));
        running
    }

    /// Starts a cell `demo.cell` whose file has this text and whose function is `run`.
    pub(crate) async fn cell(&self, text: &str, fields: &str) -> Running {
        self.file("cell.py", text);
        self.start("demo.cell", "cell.py:run", fields).await
    }

    /// Returns the result of the check, which starts nothing.
    pub(crate) fn checked(&self, text: &str, fields: &str) -> Result<(), String> {
        self.file("cell.py", text);
        self.supervisor
            .check(&self.spec("demo.cell", "cell.py:run", fields))
            .map_err(|error| error.to_string())
    }

    /// Starts a cell that cannot be started, and returns the reason.
    pub(crate) async fn refused(&self, text: &str) -> String {
        self.file("cell.py", text);
        let spec = self.spec("demo.cell", "cell.py:run", "");
        let running = match self.supervisor.start(spec.clone(), self.env(&spec)) {
            Ok(running) => running,
            Err(error) => return error.to_string(),
        };
        let State { reason, .. } = running.ready(LONG).await.expect_err("it started");
        reason.unwrap()
    }

    pub(crate) async fn call(&self, name: &str, input: Value) -> Result<Value, BusError> {
        call(&*self.bus, name, input).await
    }
}

pub(crate) async fn call(bus: &dyn BodyBus, name: &str, input: Value) -> Result<Value, BusError> {
    call_within(bus, name, input, LONG).await
}

pub(crate) async fn call_within(
    bus: &dyn BodyBus,
    name: &str,
    input: Value,
    timeout: Duration,
) -> Result<Value, BusError> {
    let request =
        Envelope { timeout: Some(timeout), ..Envelope::request(target(name), input.to_string()) };
    let reply = bus.call(request).await?;
    Ok(serde_json::from_slice(&reply.payload).unwrap())
}

pub(crate) fn target(name: &str) -> Target {
    name.parse().unwrap()
}

pub(crate) fn workers(running: &Running) -> Vec<Worker> {
    running.handler().stats().workers()
}

/// Returns the number of entries of a folder in `/proc/self`.
pub(crate) fn count(folder: &str) -> usize {
    fs::read_dir(Path::new("/proc/self").join(folder)).unwrap().count()
}

/// Right to use the log of the whole process: if several tests run in one process, as with
/// `cargo test`, each waits for its turn.
type Turn = MutexGuard<'static, ()>;

/// Returns the turn of this thread's test: that of a body which it has, or a new one with an empty
/// log.
fn turn() -> Rc<Turn> {
    static TURN: Mutex<()> = Mutex::new(());
    thread_local!(static HELD: RefCell<Weak<Turn>> = const { RefCell::new(Weak::new()) });
    HELD.with_borrow_mut(|held| {
        held.upgrade().unwrap_or_else(|| {
            // A test that failed has had its turn as well.
            let turn = Rc::new(TURN.lock().unwrap_or_else(PoisonError::into_inner));
            Log::listen().0.lock().unwrap().clear();
            *held = Rc::downgrade(&turn);
            turn
        })
    })
}

/// Log of the whole process, because lanes are threads of their own.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Records the log from now on.
    pub(crate) fn listen() -> Self {
        static LOG: OnceLock<Log> = OnceLock::new();
        LOG.get_or_init(|| {
            let log = Self::default();
            let subscriber =
                tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
            tracing::subscriber::set_global_default(subscriber).unwrap();
            log
        })
        .clone()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }

    /// Returns its records: a line that does not begin with the time belongs to the record before
    /// it.
    pub(crate) fn records(&self) -> Vec<String> {
        let mut records: Vec<String> = Vec::new();
        for line in self.text().lines() {
            match records.last_mut() {
                Some(record) if !line.starts_with("20") => write!(record, "\n{line}").unwrap(),
                _ => records.push(line.to_owned()),
            }
        }
        records
    }

    /// Waits until there is a record that has all of these parts.
    pub(crate) async fn has(&self, parts: &[&str]) {
        let there =
            || self.records().iter().any(|line| parts.iter().all(|part| line.contains(part)));
        let until = tokio::time::Instant::now() + LONG;
        while !there() {
            assert!(
                tokio::time::Instant::now() < until,
                "no record with {parts:?} in:\n{}",
                self.text()
            );
            // sleep: between two looks at the log
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}
