//! Any NATS client.

use std::collections::BTreeMap;

use async_nats::{Client, ConnectOptions, HeaderMap, Message, RequestErrorKind, Subscriber};
use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use serde_json::Value;
use testkit::{eventually, within};

use crate::LIMIT;

/// A NATS client that knows nothing of CBS: subjects, headers, JSON.
#[derive(Clone, Debug)]
pub struct Caller {
    client: Client,
}

/// Answer to a request.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The number in `Nats-Service-Error-Code`; 200 where there is none.
    pub status: u16,
    /// The line in `Nats-Service-Error`; empty where there is none.
    pub line: String,
    /// The payload.
    pub payload: Bytes,
}

impl Answer {
    fn read(message: Message) -> Self {
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str().to_owned());
        Self {
            status: header("Nats-Service-Error-Code")
                .map_or(200, |code| code.parse().expect("a numeric code")),
            line: header("Nats-Service-Error").unwrap_or_default(),
            payload: message.payload,
        }
    }

    /// The payload as JSON.
    ///
    /// # Panics
    /// When the payload is not JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.payload)
            .unwrap_or_else(|error| panic!("{error}: {:?}", self.payload))
    }

    /// A text of the JSON object, empty where there is none.
    #[must_use]
    pub fn text(&self, field: &str) -> String {
        self.json().get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    }
}

impl Caller {
    /// Connects.
    ///
    /// # Panics
    /// When that fails.
    pub async fn connect(url: &str, options: ConnectOptions) -> Self {
        let connected = within(LIMIT, "a connection", options.connect(url)).await;
        Self { client: connected.expect("a connection") }
    }

    /// Makes a caller of a client that is connected already.
    #[must_use]
    pub fn of(client: Client) -> Self {
        Self { client }
    }

    /// The client itself.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Calls a cell of the namespace `default`.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn call(&self, cell: &str, input: &Value) -> Answer {
        self.call_with(cell, &[], input).await
    }

    /// Calls a cell with headers.
    ///
    /// # Panics
    /// When no answer comes.
    pub async fn call_with(&self, cell: &str, headers: &[(&str, &str)], input: &Value) -> Answer {
        self.try_call(cell, headers, input).await.unwrap_or_else(|error| panic!("{cell}: {error}"))
    }

    /// Calls a cell; the error says why no answer came.
    ///
    /// # Errors
    /// No responders, or no answer within async-nats' own limit of 10 s.
    pub async fn try_call(
        &self,
        cell: &str,
        headers: &[(&str, &str)],
        input: &Value,
    ) -> Result<Answer, RequestErrorKind> {
        let (subject, payload) = (subject(cell), Bytes::from(input.to_string()));
        let asked = if headers.is_empty() {
            self.client.request(subject, payload).await
        } else {
            self.client.request_with_headers(subject, header_map(headers), payload).await
        };
        asked.map(Answer::read).map_err(|error| error.kind())
    }

    /// Sends a request and does not wait for its answer.
    ///
    /// # Panics
    /// When it cannot be sent.
    pub async fn send(&self, cell: &str, headers: &[(&str, &str)], input: &Value) {
        let (headers, payload) = (header_map(headers), input.to_string().into());
        self.client
            .publish_with_headers(subject(cell), headers, payload)
            .await
            .expect("a connection");
        self.client.flush().await.expect("a connection");
    }

    /// Asks all services a question of ADR-32 (`PING`, `INFO`, `STATS`) until these services have
    /// answered.
    ///
    /// # Panics
    /// When one does not answer.
    pub async fn services(&self, verb: &str, names: &[&str]) -> BTreeMap<String, Value> {
        let inbox = self.client.new_inbox();
        let mut answers = self.client.subscribe(inbox.clone()).await.expect("a subscription");
        self.client
            .publish_with_reply(format!("$SRV.{verb}"), inbox, "".into())
            .await
            .expect("a connection");
        let mut found = BTreeMap::new();
        let what = format!("answers of {names:?} to $SRV.{verb}");
        within(LIMIT, &what, async {
            while !names.iter().all(|name| found.contains_key(*name)) {
                let answer = Answer::read(answers.next().await.expect("a connection")).json();
                let name = answer.get("name").and_then(Value::as_str).expect("a service's name");
                found.insert(name.to_owned(), answer);
            }
        })
        .await;
        found
    }

    /// Waits until a body answers the cell's calls.
    ///
    /// # Panics
    /// When no body does.
    pub async fn until_answered(&self, cell: &str, input: &Value) {
        let what = format!("an answer of {cell}");
        eventually(&what, LIMIT, async || {
            self.try_call(cell, &[], input).await.is_ok_and(|answer| answer.status == 200)
        })
        .await;
    }

    /// Subscribes to all messages on the server from now on.
    ///
    /// # Panics
    /// When the subscription fails.
    pub async fn tap(&self) -> Tap {
        let received = self.client.subscribe(">").await.expect("a subscription");
        self.client.flush().await.expect("a connection");
        Tap { received }
    }
}

fn subject(cell: &str) -> String {
    format!("cbs.default.cell.{cell}")
}

fn header_map(headers: &[(&str, &str)]) -> HeaderMap {
    headers.iter().fold(HeaderMap::new(), |mut map, (name, value)| {
        map.insert(*name, *value);
        map
    })
}

/// A subscription to all messages. It shares its caller's connection, which delivers in order: when
/// an answer has come, all messages before it have come too.
#[derive(Debug)]
pub struct Tap {
    received: Subscriber,
}

impl Tap {
    /// The messages since the last call, in the order of their arrival: subject and payload.
    pub fn received(&mut self) -> Vec<(String, String)> {
        let next = || self.received.next().now_or_never().flatten();
        std::iter::from_fn(next)
            .map(|message| {
                (
                    message.subject.to_string(),
                    String::from_utf8_lossy(&message.payload).into_owned(),
                )
            })
            .collect()
    }
}
