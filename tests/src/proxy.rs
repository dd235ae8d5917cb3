//! A proxy between a body and its server, which loses messages of the server.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    task::JoinSet,
};

/// Messages of the server that a proxy forwards. The others are lost whole, and the connection
/// stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passes {
    /// All messages.
    Everything,
    /// No message: the server seems to be unresponsive.
    Nothing,
    /// All messages except those whose subject begins with this text.
    AllBut(&'static str),
}

/// A proxy in front of a nats-server, on a port of its own. It ends when it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    passes: watch::Sender<Passes>,
    lost: watch::Receiver<usize>,
    _tasks: JoinSet<()>,
}

impl Proxy {
    /// Starts a proxy in front of the server on this port of 127.0.0.1.
    ///
    /// # Panics
    /// When there is no free port.
    pub async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let (passes, rules) = watch::channel(Passes::Everything);
        let (losses, lost) = watch::channel(0);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                connections.spawn(connect(client, port, rules.clone(), losses.clone()));
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, passes, lost, _tasks: tasks }
    }

    /// Address for clients.
    #[must_use]
    pub fn url(&self) -> String {
        format!("nats://{}", self.address)
    }

    /// Sets the messages that are forwarded from now on.
    pub fn pass(&self, passes: Passes) {
        self.passes.send_replace(passes);
    }

    /// Number of messages that were lost so far.
    #[must_use]
    pub fn lost(&self) -> usize {
        *self.lost.borrow()
    }
}

async fn connect(
    client: TcpStream,
    port: u16,
    rules: watch::Receiver<Passes>,
    losses: watch::Sender<usize>,
) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { return };
    let (mut from_client, to_client) = client.into_split();
    let (from_server, mut to_server) = server.into_split();
    // When one side ends, both end.
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = forward(from_server, to_client, &rules, &losses) => {}
    }
}

/// Forwards each message of the NATS protocol
/// (<https://docs.nats.io/reference/reference-protocols/nats-protocol>).
async fn forward(
    from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    rules: &watch::Receiver<Passes>,
    losses: &watch::Sender<usize>,
) -> io::Result<()> {
    let (mut from, mut message) = (BufReader::new(from), Vec::new());
    loop {
        message.clear();
        if from.read_until(b'\n', &mut message).await? == 0 {
            return Ok(());
        }
        let line = String::from_utf8_lossy(&message).into_owned();
        let subject = line.strip_prefix("MSG ").or_else(|| line.strip_prefix("HMSG "));
        if subject.is_some() {
            let size: u64 = line
                .split_whitespace()
                .last()
                .and_then(|size| size.parse().ok())
                .unwrap_or_default();
            // The payload and the end of its line.
            (&mut from).take(size + 2).read_to_end(&mut message).await?;
        }
        let passes = match *rules.borrow() {
            Passes::Everything => true,
            Passes::Nothing => false,
            Passes::AllBut(prefix) => subject.is_none_or(|subject| !subject.starts_with(prefix)),
        };
        if passes {
            to.write_all(&message).await?;
        } else {
            losses.send_modify(|lost| *lost += 1);
        }
    }
}
