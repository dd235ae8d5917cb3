//! Shared parts of this crate's tests: a body with scripted processes.
#![allow(dead_code, reason = "each test file takes what it needs")]

use std::{
    io::Write,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bus::InProcess;
use cbs::{
    BodyBus, BodyId, BoxFuture, BusError, CellEnv, CellError, Console, Envelope, Namespace,
    NativeCell, Span, SpanSink, Target, Worker,
};
use host::{NativeHost, Restarts, Running, State, Supervisor};
use host_sidecar::{Settings, SidecarHost};
use model::CellSpec;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

/// Longer than anything here takes on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(30);

pub(crate) type Tested = Result<(), Box<dyn std::error::Error>>;

/// A terminal that keeps the first printed lines, and counts all lines.
#[derive(Default)]
pub(crate) struct Terminal(Mutex<Vec<String>>, AtomicUsize);

/// Number of lines that are kept.
const LINES_MAX: usize = 1_000;

impl Terminal {
    pub(crate) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.1.load(Ordering::Relaxed)
    }
}

impl Console for Terminal {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async move {
            // A terminal takes its time.
            tokio::task::yield_now().await;
            if self.1.fetch_add(1, Ordering::Relaxed) < LINES_MAX {
                self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
            Ok(())
        })
    }
    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async move { Ok((question != "nobody?").then(|| format!("{question} yes"))) })
    }
}

/// Number of spans that are kept: a flood of refused calls makes more of them than a test reads.
const SPANS_MAX: usize = 1_000;

/// The first spans of calls that were sampled, or failed.
#[derive(Default)]
pub(crate) struct Spans(Mutex<Vec<Span>>);

impl Spans {
    /// Returns the spans of one target, in the order in which they ended.
    pub(crate) fn of(&self, target: &str) -> Vec<Span> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|span| span.target.name() == target).cloned().collect()
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
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() < SPANS_MAX {
            all.push(span);
        }
    }
}

/// A body without NATS, whose cells are scripted processes.
pub(crate) struct Body {
    pub(crate) bus: Arc<InProcess>,
    pub(crate) terminal: Arc<Terminal>,
    pub(crate) spans: Arc<Spans>,
    supervisor: Supervisor,
}

/// Returns the default settings, with shorter times where a test would have to wait.
pub(crate) fn settings() -> Settings {
    Settings::new(Namespace::default())
}

impl Body {
    pub(crate) fn new(settings: Settings) -> Result<Self, Box<dyn std::error::Error>> {
        Self::with_cells(settings, [])
    }

    pub(crate) fn with_cells(
        settings: Settings,
        cells: impl IntoIterator<Item = NativeCell>,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let native = NativeHost::new(cells).map_err(|_| "a linked-in cell has a bad name")?;
        let supervisor = Supervisor::new(
            vec![Arc::new(SidecarHost::exec(settings)), Arc::new(native)],
            Restarts::default(),
        );
        Ok(Self {
            bus: InProcess::new(bus::Settings::default()),
            terminal: Arc::default(),
            spans: Arc::default(),
            supervisor,
        })
    }

    /// Starts a cell on this body's bus; see [`spec`] for its fields.
    pub(crate) fn start(
        &self,
        name: &str,
        fields: &str,
    ) -> Result<Running, Box<dyn std::error::Error>> {
        self.start_on(self.bus.clone(), name, fields)
    }

    pub(crate) fn start_on(
        &self,
        bus: Arc<dyn BodyBus>,
        name: &str,
        fields: &str,
    ) -> Result<Running, Box<dyn std::error::Error>> {
        let env = CellEnv::new(name.parse()?, BodyId::new("web1")?, bus, self.terminal.clone());
        let env = env.with_span_sink(Some(self.spans.clone()));
        Ok(self.supervisor.start(spec(name, fields)?, env)?)
    }

    /// Starts a cell of a spec that was read from a file.
    pub(crate) fn start_spec(
        &self,
        spec: Arc<CellSpec>,
    ) -> Result<Running, Box<dyn std::error::Error>> {
        let target = spec.name.clone().into();
        let env =
            CellEnv::new(target, BodyId::new("web1")?, self.bus.clone(), self.terminal.clone());
        Ok(self.supervisor.start(spec, env)?)
    }

    /// Starts a scripted cell and waits until it takes calls.
    pub(crate) async fn ready(
        &self,
        name: &str,
        script: &str,
    ) -> Result<Running, Box<dyn std::error::Error>> {
        self.ready_with(name, script, "").await
    }

    pub(crate) async fn ready_with(
        &self,
        name: &str,
        script: &str,
        fields: &str,
    ) -> Result<Running, Box<dyn std::error::Error>> {
        let running = self.start(name, &scripted(script, name, fields))?;
        running.ready(LONG).await.map_err(|state| format!("{name} is not ready: {state:?}"))?;
        Ok(running)
    }

    pub(crate) async fn call(&self, name: &str, payload: &str) -> Result<String, BusError> {
        call(&*self.bus, name, payload).await
    }
}

/// Returns the fields of a cell that a scripted process serves, followed by `fields`.
pub(crate) fn scripted(script: &str, name: &str, fields: &str) -> String {
    let program = env!("CARGO_BIN_EXE_scripted-sidecar");
    format!("runtime: exec\ncommand: [{program}, {script}, {name}]\n{fields}")
}

/// Returns the spec of a cell with these fields, each on a line of its own.
pub(crate) fn spec(name: &str, fields: &str) -> Result<Arc<CellSpec>, Box<dyn std::error::Error>> {
    let fields: String = fields.lines().map(|line| format!("  {line}\n")).collect();
    let yaml = format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {name} }}\nspec:\n{fields}"
    );
    let specs =
        spec::load_texts([("specs.yaml".into(), yaml.as_str())], &spec::Options::default())?;
    specs.cells().next().cloned().ok_or_else(|| "no cell".into())
}

pub(crate) async fn call(bus: &dyn BodyBus, name: &str, payload: &str) -> Result<String, BusError> {
    let reply = bus.call(request(name, payload)).await?;
    Ok(String::from_utf8_lossy(&reply.payload).into_owned())
}

/// Returns a request that may take as long as a test may.
pub(crate) fn request(name: &str, payload: &str) -> Envelope {
    let target: Target = name.parse().unwrap_or_else(|error| panic!("{error}"));
    Envelope { timeout: Some(LONG), ..Envelope::request(target, payload.to_owned()) }
}

pub(crate) fn workers(running: &Running) -> Vec<Worker> {
    running.handler().stats().workers()
}

/// Returns the process that serves the cell, or the first of them.
pub(crate) fn pid(running: &Running) -> Option<i32> {
    workers(running).first()?.name.strip_prefix("process ")?.parse().ok()
}

pub(crate) fn reason(state: &State) -> &str {
    state.reason.as_deref().unwrap_or_default()
}

/// True if the process runs; a zombie does not.
pub(crate) fn runs(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.starts_with(" Z")))
}

/// True if the process exists, also as a zombie.
pub(crate) fn exists(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Returns the result, and the time that it took.
pub(crate) async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let began = Instant::now();
    (work.await, began.elapsed())
}

/// Text that is logged on this thread.
#[derive(Clone, Default)]
pub(crate) struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    /// Collects the log until the guard is dropped.
    pub(crate) fn listen() -> (Self, DefaultGuard) {
        let logged = Self::default();
        let subscriber =
            tracing_subscriber::fmt().with_writer(logged.clone()).with_ansi(false).finish();
        (logged, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap_or_else(PoisonError::into_inner)).into_owned()
    }
}

impl Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).write(bytes)
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
