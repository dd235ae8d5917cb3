//! A process that serves the cell in its arguments, and misbehaves on purpose.
//!
//! `scripted <script> <cell>`: the script is what it does by itself. A request's payload is what it
//! does with that request, in the form `<word> <rest>`.

use std::{
    error::Error,
    io::Write,
    process::{Command, ExitCode, Stdio},
    time::Duration,
};

use cbs::{Envelope, frame};
use nix::sys::signal::{SigHandler, Signal, raise, signal};
use sidecar::{
    proto,
    wire::{Frames, Kind, encode},
};
use tokio::net::UnixStream;

type Done = Result<(), Box<dyn Error>>;

/// Limit of the size of a frame that it reads, in bytes.
const FRAME_BYTES_MAX: usize = 16 << 20;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let script = arguments.next().unwrap_or_default();
    let cell = arguments.next().unwrap_or_default();
    match Sidecar::run(&script, &cell).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "{error}");
            ExitCode::FAILURE
        }
    }
}

struct Sidecar {
    script: String,
    frames: Frames<UnixStream>,
    /// The number of its next request.
    next: u64,
    /// The numbers of its own requests, each with the request during which it was sent.
    asked: Vec<(u64, u64)>,
    /// Number of bytes that it may still send, if it respects its credit.
    credit: i64,
    kept: Vec<Vec<u8>>,
}

impl Sidecar {
    async fn run(script: &str, cell: &str) -> Done {
        match script {
            "exit" => return Ok(()),
            "silent" => forever(),
            "orphans" => return orphans(),
            "hog" => {
                let all = touched(1024);
                forever_with(&all);
            }
            "stubborn" => ignore_term()?,
            _ => {}
        }
        let socket = std::env::var("CBS_SIDECAR_SOCKET")?;
        let frames = Frames::new(UnixStream::connect(socket).await?, FRAME_BYTES_MAX);
        let stubborn = script == "stubborn";
        let mut sidecar = Self {
            script: script.to_owned(),
            frames,
            next: 1,
            asked: vec![],
            credit: 0,
            kept: vec![],
        };
        sidecar.greet(cell).await?;
        let done = sidecar.serve().await;
        if stubborn { forever() } else { done }
    }

    async fn greet(&mut self, cell: &str) -> Done {
        let hello = || proto::Hello {
            protocol: if self.script == "version" { 2 } else { 1 },
            sdk: "scripted 0".into(),
            language: "rust".into(),
            cells: vec![if self.script == "stranger" {
                "demo.other".into()
            } else {
                cell.to_owned()
            }],
            frame_bytes_max: if self.script == "small" { 1_000 } else { 0 },
            credit: if self.script == "miser" { 1 } else { 0 },
            in_flight_max: if ["narrow", "pair"].contains(&self.script.as_str()) { 2 } else { 0 },
        };
        let hello = Kind::Hello(hello());
        match self.script.as_str() {
            "garbage" => self.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await?,
            "half-hello" => {
                self.raw(encode(hello).get(..7).unwrap_or_default()).await?;
                forever();
            }
            "early" => self.say(Kind::Ready(proto::Ready {})).await?,
            "twice" => {
                self.say(hello.clone()).await?;
                self.say(hello).await?;
            }
            _ => self.say(hello).await?,
        }
        match self.frames.read().await? {
            Some(Kind::Welcome(welcome)) => self.credit = welcome.credit.try_into()?,
            Some(Kind::Goodbye(goodbye)) => {
                return Err(format!("told goodbye: {}", goodbye.reason).into());
            }
            other => return Err(format!("no welcome but {other:?}").into()),
        }
        match self.script.as_str() {
            "unready" => forever(),
            "quitter" => return Err("no database".into()),
            _ => {}
        }
        self.say(Kind::Ready(proto::Ready {})).await?;
        match self.script.as_str() {
            "crashes" => return Err("on purpose".into()),
            "chatter" => self.chatter()?,
            "greedy" => self.greedy().await?,
            "unasked" => self.reply(4711, Envelope::reply("nobody asked")).await?,
            _ => {}
        }
        Ok(())
    }

    async fn serve(&mut self) -> Done {
        while let Some(kind) = self.frames.read().await? {
            match kind {
                Kind::Request(request) => {
                    if self.script == "miser" {
                        // A little more than it cost.
                        let bytes = request.envelope.len() as u64 + 64;
                        self.say(Kind::Credit(proto::Credit { bytes })).await?;
                    }
                    self.request(request).await?;
                }
                Kind::Credit(credit) => self.credit += i64::try_from(credit.bytes)?,
                Kind::Reply(reply) => self.replied(reply).await?,
                Kind::Ping(ping) if self.script != "deaf" => {
                    let queued = if self.script == "queues" { 3 } else { 0 };
                    let pong = proto::Pong {
                        nonce: ping.nonce,
                        queued,
                        lag_us: 42,
                        lock_wait_us: 7,
                        ..Default::default()
                    };
                    self.say(Kind::Pong(pong)).await?;
                }
                Kind::Cancel(cancel) if self.script != "narrow" => {
                    self.reply(cancel.id, Envelope::reply("")).await?;
                }
                Kind::Drain(_) if self.script != "stubborn" => {
                    self.say(Kind::Goodbye(proto::Goodbye::default())).await?;
                    return Ok(());
                }
                Kind::Goodbye(goodbye) if self.script != "stubborn" => {
                    return Err(format!("told goodbye: {}", goodbye.reason).into());
                }
                _ => {}
            }
        }
        Ok(())
    }

    async fn request(&mut self, request: proto::Request) -> Done {
        let proto::Request { id, envelope, .. } = request;
        let asked = frame::decode(envelope)?;
        let payload = String::from_utf8_lossy(&asked.payload).into_owned();
        let (word, rest) = payload.split_once(' ').unwrap_or((&payload, ""));
        let answer = match word {
            "hold" => return Ok(()),
            "flood" => {
                self.flood(rest.parse()?).await?;
                "flooded".to_owned()
            }
            "die" => std::process::exit(3),
            "kill" => return Ok(raise(Signal::SIGKILL)?),
            "freeze" => return Ok(raise(Signal::SIGSTOP)?),
            "close" => {
                self.frames = Frames::new(UnixStream::pair()?.0, 1);
                forever();
            }
            "huge" => return self.raw(&[0x7f, 0xff, 0xff, 0xff, 1]).await,
            "garbage" => return self.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").await,
            "half" => {
                let bytes =
                    encode(Kind::Reply(proto::Reply { id, envelope: vec![b'x'; 100].into() }));
                self.raw(bytes.get(..50).unwrap_or_default()).await?;
                forever();
            }
            "double" => {
                self.reply(id, Envelope::reply("first")).await?;
                "second".to_owned()
            }
            "nonsense" => {
                return self
                    .say(Kind::Reply(proto::Reply { id, envelope: vec![0xCB, 9, 9].into() }))
                    .await;
            }
            "plain" => {
                return self
                    .say(Kind::Reply(proto::Reply { id, envelope: rest.to_owned().into() }))
                    .await;
            }
            "fail" => {
                return self
                    .reply(
                        id,
                        Envelope::error(cbs::CellError::new(rest.into(), "my secret").into()),
                    )
                    .await;
            }
            "allocate" => {
                self.kept = touched(rest.parse()?);
                "allocated".to_owned()
            }
            "open" => open(rest.parse()?),
            "environment" => {
                std::env::vars().map(|(name, value)| format!("{name}={value}\n")).collect()
            }
            "folder" => std::env::current_dir()?.display().to_string(),
            "pid" => std::process::id().to_string(),
            "print" => {
                self.say(Kind::Print(proto::Print { line: rest.to_owned(), within: id })).await?;
                "printed".to_owned()
            }
            "log" => {
                self.say(Kind::Log(log(rest, id))).await?;
                "logged".to_owned()
            }
            "note" | "note-hold" | "notes" | "ask" => return self.say_more(id, word, rest).await,
            "call" | "call-alone" | "publish" => return self.pass_on(id, word, rest).await,
            _ => payload,
        };
        self.reply(id, Envelope::reply(answer)).await
    }

    /// Sends frames about a call beside its reply: `note`, `note-hold`, `notes` and `ask`.
    async fn say_more(&mut self, id: u64, word: &str, rest: &str) -> Done {
        match word {
            "notes" => {
                for number in 0..rest.parse::<u32>()? {
                    self.note(id, &number.to_string()).await?;
                }
                self.say(Kind::Note(proto::Note { within: id, dropped: 7, ..Default::default() }))
                    .await?;
            }
            "ask" => {
                let own = self.own(id);
                let ask = proto::Ask { id: own, question: rest.to_owned(), within: id };
                return self.say(Kind::Ask(ask)).await;
            }
            _ => self.note(id, rest).await?,
        }
        if word == "note-hold" {
            return Ok(());
        }
        self.reply(id, Envelope::reply("noted")).await
    }

    /// Runs `<word> <target> <payload>`: asks the body, and returns its answer to the caller.
    async fn pass_on(&mut self, id: u64, word: &str, rest: &str) -> Done {
        let (target, payload) = rest.split_once(' ').unwrap_or((rest, ""));
        let asked = match word {
            "publish" => Envelope::event(cbs::Topic::new(target)?, payload.to_owned()),
            _ => Envelope::request(target.parse()?, payload.to_owned()),
        };
        // The body fills the ids in.
        let asked = Envelope { id: cbs::Uuid::nil(), ..asked };
        let within = if word == "call-alone" { 0 } else { id };
        let own = self.own(id);
        self.say(Kind::Request(proto::Request { id: own, envelope: frame::encode(&asked), within }))
            .await
    }

    /// Sends a note about a request, about one that does not exist, and about none.
    async fn note(&mut self, id: u64, value: &str) -> Done {
        for within in [id, 4_711, 0] {
            let attribute = proto::Field { key: "said".into(), value: value.to_owned() };
            self.say(Kind::Note(proto::Note {
                within,
                attribute: Some(attribute),
                ..Default::default()
            }))
            .await?;
        }
        Ok(())
    }

    fn own(&mut self, within: u64) -> u64 {
        let own = self.next;
        self.next += 1;
        self.asked.push((own, within));
        own
    }

    async fn replied(&mut self, reply: proto::Reply) -> Done {
        let Some((_, within)) = self.asked.iter().find(|(own, _)| *own == reply.id).copied() else {
            return Ok(());
        };
        self.say(Kind::Reply(proto::Reply { id: within, envelope: reply.envelope })).await
    }

    async fn reply(&mut self, id: u64, reply: Envelope) -> Done {
        self.say(Kind::Reply(proto::Reply { id, envelope: frame::encode(&reply) })).await
    }

    async fn say(&mut self, kind: Kind) -> Done {
        Ok(self.frames.write(kind).await?)
    }

    async fn raw(&mut self, bytes: &[u8]) -> Done {
        // The frames' own stream is for whole frames; the socket takes anything.
        let stream = self.frames.stream();
        let mut rest = bytes;
        while !rest.is_empty() {
            stream.writable().await?;
            rest = rest.get(stream.try_write(rest).unwrap_or(0)..).unwrap_or_default();
        }
        Ok(())
    }

    /// Writes more to its standard error than anybody wants to read.
    fn chatter(&self) -> Done {
        let mut stderr = std::io::stderr().lock();
        for number in 0..100_000 {
            writeln!(stderr, "chatter {number} of {}", self.script)?;
        }
        Ok(())
    }

    /// Prints this many long lines, as fast as it may.
    async fn flood(&mut self, lines: usize) -> Done {
        let print = Kind::Print(proto::Print { line: "x".repeat(16 * 1024), within: 0 });
        let cost = i64::try_from(encode(print.clone()).len())?;
        for _ in 0..lines {
            while self.credit <= 0 {
                match self.frames.read().await? {
                    Some(Kind::Credit(credit)) => self.credit += i64::try_from(credit.bytes)?,
                    Some(Kind::Ping(ping)) => {
                        self.say(Kind::Pong(proto::Pong {
                            nonce: ping.nonce,
                            ..Default::default()
                        }))
                        .await?;
                    }
                    _ => return Err("the body went away".into()),
                }
            }
            self.credit -= cost;
            self.say(print.clone()).await?;
        }
        Ok(())
    }

    /// Prints without end, and ignores its credit.
    async fn greedy(&mut self) -> Done {
        loop {
            self.say(Kind::Print(proto::Print { line: "x".repeat(16 * 1024), within: 0 })).await?;
        }
    }
}

fn log(message: &str, within: u64) -> proto::Log {
    let fields = vec![proto::Field { key: "colour".into(), value: "green".into() }];
    proto::Log {
        level: proto::Level::Warn as i32,
        message: message.into(),
        within,
        logger: "scripted".into(),
        fields,
    }
}

/// Returns this many mebibytes, and writes to each page of them.
fn touched(mebibytes: usize) -> Vec<Vec<u8>> {
    (0..mebibytes).map(|number| vec![number as u8 | 1; 1 << 20]).collect()
}

/// Opens this many files, and returns how many it could open.
fn open(count: usize) -> String {
    let files: Vec<_> = (0..count).map_while(|_| std::fs::File::open("/dev/null").ok()).collect();
    files.len().to_string()
}

/// Leaves a child behind, and prints its number.
fn orphans() -> Done {
    let child = Command::new("sleep").arg("1000").stdin(Stdio::null()).spawn()?;
    writeln!(std::io::stderr(), "child {}", child.id())?;
    Ok(())
}

fn ignore_term() -> Done {
    // SAFETY: ignoring a signal runs no code of ours.
    unsafe { signal(Signal::SIGTERM, SigHandler::SigIgn)? };
    Ok(())
}

fn forever() -> ! {
    forever_with(&[])
}

fn forever_with(_: &[Vec<u8>]) -> ! {
    loop {
        std::thread::park_timeout(Duration::from_secs(60));
    }
}
