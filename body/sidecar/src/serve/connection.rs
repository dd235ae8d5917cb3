//! A sidecar's connection to its body, from hello to goodbye.

use std::{
    collections::BTreeMap,
    future::{Future, pending},
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use cbs::{BodyId, BoxFuture, CellEnv, CellError, CellName, Code, DynCell, Target};
use futures::FutureExt;
use tokio::{
    net::UnixStream,
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};

use super::{
    bus::{SidecarBus, SidecarConsole},
    error::Error,
    inbound::{Cells, Health, Served, Serving, message, timeout as timeout_of},
    logs::LogSubscriber,
    scope::Scopes,
};
use crate::{
    End, Engine, PROTOCOL, Peer, Role, Settings, proto,
    wire::{FRAME_BYTES_MAX, Frames, Kind, name},
};

/// The environment variable that names the body's socket.
pub const SOCKET_VARIABLE: &str = "CBS_SIDECAR_SOCKET";
/// Limit of the time in which the body must accept the connection, and answer hello.
const WELCOME_TIMEOUT: Duration = Duration::from_secs(10);
/// Number of bytes that the body may send before this side has handed them on, if hello does not
/// give one.
const CREDIT: u64 = 4 * 1024 * 1024;
/// Limit of the time for stop hooks if the connection has ended and the body gave no limit.
const STOP_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection to the body, after welcome. [`serve`](crate::serve) uses it. It is public for
/// programs that make their cells from the welcome.
pub struct Connection {
    welcome: proto::Welcome,
    peer: Arc<Peer>,
    engine: Engine<UnixStream>,
    cells: Arc<Cells>,
    drain: watch::Receiver<Option<Duration>>,
}

/// Options of [`Connection::serve_with`].
pub struct Options {
    /// Function that returns the numbers of a pong (except its nonce). It must not block. If its
    /// number of requests in flight is less than that of the connection, the connection's number is
    /// sent.
    pub health: Arc<dyn Fn() -> proto::Pong + Send + Sync>,
    /// Future that is done when the process must end at once. Its value is the reason in goodbye.
    pub stop: BoxFuture<'static, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { health: Arc::new(proto::Pong::default), stop: Box::pin(pending()) }
    }
}

impl Connection {
    /// Connects to the body that started this program. Fills in `hello.protocol` and, where they
    /// are 0, the credit.
    ///
    /// # Errors
    /// No body started this program, its socket cannot be reached, or the body refuses the process.
    pub async fn open(hello: proto::Hello) -> Result<Self, Error> {
        let path = std::env::var_os(SOCKET_VARIABLE).filter(|path| !path.is_empty());
        Self::open_at(&path.map(PathBuf::from).ok_or(Error::NotStartedByABody)?, hello).await
    }

    /// Connects as [`Self::open`] does, with the path of the socket.
    ///
    /// # Errors
    /// The errors of [`Self::open`].
    pub async fn open_at(path: &Path, hello: proto::Hello) -> Result<Self, Error> {
        let late = |_| Error::NoWelcome(WELCOME_TIMEOUT.as_secs());
        timeout(WELCOME_TIMEOUT, async {
            let stream = UnixStream::connect(path).await;
            let stream = stream.map_err(|cause| Error::Connect { path: path.to_owned(), cause })?;
            Self::greet(stream, hello).await
        })
        .await
        .map_err(late)?
    }

    /// Sends hello on a stream, and waits for welcome. The caller sets the time limit.
    ///
    /// # Errors
    /// The body refuses this process, or does not speak the protocol.
    pub async fn greet(stream: UnixStream, mut hello: proto::Hello) -> Result<Self, Error> {
        hello.protocol = PROTOCOL;
        if hello.credit == 0 {
            hello.credit = CREDIT;
        }
        let mut frames = Frames::new(stream, FRAME_BYTES_MAX);
        frames.write(Kind::Hello(hello.clone())).await?;
        let welcome = match frames.read().await? {
            Some(Kind::Welcome(welcome)) => welcome,
            Some(Kind::Goodbye(goodbye)) => return Err(Error::Ended(End::Goodbye(goodbye.reason))),
            Some(other) => return Err(Error::NotWelcome(name(&other))),
            None => return Err(Error::Ended(End::Closed)),
        };
        if welcome.protocol != PROTOCOL {
            let error = Error::Version(welcome.protocol);
            frames.write(Kind::Goodbye(proto::Goodbye { reason: error.to_string() })).await?;
            return Err(error);
        }
        let or = |said: u32, otherwise: usize| if said == 0 { otherwise } else { said as usize };
        let frame_bytes_max = or(welcome.frame_bytes_max, FRAME_BYTES_MAX);
        frames.set_frame_bytes_max(or(hello.frame_bytes_max, frame_bytes_max));
        let settings = Settings {
            side: Role::Sidecar,
            frame_bytes_max,
            credit_granted: hello.credit,
            credit_held: welcome.credit,
            accepted_max: hello.in_flight_max as usize,
            sent_max: welcome.in_flight_max as usize,
        };
        let (sender, drain) = watch::channel(None);
        let scopes = Arc::<Scopes>::default();
        let notes_max = welcome.notes_max;
        let cells = Arc::new(Cells { scopes, notes_max, serving: OnceLock::new(), drain: sender });
        let (peer, engine) = Peer::new(frames, settings, cells.clone());
        Ok(Self { welcome, peer, engine, cells, drain })
    }

    /// Returns the body's welcome: the cells to serve, and their settings.
    #[must_use]
    pub fn welcome(&self) -> &proto::Welcome {
        &self.welcome
    }

    /// Returns the connection's end of the protocol.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    /// Sends the lines that this process logs through `tracing` to the body's log, from here on.
    /// Does nothing if the program already has a subscriber of its own.
    pub fn forward_log(&self) {
        let subscriber = LogSubscriber::new(&self.peer, self.cells.scopes.clone());
        // The first subscriber stays.
        let _ = tracing::subscriber::set_global_default(subscriber);
    }

    /// Returns the environment of a cell of this process: its bus and its terminal are the body's.
    /// It has the revision and the config from welcome. Requests and lines through it go out while
    /// [`Self::serve_with`] runs.
    ///
    /// # Errors
    /// The body's id is no id, or the cell's config is no JSON.
    pub fn env(&self, target: Target) -> Result<CellEnv, Error> {
        let body: BodyId = self.welcome.body.parse()?;
        let bus =
            Arc::new(SidecarBus { peer: self.peer.clone(), scopes: self.cells.scopes.clone() });
        let cell = self.welcome.cells.iter().find(|cell| cell.name == target.name());
        let (revision, config) = match cell {
            Some(cell) if !cell.config.is_empty() => {
                (cell.revision.as_str(), serde_json::from_slice(&cell.config))
            }
            Some(cell) => (cell.revision.as_str(), Ok(serde_json::Value::Null)),
            None => ("", Ok(serde_json::Value::Null)),
        };
        let config = config.map_err(|cause| Error::Config { cell: target.to_string(), cause })?;
        let console = Arc::new(SidecarConsole(self.peer.clone()));
        Ok(CellEnv::new(target, body, bus, console).with_spec(revision.into(), config))
    }

    /// Runs the start hooks, sends ready, serves until the body drains this process, runs the stop
    /// hooks, sends goodbye. All calls run on one task.
    ///
    /// # Errors
    /// The body wants a cell that the program does not have, a start hook failed, or the connection
    /// ended before it was drained (the stop hooks have been run then, too).
    pub async fn serve_with(
        self,
        cells: BTreeMap<CellName, Arc<dyn DynCell>>,
        options: Options,
    ) -> Result<(), Error> {
        let chosen = self.choose(&cells);
        let Self { peer, engine, cells, drain, .. } = self;
        let mut engines = JoinSet::new();
        engines.spawn(engine);
        let mut session =
            Session { peer, cells, drain, engines, stop: options.stop, started: Vec::new() };
        let outcome = match chosen {
            Ok(chosen) => session.run(chosen, options.health).await,
            Err(error) => Err(error),
        };
        session.leave(outcome).await
    }

    /// Returns the cells that welcome names.
    fn choose(
        &self,
        cells: &BTreeMap<CellName, Arc<dyn DynCell>>,
    ) -> Result<BTreeMap<CellName, Served>, Error> {
        let mut chosen = BTreeMap::new();
        for wanted in &self.welcome.cells {
            let found = cells.iter().find(|(name, _)| name.as_str() == wanted.name);
            let missing = || Error::NoSuchCell {
                wanted: wanted.name.clone(),
                has: cells.keys().cloned().collect(),
            };
            let (name, cell) = found.ok_or_else(missing)?;
            let env = Arc::new(self.env(Target::Cell(name.clone()))?);
            chosen.insert(
                name.clone(),
                Served { cell: cell.clone(), env, timeout: timeout_of(wanted) },
            );
        }
        if chosen.is_empty() {
            Err(Error::NotWelcome("a welcome without a cell"))
        } else {
            Ok(chosen)
        }
    }
}

/// A connection that is being served.
struct Session {
    peer: Arc<Peer>,
    cells: Arc<Cells>,
    drain: watch::Receiver<Option<Duration>>,
    /// The only engine. It ends with this session.
    engines: JoinSet<End>,
    stop: BoxFuture<'static, String>,
    started: Vec<Served>,
}

impl Session {
    /// Runs from the start hooks to the last reply. Returns the limit of the time for stop hooks.
    async fn run(
        &mut self,
        chosen: BTreeMap<CellName, Served>,
        health: Health,
    ) -> Result<Duration, Error> {
        for (name, served) in &chosen {
            self.unless_ended(start(name, served)).await??;
            self.started.push(served.clone());
        }
        // No other code sets it.
        let _ = self.cells.serving.set(Serving { cells: chosen, health });
        self.peer.ready();
        let mut drain = self.drain.clone();
        let asked =
            async move { drain.wait_for(Option::is_some).await.ok().and_then(|limit| *limit) };
        let limit = self.unless_ended(asked).await?.unwrap_or(STOP_TIMEOUT);
        let asked_at = Instant::now();
        let kept = (limit / 10).min(STOP_TIMEOUT);
        let peer = self.peer.clone();
        // Goodbye reports the requests that are not done by then.
        let _ = self
            .unless_ended(async move { timeout(limit.saturating_sub(kept), peer.idle()).await })
            .await?;
        Ok(limit.saturating_sub(asked_at.elapsed()))
    }

    /// Does the work unless the connection ends, or the process must end.
    async fn unless_ended<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            end = self.engines.join_next() => Err(Error::Ended(ended(end))),
            reason = &mut self.stop => Err(Error::Ended(End::Ours(reason))),
            done = work => Ok(done),
        }
    }

    /// Runs the stop hooks, and sends goodbye.
    async fn leave(mut self, outcome: Result<Duration, Error>) -> Result<(), Error> {
        let at_once = matches!(&outcome, Err(Error::Ended(End::Ours(_))));
        let limit = *outcome.as_ref().unwrap_or(&STOP_TIMEOUT);
        if !at_once {
            let stops = self
                .started
                .iter()
                .map(|served| AssertUnwindSafe(served.cell.stop()).catch_unwind());
            // If a stop hook panics or does not end, it is left behind: the process ends.
            let _ = timeout(limit, futures::future::join_all(stops)).await;
        }
        self.peer.goodbye(match &outcome {
            Ok(_) if self.peer.accepted() > 0 => {
                format!("{} requests were not done in time", self.peer.accepted())
            }
            Ok(_) => String::new(),
            Err(Error::Ended(End::Ours(reason))) => reason.clone(),
            Err(error) => error.to_string(),
        });
        // This waits at most for the time of a goodbye. The connection may have ended before.
        let _ = self.engines.join_next().await;
        outcome.map(drop)
    }
}

async fn start(name: &CellName, served: &Served) -> Result<(), Error> {
    let started = AssertUnwindSafe(served.cell.start(&served.env)).catch_unwind().await;
    let failed = |cause| Error::Start { cell: name.clone(), cause };
    started
        .unwrap_or_else(|panic| {
            Err(CellError::new(Code::CellFailed, format!("it panicked: {}", message(&*panic))))
        })
        .map_err(failed)
}

fn ended(end: Option<Result<End, JoinError>>) -> End {
    match end {
        Some(Ok(end)) => end,
        Some(Err(error)) => End::Ours(format!("the connection's task failed: {error}")),
        None => End::Ours("the connection's task has ended".to_owned()),
    }
}
