//! Questions to bodies: `cbs.<ns>.ctl` asks all bodies of a namespace, `cbs.<ns>.body.<id>.ctl`
//! asks one.
//!
//! A question is a JSON object. Its `ask` names the question. The answer is
//! `{"body": …, "answer": …}` or `{"body": …, "error": {"code": …, "message": …}}`.
//! A message that is no such question is answered at once with `{"body": …}` alone: a sign of life.

use std::{collections::HashMap, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use async_nats::{Message, Subject};
use bytes::Bytes;
use cbs::{BodyId, BoxFuture, BusError, CellError, Code, Outcome};
use futures::{StreamExt, stream::FuturesUnordered};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout, timeout_at};

use crate::{
    connection::{Connection, is_no_responders},
    serve::Answering,
    subscription::Subscription,
};

/// Limit of questions of one subject that are answered at the same time. More are refused.
const PENDING_MAX: usize = 16;
/// Limit of the time that finding an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// Time after the last answer, of several bodies, after which no further answer is expected. Bodies
/// answer from memory, at once, but some are far away and some are busy.
pub(crate) const QUIET: Duration = Duration::from_millis(300);
/// Limit of the answers to one question that are read.
const ANSWERS_MAX: usize = 4_096;

/// Handler that answers one kind of question.
pub(crate) type AdminHandler =
    Arc<dyn Fn(Value) -> BoxFuture<'static, Result<Value, CellError>> + Send + Sync>;

/// Handlers of the questions to a body, by the value of `ask`.
#[derive(Default)]
pub(crate) struct AdminHandlers(ArcSwap<HashMap<&'static str, AdminHandler>>);

impl AdminHandlers {
    /// Sets the handler of the questions with this `ask`. It replaces an earlier one.
    pub(crate) fn set(&self, ask: &'static str, handler: &AdminHandler) {
        self.0.rcu(|known| {
            let mut next = HashMap::clone(known);
            next.insert(ask, handler.clone());
            next
        });
    }

    async fn answer(&self, asked: Value) -> Result<Value, CellError> {
        let ask = asked.get("ask").and_then(Value::as_str).unwrap_or_default();
        let Some(handler) = self.0.load().get(ask).cloned() else {
            let ask: String = ask.chars().take(80).collect();
            return Err(CellError::new(Code::NotFound, format!("unknown admin request `{ask}`")));
        };
        let late = |_| {
            Err(CellError::new(
                Code::Timeout,
                format!("no answer within {} s", ANSWER_LIMIT.as_secs()),
            ))
        };
        timeout(ANSWER_LIMIT, handler(asked)).await.unwrap_or_else(late)
    }
}

/// Answer as it is sent.
#[derive(Serialize, Deserialize)]
struct AdminReply {
    body: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    answer: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<CellError>,
}

/// Answer of one body: its id, and its answer or its error.
pub(crate) type Answered = (BodyId, Result<Value, CellError>);

impl AdminReply {
    fn read(message: &Message) -> Option<Answered> {
        let Self { body, answer, error } = serde_json::from_slice(&message.payload).ok()?;
        let answer = error.map_or(Ok(answer.unwrap_or_default()), Err);
        Some((body.parse().ok()?, answer))
    }
}

/// Answers questions to the body itself until the connection is closed. Signs of life do not wait
/// for other answers.
pub(crate) async fn run(mut subscriber: Subscription, answering: Arc<Answering>) {
    let sign = Bytes::from(serde_json::json!({ "body": answering.body }).to_string());
    let mut answers = FuturesUnordered::new();
    loop {
        let question = tokio::select! {
            question = subscriber.next() => question,
            Some(()) = answers.next() => continue,
        };
        let Some(Message { reply: Some(reply_to), payload, .. }) = question else {
            if question.is_none() {
                return;
            }
            continue;
        };
        match serde_json::from_slice::<Value>(&payload)
            .ok()
            .filter(|asked| asked.get("ask").is_some())
        {
            None => reply(&answering, reply_to, sign.clone()).await,
            Some(_) if answers.len() >= PENDING_MAX => {
                let message =
                    format!("{PENDING_MAX} admin requests to this body are in progress already");
                let error = CellError::new(Code::Overloaded, message);
                reply(&answering, reply_to, written(&answering, Err(error))).await;
            }
            Some(asked) => answers.push(async {
                let answer = answering.admin_handlers.answer(asked).await;
                reply(&answering, reply_to, written(&answering, answer)).await;
            }),
        }
    }
}

async fn reply(answering: &Answering, reply_to: Subject, payload: Bytes) {
    if let Err(error) = answering.connection.client().publish(reply_to, payload).await {
        tracing::warn!(%error, "the reply to an admin request could not be sent");
    }
}

fn written(answering: &Answering, answer: Result<Value, CellError>) -> Bytes {
    let body = answering.body.as_str();
    let payload_max = answering.connection.client().max_payload();
    let write = |answer: Result<Value, CellError>| {
        let (answer, error) =
            answer.map_or_else(|error| (None, Some(error)), |answer| (Some(answer), None));
        serde_json::to_vec(&AdminReply { body: body.to_owned(), answer, error }).unwrap_or_default()
    };
    let mut bytes = write(answer);
    if bytes.len() > payload_max {
        let message = format!("the answer has {} bytes, the limit is {payload_max}", bytes.len());
        bytes = write(Err(CellError::new(Code::TooLarge, message)));
    }
    bytes.into()
}

fn unavailable(reason: &dyn std::fmt::Display) -> BusError {
    let message = format!("the admin request cannot be sent to the bodies: {reason}");
    BusError::new(CellError::new(Code::Unavailable, message).retryable(), Outcome::NotRun)
}

/// Asks all bodies. Returns soon after the last answer, and after `wait` at the latest.
pub(crate) async fn ask_all(
    connection: &Connection,
    subject: &str,
    question: &Value,
    wait: Duration,
) -> Result<Vec<Answered>, BusError> {
    if !connection.is_up() {
        return Err(unavailable(&"the connection to NATS is lost"));
    }
    let client = connection.client();
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.map_err(|error| unavailable(&error))?;
    let asked =
        client.publish_with_reply(Subject::from(subject), inbox, question.to_string().into()).await;
    asked.map_err(|error| unavailable(&error))?;
    let deadline = Instant::now() + wait;
    let mut patience = wait;
    let mut found = Vec::new();
    while found.len() < ANSWERS_MAX
        && let Ok(Some(message)) =
            timeout_at(deadline.min(Instant::now() + patience), answers.next()).await
    {
        if is_no_responders(&message) {
            break;
        }
        patience = QUIET;
        // What cannot be read as an answer does not come from a body.
        found.extend(AdminReply::read(&message));
    }
    found.sort_by(|(one, _), (other, _)| one.as_str().cmp(other.as_str()));
    Ok(found)
}

/// Asks one body.
pub(crate) async fn ask(
    connection: &Connection,
    subject: &str,
    body: &BodyId,
    question: &Value,
    wait: Duration,
) -> Result<Value, BusError> {
    if !connection.is_up() {
        return Err(unavailable(&"the connection to NATS is lost"));
    }
    let (reply, mut expected) = connection.inbox.expect();
    let asked = connection
        .client()
        .publish_with_reply(Subject::from(subject), reply, question.to_string().into())
        .await;
    asked.map_err(|error| unavailable(&error))?;
    match timeout(wait, expected.message()).await {
        Ok(Some(message)) if is_no_responders(&message) => {
            let message = format!("there is no body {body}; `cbs ls` lists those that run");
            Err(BusError::new(CellError::new(Code::NotFound, message), Outcome::NotRun))
        }
        Ok(Some(message)) => match AdminReply::read(&message) {
            Some((_, answer)) => answer.map_err(|error| BusError::new(error, Outcome::Ran)),
            None => Err(unavailable(&format_args!("what {body} answers cannot be read"))),
        },
        Ok(None) => Err(unavailable(&"the connection to NATS was lost")),
        Err(_) => {
            let message = format!("the body {body} did not answer within {} s", wait.as_secs_f64());
            Err(BusError::new(CellError::new(Code::Timeout, message), Outcome::Unknown))
        }
    }
}
