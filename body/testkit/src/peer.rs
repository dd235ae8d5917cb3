//! The scripted peer: the code under test gets a bus, the test is the other side.

use std::{fmt, sync::Arc, time::Duration};

use cbs::{
    BodyBus, BoxFuture, BusError, CellError, Code, Envelope, EventStream, Outcome, Service,
    Serving, Subscription, Target, from_json, to_json,
};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::{mpsc, oneshot};

/// Limit of the time that a test waits for a message.
const LIMIT: Duration = Duration::from_secs(5);
/// Limit of unanswered messages, more than any test has.
const WAITING_MAX: usize = 1024;

/// Returns a bus and its other side, in the manner of tower-test: messages that the code under test
/// sends through the bus come out at the peer, in order, and the test answers them.
///
/// ```
/// use cbs::{BodyBus, Envelope};
/// use serde_json::json;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let (bus, mut peer) = testkit::peer();
/// let code = async move {
///     bus.call(Envelope::request("stock.reserve".parse().unwrap(), "3")).await.unwrap().payload
/// };
/// let test = async move {
///     let request = peer.expect("stock.reserve").await;
///     assert_eq!(request.input::<u32>(), 3);
///     request.reply(json!({ "left": 2 }));
/// };
/// let (payload, ()) = tokio::join!(code, test);
/// assert_eq!(payload, r#"{"left":2}"#);
/// # }
/// ```
#[must_use]
pub fn peer() -> (Arc<dyn BodyBus>, ScriptedPeer) {
    let (send, came) = mpsc::channel(WAITING_MAX);
    (Arc::new(Bus(send)), ScriptedPeer { came })
}

/// The test's side. Panics if it is dropped while calls or events wait that the test has not
/// expected.
#[derive(Debug)]
pub struct ScriptedPeer {
    came: mpsc::Receiver<Came>,
}

/// A message that the code under test has sent.
struct Came {
    envelope: Envelope,
    /// Sender of the answer; none for events.
    answer: Option<oneshot::Sender<Result<Envelope, BusError>>>,
}

impl fmt::Debug for Came {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.answer.is_some() { "a call of" } else { "an event on" };
        match &self.envelope.target {
            Some(target) => write!(f, "{what} {target}")?,
            None => write!(f, "{what} nothing")?,
        }
        write!(f, " with {}", String::from_utf8_lossy(&self.envelope.payload))
    }
}

impl ScriptedPeer {
    /// Waits for a call of `target` (a cell's name, or `flow <name>`).
    ///
    /// # Panics
    /// If something else comes first, or nothing within 5 s.
    pub async fn expect(&mut self, target: &str) -> Request {
        let target = parse(target);
        let wanted = format!("a call of {target}");
        match self.next(&wanted).await {
            Came { envelope, answer: Some(answer) } if envelope.target == Some(target) => {
                Request { envelope, answer }
            }
            other => panic!("expected {wanted}, and there came {other:?}"),
        }
    }

    /// Waits for an event on `topic`.
    ///
    /// # Panics
    /// If something else comes first, or nothing within 5 s.
    pub async fn expect_event(&mut self, topic: &str) -> Envelope {
        let topic = parse(&format!("topic {topic}"));
        let wanted = format!("an event on {topic}");
        match self.next(&wanted).await {
            Came { envelope, answer: None } if envelope.target == Some(topic) => envelope,
            other => panic!("expected {wanted}, and there came {other:?}"),
        }
    }

    /// Waits until the code under test has dropped its bus.
    ///
    /// # Panics
    /// If something comes instead, or the bus is still held after 5 s.
    pub async fn expect_end(mut self) {
        match tokio::time::timeout(LIMIT, self.came.recv()).await {
            Ok(None) => {}
            Ok(Some(other)) => panic!("expected no more, and there came {other:?}"),
            Err(_) => panic!("expected the end, and the bus is still held after {LIMIT:?}"),
        }
    }

    async fn next(&mut self, wanted: &str) -> Came {
        match tokio::time::timeout(LIMIT, self.came.recv()).await {
            Ok(Some(came)) => came,
            Ok(None) => panic!("expected {wanted}, and the code under test has dropped its bus"),
            Err(_) => panic!("expected {wanted}, and nothing came within {LIMIT:?}"),
        }
    }
}

impl Drop for ScriptedPeer {
    fn drop(&mut self) {
        if let Ok(came) = self.came.try_recv()
            && !std::thread::panicking()
        {
            panic!("expected no more, and there came {came:?}");
        }
    }
}

/// A call that waits for the test's answer. If it is dropped without one, the caller gets
/// `timeout`.
#[derive(Debug)]
pub struct Request {
    envelope: Envelope,
    answer: oneshot::Sender<Result<Envelope, BusError>>,
}

impl Request {
    /// Returns the request as the code under test sent it.
    #[must_use]
    pub fn envelope(&self) -> &Envelope {
        &self.envelope
    }

    /// Returns the request's JSON.
    ///
    /// # Panics
    /// If the payload does not fit the type.
    #[must_use]
    pub fn input<T: DeserializeOwned>(&self) -> T {
        from_json(&self.envelope.payload)
            .unwrap_or_else(|error| panic!("the request's payload: {error}"))
    }

    /// Replies with JSON.
    ///
    /// # Panics
    /// If the output cannot be JSON.
    pub fn reply(self, output: impl Serialize) {
        let payload = to_json(&output).unwrap_or_else(|error| panic!("{error}"));
        self.answer(Ok(Envelope::reply(payload)));
    }

    /// Replies with a cell's error.
    pub fn fail(self, error: CellError) {
        self.answer(Err(error.into()));
    }

    /// Answers with any reply, or with an error and its outcome.
    pub fn answer(self, answer: Result<Envelope, BusError>) {
        let answer = answer.map(|reply| reply.answering(&self.envelope));
        // The caller may have given up.
        let _ = self.answer.send(answer);
    }
}

/// The side of the code under test.
struct Bus(mpsc::Sender<Came>);

impl Bus {
    async fn send(&self, came: Came) -> Result<(), BusError> {
        let target = came.envelope.target()?.clone();
        self.0
            .send(came)
            .await
            .map_err(|_| BusError::unavailable(&target, "the test's peer is gone"))
    }
}

impl BodyBus for Bus {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            let target = request.target()?.clone();
            let timeout = request.timeout.unwrap_or(cbs::TIMEOUT_DEFAULT);
            let (answer, answered) = oneshot::channel();
            self.send(Came { envelope: request, answer: Some(answer) }).await?;
            match tokio::time::timeout(timeout, answered).await {
                Ok(Ok(answer)) => answer,
                Ok(Err(_)) | Err(_) => Err(BusError::timeout(&target, timeout)),
            }
        })
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(self.send(Came { envelope: event, answer: None }))
    }

    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async { Err(only("serve")) })
    }

    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(async { Err(only("subscribe")) })
    }
}

fn parse(target: &str) -> Target {
    target.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn only(what: &str) -> BusError {
    let message = format!("a scripted peer cannot {what}: it answers calls and hears events");
    BusError::new(CellError::new(Code::Internal, message), Outcome::NotRun)
}
