use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use cbs::{BodyBus, BoxFuture, BusError, Envelope, Handler, Service, Serving, Target};
use futures::future::join_all;
use tokio::{sync::Semaphore, task::JoinSet};

use super::{InstanceBus, TrafficSplit};
use crate::{InProcess, Settings};

/// Handler that counts its calls, and takes as many as it may.
struct Counting {
    calls: AtomicUsize,
    has_room: bool,
    /// Calls end when this has a permit.
    ends: Semaphore,
}

impl Counting {
    fn new(has_room: bool, permits: usize) -> Arc<Self> {
        Arc::new(Self { calls: AtomicUsize::new(0), has_room, ends: Semaphore::new(permits) })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }
}

impl Handler for Counting {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            self.ends.acquire().await.unwrap().forget();
            Ok(Envelope::reply(request.payload))
        })
    }

    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        if self.has_room { Ok(self.handle(request)) } else { Err(Box::new(request)) }
    }
}

fn target() -> Target {
    "cell demo.say".parse().unwrap()
}

fn service(handler: &Arc<Counting>) -> Service {
    Service {
        target: target(),
        handler: handler.clone(),
        about: Arc::default(),
        stats: Arc::default(),
    }
}

struct Stage {
    bus: Arc<InProcess>,
    split: Arc<TrafficSplit>,
    base: Arc<Counting>,
    canary: Arc<Counting>,
    instance_bus: InstanceBus,
    /// Handles of the served base and canary.
    serving: Vec<Box<dyn Serving>>,
}

async fn stage(canary: Arc<Counting>) -> Stage {
    let bus = InProcess::new(Settings::default());
    let split = Arc::new(TrafficSplit::default());
    let base = Counting::new(true, 1 << 20);
    let front = InstanceBus::new(bus.clone(), split.clone(), None);
    let instance_bus = InstanceBus::new(bus.clone(), split.clone(), Some("two".into()));
    let serving = vec![
        front.serve(service(&base)).await.unwrap(),
        instance_bus.serve(service(&canary)).await.unwrap(),
    ];
    Stage { bus, split, base, canary, instance_bus, serving }
}

async fn call(bus: &InProcess, calls: usize) {
    for _ in 0..calls {
        bus.call(Envelope::request(target(), "hello")).await.unwrap();
    }
}

#[tokio::test]
async fn of_a_thousand_calls_exactly_its_share_goes_to_the_canary() {
    let stage = stage(Counting::new(true, 1 << 20)).await;
    call(&stage.bus, 100).await;
    assert_eq!(stage.canary.calls(), 0, "it has no share yet");
    for (percent, wanted) in [(10, 100), (1, 110), (33, 440), (99, 1430), (0, 1430)] {
        stage.split.share(Some(("two".into(), percent)));
        call(&stage.bus, 1000).await;
        assert_eq!(stage.canary.calls(), wanted, "{percent} %");
    }
    stage.split.share(Some(("another".into(), 50)));
    call(&stage.bus, 100).await;
    assert_eq!(stage.canary.calls(), 1430, "the share is another's");
    assert_eq!(stage.base.calls() + stage.canary.calls(), 5_200);
}

#[tokio::test]
async fn a_canary_that_has_no_room_costs_no_call() {
    let stage = stage(Counting::new(false, 0)).await;
    stage.split.share(Some(("two".into(), 50)));
    call(&stage.bus, 100).await;
    assert_eq!((stage.base.calls(), stage.canary.calls()), (100, 0));
}

#[tokio::test]
async fn a_canary_that_stops_finishes_its_calls_and_gets_no_other() {
    let mut stage = stage(Counting::new(true, 0)).await;
    stage.split.share(Some(("two".into(), 50)));
    let calls = join_all((0..10).map(|_| stage.bus.call(Envelope::request(target(), "hello"))));
    let canary = stage.serving.pop().unwrap();
    let stop = async {
        while stage.canary.calls() < 5 {
            tokio::task::yield_now().await;
        }
        let mut stopping = std::pin::pin!(canary.stop());
        assert!(futures::poll!(&mut stopping).is_pending(), "five calls are in it");
        call(&stage.bus, 10).await;
        stage.canary.ends.add_permits(5);
        stopping.await;
    };
    let (answers, ()) = tokio::join!(calls, stop);
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!((stage.base.calls(), stage.canary.calls()), (15, 5));
}

#[tokio::test]
async fn a_canary_that_is_promoted_takes_calls_of_its_own_and_no_call_fails() {
    let mut stage = stage(Counting::new(true, 1 << 20)).await;
    stage.split.share(Some(("two".into(), 10)));
    call(&stage.bus, 100).await;
    assert_eq!(stage.canary.calls(), 10);
    stage.instance_bus.promote().await.unwrap();
    call(&stage.bus, 100).await;
    assert_eq!(stage.canary.calls(), 60, "both take turns, and nothing is shared");
    let base = stage.serving.remove(0);
    base.stop().await;
    call(&stage.bus, 100).await;
    assert_eq!(stage.canary.calls(), 160);
    // The former canary stands in front of the next one.
    let next = Counting::new(true, 1 << 20);
    let instance_bus =
        InstanceBus::new(stage.bus.clone(), stage.split.clone(), Some("three".into()));
    let _serving = instance_bus.serve(service(&next)).await.unwrap();
    stage.split.share(Some(("three".into(), 20)));
    call(&stage.bus, 100).await;
    assert_eq!(next.calls(), 20);
    let canary = stage.serving.remove(0);
    canary.stop().await;
    assert!(
        stage.bus.call(Envelope::request(target(), "hello")).await.is_err(),
        "a canary alone serves nobody"
    );
}

#[tokio::test]
async fn a_canary_that_is_promoted_while_it_is_away_serves_when_it_is_back() {
    let mut stage = stage(Counting::new(true, 1 << 20)).await;
    drop(stage.serving.pop());
    stage.instance_bus.promote().await.unwrap();
    let _serving = stage.instance_bus.serve(service(&stage.canary)).await.unwrap();
    call(&stage.bus, 100).await;
    assert_eq!(stage.canary.calls(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn shares_are_exact_and_no_call_fails_whoever_calls_while_a_canary_is_promoted() {
    let mut stage = stage(Counting::new(true, 1 << 20)).await;
    stage.split.share(Some(("two".into(), 10)));
    let bus = stage.bus.clone();
    let callers = || {
        let mut all = JoinSet::new();
        for _ in 0..8 {
            let bus = bus.clone();
            all.spawn(async move { call(&bus, 500).await });
        }
        all.join_all()
    };
    callers().await;
    assert_eq!(stage.canary.calls(), 400, "one of ten of four thousand");
    // It takes calls of its own, and the base goes, while callers go on: each call is answered.
    let base = stage.serving.remove(0);
    let promotion = async {
        stage.instance_bus.promote().await.unwrap();
        base.stop().await;
    };
    tokio::join!(callers(), promotion);
    assert_eq!(stage.base.calls() + stage.canary.calls(), 8_000);
    callers().await;
    assert_eq!(stage.base.calls() + stage.canary.calls(), 12_000);
}

#[tokio::test]
async fn a_canary_that_ends_with_a_share_costs_no_call_and_has_it_again_when_it_is_back() {
    let mut stage = stage(Counting::new(true, 1 << 20)).await;
    stage.split.share(Some(("two".into(), 50)));
    drop(stage.serving.pop());
    call(&stage.bus, 100).await;
    assert_eq!((stage.base.calls(), stage.canary.calls()), (100, 0));
    let _serving = stage.instance_bus.serve(service(&stage.canary)).await.unwrap();
    call(&stage.bus, 100).await;
    assert_eq!((stage.base.calls(), stage.canary.calls()), (150, 50));
}
