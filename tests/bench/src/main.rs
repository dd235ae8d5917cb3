use std::sync::Arc; use std::time::{Duration,Instant};
use cbs::*; use futures::StreamExt;
#[global_allocator] static A: mimalloc::MiMalloc = mimalloc::MiMalloc;
struct Echo;
impl Handler for Echo { fn handle(&self, r: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> { Box::pin(async move { Ok(Envelope::reply(r.payload)) }) } }
async fn run<F, Fut>(n: usize, secs: f64, f: F) -> f64 where F: Fn() -> Fut, Fut: Future<Output=()> {
    let start = Instant::now(); let end = start + Duration::from_secs_f64(secs);
    let total: usize = futures::future::join_all((0..n).map(|_| async { let mut c=0; while Instant::now() < end { f().await; c+=1; } c })).await.iter().sum();
    total as f64 / start.elapsed().as_secs_f64()
}
#[tokio::main]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let size: usize = std::env::args().nth(2).unwrap().parse().unwrap();
    let n: usize = std::env::args().nth(3).unwrap().parse().unwrap();
    let payload = Bytes::from(vec![b'x'; size]);
    let responder = async_nats::connect(&url).await.unwrap(); let raw = async_nats::connect(&url).await.unwrap();
    let mut sub = responder.queue_subscribe("raw.echo", "q".into()).await.unwrap();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(async move { while let Some(m) = sub.next().await { responder.publish(m.reply.unwrap(), m.payload).await.unwrap(); } });
    let body = bus_nats::Nats::connect(bus_nats::Options::new(&url, "body-1".parse().unwrap())).await.unwrap();
    let target: Target = "bench.echo".parse().unwrap();
    let _s = body.bus().serve(Service { target: target.clone(), handler: Arc::new(Echo), about: Arc::default(), numbers: Arc::default() }).await.unwrap();
    let client = bus_nats::Nats::connect_client(bus_nats::Options::new(&url, "client-1".parse().unwrap())).await.unwrap();
    let bus = client.bus();
    for _ in 0..6 {
        let r = run(n, 1.5, || async { raw.request("raw.echo", payload.clone()).await.unwrap(); }).await;
        let c = run(n, 1.5, || async { bus.call(Envelope::request(target.clone(), payload.clone())).await.unwrap(); }).await;
        let r2 = run(n, 1.5, || async { raw.request("raw.echo", payload.clone()).await.unwrap(); }).await;
        println!("raw {r:.0} cbs {c:.0} raw {r2:.0} ratio {:.3} control {:.3}", c / ((r + r2) / 2.0), r2/r);
    }
}
