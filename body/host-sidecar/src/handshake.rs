//! The handshake: hello and welcome.

use std::time::Duration;

use sidecar::{
    PROTOCOL,
    proto::{Goodbye, Hello, Welcome},
    wire::{self, Frames, Kind},
};
use tokio::{net::UnixStream, time::timeout};

use crate::socket::Socket;

/// Limit of a hello's size in bytes. A hello is small; anything else that writes to the socket must
/// not fill the memory.
const HELLO_BYTES_MAX: usize = 64 * 1024;
/// Limit of the time that a refused process has to read the reason.
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(1);

/// Reason why a process was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refused {
    /// The process has ended, or does not want to go on.
    #[error("closed its socket before it said hello")]
    Closed,
    #[error(
        "spoke version {0} of the sidecar protocol in its hello, this body speaks version {PROTOCOL}: take the CBS SDK of the body's version"
    )]
    Version(u32),
    #[error("serves {}, not `{wanted}`: give the cell this name in its code, or another in its spec", list(.serves))]
    OtherCells { serves: Vec<String>, wanted: String },
    #[error("sent {0} before hello: hello comes first, and once")]
    OutOfTurn(&'static str),
    #[error(
        "sent something that is no hello: {0}; does it speak the sidecar protocol, and nothing else, on its socket?"
    )]
    Garbage(wire::Error),
    #[error("gave up: {0}")]
    Goodbye(String),
    #[error("could not be reached: {0}")]
    Io(#[from] std::io::Error),
}

fn list(names: &[String]) -> String {
    if names.is_empty() {
        return "no cells".to_owned();
    }
    // A hello may hold any text, so only a few names are shown.
    let quoted =
        names.iter().take(8).map(|name| format!("`{}`", name.chars().take(80).collect::<String>()));
    quoted.collect::<Vec<_>>().join(", ")
}

/// Waits for the process, reads its hello and welcomes it, or sends it the reason why not.
pub(crate) async fn greet(
    socket: Socket,
    welcome: Welcome,
) -> Result<(Frames<UnixStream>, Hello), Refused> {
    let mut frames = Frames::new(socket.accept().await?, HELLO_BYTES_MAX);
    let received = receive(&mut frames, &welcome).await;
    match received {
        Ok(hello) => {
            let frame_bytes_max = welcome.frame_bytes_max as usize;
            frames.write(Kind::Welcome(welcome)).await.map_err(|_| Refused::Closed)?;
            frames.set_frame_bytes_max(frame_bytes_max);
            Ok((frames, hello))
        }
        Err(refused) => {
            if !matches!(refused, Refused::Closed) {
                let goodbye =
                    Kind::Goodbye(Goodbye { reason: format!("refused: the process {refused}") });
                // The process may have ended, or may not read.
                let _ = timeout(GOODBYE_TIMEOUT, frames.write(goodbye)).await;
            }
            Err(refused)
        }
    }
}

async fn receive(frames: &mut Frames<UnixStream>, welcome: &Welcome) -> Result<Hello, Refused> {
    let hello = match frames.read().await {
        Ok(Some(Kind::Hello(hello))) => hello,
        Ok(Some(Kind::Goodbye(goodbye))) => return Err(Refused::Goodbye(goodbye.reason)),
        Ok(Some(other)) => return Err(Refused::OutOfTurn(word(&other))),
        Ok(None) => return Err(Refused::Closed),
        Err(wire::Error::Truncated { .. } | wire::Error::Io(_)) => return Err(Refused::Closed),
        Err(error) => return Err(Refused::Garbage(error)),
    };
    if hello.protocol != PROTOCOL {
        return Err(Refused::Version(hello.protocol));
    }
    let wanted = welcome.cells.iter().find(|cell| !hello.cells.contains(&cell.name));
    match wanted {
        Some(cell) => Err(Refused::OtherCells { serves: hello.cells, wanted: cell.name.clone() }),
        None => Ok(hello),
    }
}

/// Returns the name of a frame in the protocol.
fn word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Ready(_) => "`ready`",
        Kind::Request(_) => "`request`",
        Kind::Reply(_) => "`reply`",
        Kind::Print(_) => "`print`",
        Kind::Ask(_) => "`ask`",
        Kind::Log(_) => "`log`",
        Kind::Note(_) => "`note`",
        _ => "another frame",
    }
}
