use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cbs::{
    BodyBus, BoxFuture, BusError, Code, Envelope, EventStream, Handler, Outcome, Service, Serving,
    Subscription, Target, Transport,
};
use model::Route;
use tokio::sync::Semaphore;

use super::{Link, Router};
use crate::{InProcess, Settings};

/// The network as a router sees it: it records the messages that come.
#[derive(Default)]
struct Net {
    name: &'static str,
    log: Arc<Mutex<Vec<String>>>,
    answer: Option<BusError>,
}

impl Net {
    fn note(&self, what: &str) {
        self.log.lock().unwrap().push(format!("{} {what}", self.name));
    }
}

impl BodyBus for Net {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        self.note("call");
        let answer = self
            .answer
            .clone()
            .map_or_else(|| Ok(Envelope::reply("there").answering(&request)), Err);
        Box::pin(async { answer.map(|reply| Envelope { via: Transport::Nats, ..reply }) })
    }
    fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        self.note("publish");
        Box::pin(async { Ok(()) })
    }
    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        self.note("serve");
        let serving: Box<dyn Serving> = Box::new(Noted(self.log.clone()));
        Box::pin(async { Ok(serving) })
    }
    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        self.note("subscribe");
        Box::pin(async { Err(BusError::bad_request("not here")) })
    }
}

struct Noted(Arc<Mutex<Vec<String>>>);

impl Serving for Noted {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        self.0.lock().unwrap().push("drained".to_owned());
        Box::pin(async {})
    }
}

/// A handler with capacity for as many calls as the gate has permits.
struct Here {
    gate: Semaphore,
    has_capacity: AtomicBool,
}

impl Handler for Here {
    fn handle(&self, _: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            let _permit = self.gate.acquire().await.unwrap();
            Ok(Envelope::reply("here"))
        })
    }
    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        if self.has_capacity.load(Ordering::SeqCst) {
            Ok(self.handle(request))
        } else {
            Err(Box::new(request))
        }
    }
}

struct Scene {
    router: Arc<Router>,
    here: Arc<Here>,
    log: Arc<Mutex<Vec<String>>>,
    serving: Option<Box<dyn Serving>>,
}

impl Scene {
    async fn new(linked: bool, other_bodies: Option<BusError>) -> Self {
        let log = Arc::<Mutex<Vec<String>>>::default();
        let link = linked.then(|| Link {
            bus: Arc::new(Net { name: "nats", log: log.clone(), answer: None }),
            other_bodies: Arc::new(Net {
                name: "elsewhere",
                log: log.clone(),
                answer: other_bodies,
            }),
        });
        let router = Arc::new(Router::new(InProcess::new(Settings::default()), link));
        let here =
            Arc::new(Here { gate: Semaphore::new(100), has_capacity: AtomicBool::new(true) });
        let service = Service {
            target: cell(),
            handler: here.clone(),
            about: Arc::default(),
            stats: Arc::default(),
        };
        let serving = Some(router.serve(service).await.unwrap());
        log.lock().unwrap().clear();
        Self { router, here, log, serving }
    }

    async fn call(&self, target: Target) -> Result<(String, Transport), BusError> {
        let reply = self.router.call(Envelope::request(target, "{}")).await?;
        Ok((String::from_utf8_lossy(&reply.payload).into_owned(), reply.via))
    }

    fn full(&self) {
        self.here.has_capacity.store(false, Ordering::SeqCst);
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }
}

fn cell() -> Target {
    "demo.cell".parse().unwrap()
}

fn other() -> Target {
    "demo.other".parse().unwrap()
}

fn here() -> Result<(String, Transport), BusError> {
    Ok(("here".to_owned(), Transport::InProcess))
}

fn there() -> Result<(String, Transport), BusError> {
    Ok(("there".to_owned(), Transport::Nats))
}

#[tokio::test]
async fn what_is_hosted_here_never_touches_the_network() {
    let scene = Scene::new(true, None).await;
    assert_eq!(scene.call(cell()).await, here());
    assert_eq!(scene.log(), [""; 0]);
    assert_eq!(scene.call(other()).await, there());
    assert_eq!(scene.log(), ["nats call"]);
}

#[tokio::test]
async fn a_call_without_room_here_goes_to_the_others() {
    let scene = Scene::new(true, None).await;
    scene.full();
    assert_eq!(scene.call(cell()).await, there());
    assert_eq!(scene.log(), ["elsewhere call"]);
}

#[tokio::test]
async fn a_call_that_nobody_else_takes_waits_here() {
    let refusals = [
        BusError::not_found(&cell()),
        BusError::unavailable(&cell(), "the connection is down"),
        BusError::overloaded(&cell()),
    ];
    for refusal in refusals {
        let scene = Scene::new(true, Some(refusal)).await;
        scene.full();
        assert_eq!(scene.call(cell()).await, here());
        assert_eq!(scene.log(), ["elsewhere call"]);
    }
}

#[tokio::test]
async fn a_call_that_may_have_run_elsewhere_does_not_run_here_too() {
    let timeout = BusError::timeout(&cell(), Duration::from_secs(1));
    let scene = Scene::new(true, Some(timeout.clone())).await;
    scene.full();
    assert_eq!(scene.call(cell()).await, Err(timeout));
}

#[tokio::test]
async fn without_nats_a_call_waits_here() {
    let scene = Scene::new(false, None).await;
    scene.full();
    assert_eq!(scene.call(cell()).await, here());
    assert_eq!(scene.call(other()).await, Err(BusError::not_found(&other())));
}

#[tokio::test]
async fn the_route_nats_goes_over_nats() {
    let scene = Scene::new(true, None).await;
    scene.router.set_route(Route::Nats);
    assert_eq!(scene.call(cell()).await, there());
    scene.router.set_routes([(cell(), Some(Route::LocalFirst))]);
    assert_eq!(scene.call(cell()).await, here());
    scene.router.set_routes([(cell(), None)]);
    assert_eq!(scene.call(cell()).await, there());
    // A target that is no longer named has the body's route, as one that was never named.
    scene.router.set_routes([(cell(), Some(Route::LocalFirst))]);
    scene.router.set_routes([(other(), Some(Route::LocalFirst))]);
    assert_eq!(scene.call(cell()).await, there());
    let alone = Scene::new(false, None).await;
    alone.router.set_route(Route::Nats);
    assert_eq!(alone.call(cell()).await, here());
}

#[tokio::test]
async fn what_is_known_and_not_there_is_unavailable() {
    let scene = Scene::new(false, None).await;
    scene.router.set_declared([other()]);
    let error = scene.call(other()).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::Unavailable, Outcome::NotRun));
    let stranger: Target = "demo.stranger".parse().unwrap();
    assert_eq!(scene.call(stranger.clone()).await, Err(BusError::not_found(&stranger)));
}

#[tokio::test]
async fn stopping_turns_to_the_others_first_and_loses_nothing() {
    let mut scene = Scene::new(true, None).await;
    let gate = scene.here.gate.acquire_many(100).await.unwrap();
    let mut running = scene.router.call(Envelope::request(cell(), "{}"));
    assert!(futures::poll!(&mut running).is_pending());
    let mut stopping = scene.serving.take().unwrap().stop();
    assert!(futures::poll!(&mut stopping).is_pending(), "a call still runs");
    assert!(!scene.router.local().hosted(&cell()));
    assert_eq!(scene.call(cell()).await, there());
    assert_eq!(scene.log(), ["drained", "nats call"]);
    drop(gate);
    assert_eq!(running.await.unwrap().payload, "here");
    stopping.await;
}

#[tokio::test]
async fn events_go_over_nats_where_there_is_nats() {
    let scene = Scene::new(true, None).await;
    let event = || Envelope::event("order.created".parse().unwrap(), "{}");
    scene.router.publish(event()).await.unwrap();
    assert_eq!(scene.log(), ["nats publish"]);
    let alone = Scene::new(false, None).await;
    let wanted = Subscription { filter: "order.*".parse().unwrap(), group: None };
    let mut stream = alone.router.subscribe(wanted).await.unwrap();
    alone.router.publish(event()).await.unwrap();
    assert!(stream.next().await.is_some());
}

#[tokio::test]
async fn a_topic_is_not_called_and_a_cell_is_not_published_to() {
    let scene = Scene::new(true, None).await;
    let topic: Target = "topic order.created".parse().unwrap();
    assert_eq!(scene.call(topic).await.unwrap_err().code(), &Code::BadRequest);
    assert_eq!(scene.log(), [""; 0]);
}
