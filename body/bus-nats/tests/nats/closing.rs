//! The end of a body's connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bus_nats::{LinkState, Nats, Options};
use cbs::{Code, Outcome, Subscription};
use testkit::{NatsServer, eventually, within};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

use crate::support::{
    AT_ONCE, LONG, body, call, client, counting, echo, fault, options, request, serve, stop, until,
};

#[tokio::test]
async fn closing_and_stopping_return_with_the_server_gone() {
    let mut server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let runs = Arc::new(AtomicU64::new(0));
    let stopped = serve(&nats, echo("demo.stopped")).await;
    let kept = serve(&nats, counting("demo.kept", &runs)).await;
    let _events = nats
        .bus()
        .subscribe(Subscription { filter: "a.b".parse().unwrap(), group: None })
        .await
        .unwrap();
    server.kill().await;
    until(&nats, LinkState::Down).await;
    let started = Instant::now();
    stop(stopped).await;
    within(LONG, "closing a body", nats.close()).await;
    within(LONG, "closing a client", client.close()).await;
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    // After the end every call fails at once; closing twice is fine.
    assert_eq!(
        fault(call(&nats, request("demo.kept", "1")).await),
        (Code::Unavailable, Outcome::NotRun)
    );
    within(LONG, "closing again", nats.close()).await;
    drop(kept);
}

#[tokio::test]
async fn a_closed_bus_says_so_at_once_and_its_cells_are_gone() {
    let server = NatsServer::start().await;
    let (nats, client) = (body(&server, "body-1").await, client(&server).await);
    let _kept = serve(&nats, echo("demo.echo")).await;
    within(LONG, "closing", nats.close()).await;
    assert_eq!(
        fault(call(&client, request("demo.echo", "1")).await),
        (Code::NotFound, Outcome::NotRun)
    );
    let started = Instant::now();
    assert_eq!(
        fault(call(&nats, request("demo.echo", "1")).await),
        (Code::Unavailable, Outcome::NotRun)
    );
    assert_eq!(*nats.bus().serve(echo("demo.more")).await.err().unwrap().code(), Code::Unavailable);
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
}

/// Proxy between bodies and the server, which counts the open connections.
struct Proxy {
    url: String,
    open: Arc<AtomicU64>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    async fn start(server: &NatsServer) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("nats://{}", listener.local_addr().unwrap());
        let open = Arc::new(AtomicU64::new(0));
        let port = server.port();
        let count = open.clone();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut streams = JoinSet::new();
            while let Ok((mut near, _)) = listener.accept().await {
                let count = count.clone();
                streams.spawn(async move {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
                    count.fetch_add(1, Ordering::Relaxed);
                    // Either side may end it in any way.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { url, open, _tasks: tasks }
    }
}

#[tokio::test]
async fn closing_ends_the_connections_whoever_still_holds_a_handle() {
    let server = NatsServer::start().await;
    let proxy = Proxy::start(&server).await;
    let nats = Nats::connect(Options { url: proxy.url.clone(), ..options(&server, "body-1") })
        .await
        .unwrap();
    let _kept = serve(&nats, echo("demo.echo")).await;
    let _bus = nats.bus();
    assert_eq!(call(&nats, request("demo.echo", "1")).await.unwrap().payload, "1");
    assert_eq!(proxy.open.load(Ordering::Relaxed), 2);
    within(LONG, "closing", nats.close()).await;
    eventually("the sockets end", LONG, async || proxy.open.load(Ordering::Relaxed) == 0).await;
}
