//! Connections of a body or a client, and the bus over them.

mod bus;

use std::{
    collections::HashSet,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use arc_swap::ArcSwap;
use async_nats::SubscribeError;
use cbs::{
    BodyBus, BodyId, BusError, CellError, Code, EventStream, Outcome, Service, Serving, Subject,
    Subscription, Target, Uuid,
};
use serde_json::Value;
use tokio::sync::{oneshot, watch};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use self::bus::{Callees, NatsBus};
use crate::{
    ConnectError, Counters, LinkState, Options,
    admin::{self, AdminHandler, AdminHandlers},
    call::DeclaredTargets,
    connect::{Purpose, inbox_prefix, shown},
    connection::{Connection, closed},
    discovery,
    eject::Members,
    event::EventsNats,
    link::{Link, LinkCounters},
    per_body,
    register::{Announced, Listing, Register, organ},
    serve::{Answering, Reading, Served, ServingNats},
    services::Services,
};

/// Limit of the time that closing waits for its tasks to end, and for the server to take what was
/// sent.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Information that the server gives about itself.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ServerInfo {
    /// The address that was given, without credentials.
    pub url: String,
    /// The server's version.
    pub version: String,
    /// The server's own name.
    pub name: String,
    /// The most bytes that a message may have, headers included.
    pub max_payload: usize,
    /// True if the server offers JetStream.
    pub jetstream: bool,
}

/// Connections of a body or a client. Clones share them; [`Nats::close`] ends them.
#[derive(Clone)]
pub struct Nats(Arc<Inner>);

struct Inner {
    options: Options,
    /// Connection that serves targets, and that makes calls which must not come back to this body.
    serve: Arc<Connection>,
    /// Connection that makes all other calls. In a client it is the same as `serve`.
    call: Arc<Connection>,
    register: Arc<Register>,
    services: Arc<Services>,
    answering: Arc<Answering>,
    declared: DeclaredTargets,
    members: Arc<Members>,
    link: Arc<Link>,
    counters: Arc<LinkCounters>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Nats {
    /// Connects a body: one connection serves, one makes calls.
    ///
    /// # Errors
    /// [`ConnectError`] says what happened and what to do.
    pub async fn connect(options: Options) -> Result<Self, ConnectError> {
        Self::open(options, true).await
    }

    /// Connects a client: one connection, for calls, events and discovery.
    ///
    /// # Errors
    /// [`ConnectError`] says what happened and what to do.
    pub async fn connect_client(options: Options) -> Result<Self, ConnectError> {
        Self::open(options, false).await
    }

    async fn open(options: Options, body: bool) -> Result<Self, ConnectError> {
        let link = Arc::new(Link::new());
        let counters = Arc::new(LinkCounters::default());
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let connection = |purpose, inbox| one(&options, purpose, inbox, &link, &counters);
        let (serve, call) = if body {
            let (serve, call) =
                tokio::join!(connection(Purpose::Serve, "s"), connection(Purpose::Call, "c"));
            (serve?, call?)
        } else {
            let call = connection(Purpose::Call, "c").await?;
            (call.clone(), call)
        };
        let register = Arc::new(Register::default());
        let services = Arc::new(Services::new(
            register.clone(),
            serve.clone(),
            &options,
            counters.clone(),
            tasks.clone(),
            stop.clone(),
        ));
        let answering = Arc::new(Answering {
            connection: serve.clone(),
            body: options.body.as_str().into(),
            counters: counters.clone(),
            admin_handlers: AdminHandlers::default(),
        });
        let declared = Arc::new(ArcSwap::default());
        let members = Arc::new(Members::new(
            call.clone(),
            options.namespace.clone(),
            counters.clone(),
            tasks.clone(),
            stop.clone(),
        ));
        let nats = Self(Arc::new(Inner {
            options,
            serve,
            call,
            register,
            services,
            answering,
            declared,
            members,
            link,
            counters,
            tasks,
            stop,
        }));
        if body {
            nats.0.open_body().await.map_err(|error| closed(&nats.0.options, &error))?;
        }
        Ok(nats)
    }

    /// The bus of this namespace.
    #[must_use]
    pub fn bus(&self) -> Arc<dyn BodyBus> {
        Arc::new(NatsBus { inner: self.0.clone(), callees: Callees::Any })
    }

    /// Returns the same bus for calls that must not come back to this body.
    #[must_use]
    pub fn other_bodies(&self) -> Arc<dyn BodyBus> {
        Arc::new(NatsBus { inner: self.0.clone(), callees: Callees::OtherBodies })
    }

    /// Returns the same bus for calls to the cells of one body, without the queue group.
    #[must_use]
    pub fn in_body(&self, body: BodyId) -> Arc<dyn BodyBus> {
        Arc::new(NatsBus { inner: self.0.clone(), callees: Callees::Body(body) })
    }

    /// Sets the targets that the specs declare: a call that finds no responder there fails with
    /// `unavailable`, not `not-found`.
    pub fn declare(&self, targets: impl IntoIterator<Item = Target>) {
        self.0.declared.store(Arc::new(targets.into_iter().collect::<HashSet<_>>()));
    }

    /// Lists a target in discovery that this body hosts, even while it is not served, such as a
    /// cell that is being restarted. Its counters include its state.
    ///
    /// # Errors
    /// `unavailable` when the server cannot be reached; `bad-request` for a topic.
    pub async fn announce(&self, service: Service) -> Result<Announced, BusError> {
        let target = service.target.clone();
        if matches!(target, Target::Topic(_)) {
            return Err(BusError::bad_request(format!("{target} is a topic: nobody hosts it")));
        }
        let subject = Subject::of(&self.0.options.namespace, &target);
        let announced = self.0.register.announce(Arc::new(Listing { service, subject }));
        let asked = self.0.services.add(organ(&target)).await;
        asked.map(|()| announced).map_err(|error| BusError::unavailable(&target, error))
    }

    /// Returns the client of the connection that makes calls.
    pub(crate) fn client(&self) -> Arc<async_nats::Client> {
        self.0.call.client()
    }

    /// Set once another server than that of the connection has answered for JetStream.
    pub(crate) fn found_jetstream_elsewhere(&self) -> &AtomicBool {
        &self.0.link.found_jetstream
    }

    /// Returns a receiver of the state of the link to the server, and of its changes.
    #[must_use]
    pub fn link(&self) -> watch::Receiver<LinkState> {
        self.0.link.watch()
    }

    /// Returns a receiver of the last permission error of the server, in its own text; it changes
    /// with each error. Permissions that the body can do without are left out.
    #[must_use]
    pub fn denials(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.0.link.denials()
    }

    /// Returns the information that the server gives about itself.
    #[must_use]
    pub fn server(&self) -> ServerInfo {
        let info = self.0.call.client().server_info();
        ServerInfo {
            url: shown(&self.0.options.url),
            version: info.version,
            name: info.server_name,
            max_payload: self.0.call.client().max_payload(),
            jetstream: info.jetstream,
        }
    }

    /// Returns the error counters of the connections.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.0.counters.read()
    }

    /// Asks all bodies of the namespace what they serve and their counters. Returns 300 ms after
    /// the last answer, and after `wait` at the latest. A body that has begun to answer is waited
    /// for up to 3 s. Sorted by service and subject.
    ///
    /// # Errors
    /// `unavailable` when the server cannot be asked.
    pub async fn discover(&self, wait: Duration) -> Result<Vec<discovery::Endpoint>, BusError> {
        discovery::discover(&self.0.call, &self.0.options.namespace, wait, discovery::SLOW).await
    }

    /// Asks as [`Self::discover`] does, and returns the answers that have come when `limit` is
    /// over.
    ///
    /// # Errors
    /// As [`Self::discover`].
    pub async fn discover_within(
        &self,
        limit: Duration,
    ) -> Result<Vec<discovery::Endpoint>, BusError> {
        discovery::discover(&self.0.call, &self.0.options.namespace, limit, limit).await
    }

    /// Answers questions to this body with this `ask`, until it is closed. An answer must be ready
    /// within 2 s. A later handler for the same `ask` replaces an earlier one.
    pub fn on_admin_request<A, F>(&self, ask: &'static str, answer: A)
    where
        A: Fn(Value) -> F + Send + Sync + 'static,
        F: Future<Output = Result<Value, CellError>> + Send + 'static,
    {
        let handler: AdminHandler = Arc::new(move |question| Box::pin(answer(question)));
        self.0.answering.admin_handlers.set(ask, &handler);
    }

    /// Asks all bodies of the namespace a question: a JSON object with an `ask`. Returns soon after
    /// the last answer, and after `wait` at the latest. Sorted by body.
    ///
    /// # Errors
    /// `unavailable` when the server cannot be asked.
    pub async fn ask_all(
        &self,
        question: &Value,
        wait: Duration,
    ) -> Result<Vec<(BodyId, Result<Value, CellError>)>, BusError> {
        let subject = Subject::of_all_controls(&self.0.options.namespace);
        admin::ask_all(&self.0.call, subject.as_str(), question, wait).await
    }

    /// Asks one body a question, as [`Self::ask_all`] does.
    ///
    /// # Errors
    /// `not-found` if there is no such body, `timeout` after `wait`, or the error that the body
    /// answers.
    pub async fn ask(
        &self,
        body: &BodyId,
        question: &Value,
        wait: Duration,
    ) -> Result<Value, BusError> {
        let subject = Subject::of_control(&self.0.options.namespace, body);
        admin::ask(&self.0.call, subject.as_str(), body, question, wait).await
    }

    /// Ends all tasks, waits until the server has taken all that was sent (2 s at most), then ends
    /// the connections. Stop what is served first: targets that are still served end at once, and
    /// their callers wait for their timeout. From then on calls and events fail with `unavailable`,
    /// and event streams end.
    pub async fn close(&self) {
        self.0.stop.cancel();
        self.0.tasks.close();
        let taken = async {
            // A cell that blocks keeps the task that polls it from ending.
            self.0.tasks.wait().await;
            tokio::join!(self.0.serve.barrier(), self.0.call.barrier())
        };
        if tokio::time::timeout(CLOSE_TIMEOUT, taken).await.is_err() {
            tracing::warn!(
                "closed before the server confirmed; recently sent messages may be lost"
            );
        }
        self.0.serve.close().await;
        self.0.call.close().await;
    }
}

/// Builds one connection with its inbox.
async fn one(
    options: &Options,
    purpose: Purpose,
    inbox: &str,
    link: &Arc<Link>,
    counters: &Arc<LinkCounters>,
) -> Result<Arc<Connection>, ConnectError> {
    // Two programs of the same name must not read each other's replies.
    let (_, random) = Uuid::new_v4().as_u64_pair();
    let inbox = format!("{}.{inbox}{:07x}", inbox_prefix(options), random & 0xfff_ffff);
    Connection::open(options, purpose, inbox, link, counters).await
}

impl Inner {
    async fn open_body(&self) -> Result<(), SubscribeError> {
        let barriers = Subject::of_barrier(&self.options.namespace, &self.options.body);
        self.call.answer_barriers(self.call.subscribe(barriers.into(), None).await?);
        self.services.start().await?;
        let cells = Subject::of_cells_in_body(&self.options.namespace, &self.options.body);
        let subscriber = self.serve.subscribe(cells.into(), None).await?;
        let stop = self.stop.clone();
        let register = self.register.clone();
        let answering = self.answering.clone();
        self.tasks.spawn(async move {
            stop.run_until_cancelled(per_body::run(subscriber, register, answering)).await
        });
        let namespace = &self.options.namespace;
        for subject in [
            Subject::of_control(namespace, &self.options.body),
            Subject::of_all_controls(namespace),
        ] {
            let subscriber = self.serve.subscribe(subject.into(), None).await?;
            let stop = self.stop.clone();
            let answer = admin::run(subscriber, self.answering.clone());
            self.tasks.spawn(async move { stop.run_until_cancelled(answer).await });
        }
        Ok(())
    }

    async fn serve(&self, service: Service) -> Result<Box<dyn Serving>, BusError> {
        let target = service.target.clone();
        let unavailable = |reason: String| BusError::unavailable(&target, reason);
        if !self.serve.is_up() {
            return Err(unavailable("the connection to NATS is lost".to_owned()));
        }
        let Some(group) = Subject::group(&target) else {
            return Err(BusError::bad_request(format!(
                "{target} is a topic: subscribe to it, rather than serve it"
            )));
        };
        let subject = Subject::of(&self.options.namespace, &target);
        let served = Arc::new(Served {
            service,
            subject: subject.clone(),
            answering: self.answering.clone(),
            per_body: TaskTracker::new(),
        });
        let subscriber = self.serve.subscribe(subject.into(), Some(group.to_owned())).await;
        let subscriber = subscriber.map_err(|error| unavailable(error.to_string()))?;
        let registration = self.register.add(served.clone());
        self.services.add(organ(&target)).await.map_err(|error| unavailable(error.to_string()))?;
        let (stop, stopped) = oneshot::channel();
        let reading = Reading { served, subscriber, stop: stopped };
        // If it is closed before all has been answered, it has waited long enough.
        let closed = self.stop.clone();
        self.tasks.spawn(async move { closed.run_until_cancelled(reading.run()).await });
        self.serve.barrier().await.map_err(|reason| unavailable(reason.to_owned()))?;
        Ok(Box::new(ServingNats { registration, stop }))
    }

    async fn subscribe(&self, wanted: Subscription) -> Result<Box<dyn EventStream>, BusError> {
        let unavailable = |reason: String| {
            let message = format!("cannot subscribe to {}: {reason}", wanted.filter);
            BusError::new(CellError::new(Code::Unavailable, message).retryable(), Outcome::NotRun)
        };
        let subject = Subject::of_events(&self.options.namespace, &wanted.filter);
        let prefix = subject.as_str().len() - wanted.filter.as_str().len();
        let subscriber =
            self.serve.subscribe(subject.into(), wanted.group.map(|group| group.to_string())).await;
        let subscriber = subscriber.map_err(|error| unavailable(error.to_string()))?;
        self.serve.barrier().await.map_err(|reason| unavailable(reason.to_owned()))?;
        Ok(Box::new(EventsNats::start(subscriber, prefix, &self.tasks, &self.stop)))
    }
}
