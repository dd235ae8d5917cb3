use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use cbs::{
    BodyBus, BoxFuture, BusError, Code, Delivery, Envelope, Handler, Outcome, Service, Serving,
    Subscription, Target,
};

use super::{InProcess, Settings};

/// Handler that answers with its name. It returns requests while it has no capacity.
struct Named {
    name: &'static str,
    has_capacity: AtomicBool,
}

impl Handler for Named {
    fn handle(&self, _: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move { Ok(Envelope::reply(self.name)) })
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

fn target() -> Target {
    "demo.cell".parse().unwrap()
}

fn event() -> Envelope {
    Envelope::event("order.created".parse().unwrap(), "{}")
}

async fn serve(bus: &InProcess, name: &'static str, has_capacity: bool) -> Box<dyn Serving> {
    let handler = Arc::new(Named { name, has_capacity: AtomicBool::new(has_capacity) });
    let service =
        Service { target: target(), handler, about: Arc::default(), stats: Arc::default() };
    bus.serve(service).await.unwrap()
}

#[tokio::test]
async fn who_has_no_room_is_passed_over() {
    let bus = InProcess::new(Settings::default());
    let _full = serve(&bus, "full", false).await;
    let _free = serve(&bus, "free", true).await;
    for _ in 0..10 {
        assert_eq!(bus.call(Envelope::request(target(), "{}")).await.unwrap().payload, "free");
    }
}

#[tokio::test]
async fn a_closed_bus_refuses_at_once() {
    let bus = InProcess::new(Settings::default());
    let _serving = serve(&bus, "a", true).await;
    let wanted = Subscription { filter: ">".parse().unwrap(), group: None };
    let mut stream = bus.subscribe(wanted).await.unwrap();
    bus.publish(event()).await.unwrap();
    bus.close();
    let error = bus.call(Envelope::request(target(), "{}")).await.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::Unavailable, Outcome::NotRun));
    assert_eq!(bus.publish(event()).await.unwrap_err().code(), &Code::Unavailable);
    assert!(matches!(stream.next().await, Some(Delivery::Event(_))));
    assert_eq!(stream.next().await, None);
}

#[tokio::test]
async fn a_topic_has_no_server_and_a_cell_no_listeners() {
    let bus = InProcess::new(Settings::default());
    let handler = Arc::new(Named { name: "a", has_capacity: AtomicBool::new(true) });
    let target: Target = "topic order.created".parse().unwrap();
    let service = Service { target, handler, about: Arc::default(), stats: Arc::default() };
    assert_eq!(bus.serve(service).await.err().unwrap().code(), &Code::BadRequest);
    assert_eq!(bus.call(event()).await.unwrap_err().code(), &Code::BadRequest);
    let request = Envelope::request("demo.cell".parse().unwrap(), "{}");
    assert_eq!(bus.publish(request).await.unwrap_err().code(), &Code::BadRequest);
}
