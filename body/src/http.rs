//! Health and metrics over HTTP: `/healthz`, `/readyz` and `/metrics`, nothing else.
//!
//! Every client that reaches the address may ask, and no client can change anything. So the server
//! is off by default, and listens on this machine alone unless an address is given. Each connection
//! carries one request. The number of connections and the time of each are limited. If all slots
//! are taken, a new connection gets the slot of the oldest.

mod accept;
mod address;
mod answer;
mod scrape;
mod slots;

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bus_nats::open_files;
use futures::FutureExt as _;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use self::address::Flags;
use self::{
    answer::Site,
    slots::{ConnectionSlot, ConnectionSlots},
};
use crate::{exit::Failure, health::BodyStatus, metrics::Lag, output};

/// Limit of connections at once. A scraper, a probe and some users need only a few.
const CONNECTIONS_MAX: usize = 64;
/// Limit of the time for a request's head.
const HEAD_LIMIT: Duration = Duration::from_secs(5);
/// Limit of the time for a whole connection: pages of many cells take long on slow networks.
const CONNECTION_LIMIT: Duration = Duration::from_secs(30);
/// Limit of the bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// Time before the next try if no connection can be accepted, for example because no file can be
/// opened.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Limit of the time for open answers when the body ends.
const CLOSE_LIMIT: Duration = Duration::from_secs(2);

/// The body's HTTP server.
pub(crate) struct Http {
    address: SocketAddr,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Http {
    /// Opens the server if the flags ask for it, and reports its address.
    ///
    /// # Errors
    /// The address cannot be used; the status is "not started".
    pub(crate) async fn open(
        flags: &Flags,
        status: &Arc<BodyStatus>,
    ) -> Result<Option<Self>, Failure> {
        let Some(address) = flags.address() else { return Ok(None) };
        let listener = TcpListener::bind(address).await.map_err(|error| {
            Failure::not_started(format_args!(
                "cannot listen at {address} for HTTP: {error}; name another address with --http, or port 0 for a free one"
            ))
        })?;
        let address = listener.local_addr()?;
        let tasks = TaskTracker::new();
        let stop = CancellationToken::new();
        let lag = Lag::measure(&tasks, stop.clone());
        let site = Arc::new(Site::new(status.clone(), lag));
        let connections = tasks.clone();
        let ends = stop.clone();
        tasks.spawn(async move { accept(&listener, &site, &connections, &ends).await });
        let http = Self { address, tasks, stop };
        output::report(format_args!("HTTP: {}/readyz, /healthz, /metrics", http.url()));
        Ok(Some(http))
    }

    /// Returns its address, for example `http://127.0.0.1:9090`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Finishes the answers to open requests, and ends.
    pub(crate) async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        if timeout(CLOSE_LIMIT, self.tasks.wait()).await.is_err() {
            tracing::debug!("HTTP connections were cut off");
        }
    }
}

/// Accepts connections until it is stopped.
async fn accept(
    listener: &TcpListener,
    site: &Arc<Site>,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) {
    let slots = ConnectionSlots::new(CONNECTIONS_MAX);
    let mut reported = false;
    loop {
        let Some(accepted) = stop.run_until_cancelled(next(listener)).await else { return };
        match accepted {
            Ok((stream, _)) => {
                reported = false;
                let (site, stop, slot) = (site.clone(), stop.clone(), slots.take());
                tasks.spawn(async move {
                    tokio::select! {
                        // Who takes longer is cut off, whatever they wait for.
                        _ = timeout(CONNECTION_LIMIT, serve(stream, &site, &slot, stop)) => {}
                        () = slot.given_away() => tracing::debug!("an HTTP connection was closed for a newer one"),
                    }
                });
            }
            Err(error) => {
                // Once, for it may last.
                if !std::mem::replace(&mut reported, true) {
                    tracing::warn!("no HTTP connection can be accepted: {error}");
                }
                _ = stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
            }
        }
    }
}

/// Waits for the next connection. If the process can open no more files, it takes one from the
/// reserve: a body whose probes get no answer may be ended.
async fn next(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        let failed = match listener.accept().await {
            Ok(accepted) => return Ok(accepted),
            Err(error) => error,
        };
        let Some(_reserve) = open_files::reserve() else { return Err(failed) };
        // At once or not at all: the system refuses also where no connection waits.
        if let Some(accepted) = listener.accept().now_or_never() {
            return accepted;
        }
    }
}

/// Answers one request.
async fn serve(stream: TcpStream, site: &Site, slot: &ConnectionSlot, stop: CancellationToken) {
    let answer = service_fn(|request: hyper::Request<Incoming>| {
        slot.has_asked();
        async move { Ok::<_, std::convert::Infallible>(site.answer(&request).await) }
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(HEAD_LIMIT)
        .max_buf_size(HEAD_BYTES_MAX)
        .keep_alive(false);
    let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(stream), answer));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        // A client's mistake, or a client that disconnected.
        tracing::debug!("an HTTP connection: {error}");
    }
}
