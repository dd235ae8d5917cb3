//! One cell, called in a test as a body would call it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cbs::{
    BodyBus, BodyId, BoxFuture, BusError, CellContext, CellEnv, CellError, Code, Console, Envelope,
    EventStream, NativeCell, Outcome, Service, Serving, Subscription, TIMEOUT_DEFAULT, Target,
    Text, from_json, to_json,
};
use serde_json::Value;

/// The body, the bus and the terminal around one cell under test. Answers to the cell are scripted,
/// and its actions are recorded.
///
/// ```
/// use cbs::{CellContext, CellError};
/// use serde_json::json;
/// use testkit::Harness;
///
/// async fn place(context: &CellContext, count: u32) -> Result<bool, CellError> {
///     let free: u32 = context.call("stock.free", &()).await?;
///     context.publish("order.placed", &count).await?;
///     context.print(format!("{free} left")).await?;
///     Ok(count <= free)
/// }
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let harness = Harness::new().reply("stock.free", json!(5));
/// let placed = harness.call(&cbs::cell("shop.place", place), json!(3)).await;
/// assert_eq!(placed, Ok(json!(true)));
/// assert_eq!(harness.events(), [("order.placed".to_owned(), json!(3))]);
/// assert_eq!(harness.printed(), ["5 left"]);
/// # }
/// ```
#[derive(Clone)]
pub struct Harness {
    config: Value,
    timeout: Duration,
    world: Arc<World>,
    started: Arc<Mutex<HashSet<String>>>,
}

impl Default for Harness {
    fn default() -> Self {
        Self::new()
    }
}

impl Harness {
    /// Returns a harness in which no other cell is served and no person is at the terminal.
    #[must_use]
    pub fn new() -> Self {
        Self {
            config: Value::Null,
            timeout: TIMEOUT_DEFAULT,
            world: Arc::default(),
            started: Arc::default(),
        }
    }

    /// Sets the `config` of the cell's spec.
    #[must_use]
    pub fn with_config(mut self, config: Value) -> Self {
        self.config = config;
        self
    }

    /// Sets the limit of the time of each call, instead of [`TIMEOUT_DEFAULT`].
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Adds a reply of `target` (a cell's name, or `flow <name>`). Several replies of one target
    /// are returned in turn, and the last one again and again.
    ///
    /// # Panics
    /// If `target` is not a valid name.
    #[must_use]
    pub fn reply(self, target: &str, output: Value) -> Self {
        self.answer(target, Ok(output))
    }

    /// Adds an error that `target` replies; otherwise as [`Self::reply`].
    ///
    /// # Panics
    /// If `target` is not a valid name.
    #[must_use]
    pub fn fail(self, target: &str, error: CellError) -> Self {
        self.answer(target, Err(error))
    }

    /// Adds the next line that the person at the terminal types. If there is none, questions get no
    /// answer.
    #[must_use]
    pub fn type_line(self, line: &str) -> Self {
        self.world.lock().typed.push_back(line.to_owned());
        self
    }

    /// Calls the cell with JSON. The first call of a cell starts it, as a body does.
    ///
    /// # Errors
    /// The cell's error; `timeout` if it takes longer than it may; the error of its start.
    ///
    /// # Panics
    /// If the cell's name is not valid, or the cell panics.
    pub async fn call(&self, cell: &NativeCell, input: Value) -> Result<Value, CellError> {
        let reply =
            self.send(cell, Envelope::request(target(cell.name()), to_json(&input)?)).await?;
        from_json(&reply.payload)
    }

    /// Calls the cell with an envelope, for fields that JSON does not hold.
    ///
    /// # Errors
    /// As [`Self::call`].
    ///
    /// # Panics
    /// As [`Self::call`].
    pub async fn send(&self, cell: &NativeCell, request: Envelope) -> Result<Envelope, CellError> {
        let env = Arc::new(self.env(cell));
        if !self.started().contains(cell.name()) {
            cell.cell().start(&env).await?;
            self.started().insert(cell.name().to_owned());
        }
        let timeout = request.timeout.unwrap_or(self.timeout);
        let request = Envelope { timeout: Some(timeout), ..request };
        let context = CellContext::new(env, &request);
        let called =
            tokio::time::timeout(timeout, cell.cell().call(&context, request.clone())).await;
        match called {
            Ok(replied) => Ok(replied?.answering(&request)),
            Err(_) => Err(BusError::timeout(&target(cell.name()), timeout).into()),
        }
    }

    /// Stops the cell, as a body does at its end. The next call starts it again.
    pub async fn stop(&self, cell: &NativeCell) {
        self.started().remove(cell.name());
        cell.cell().stop().await;
    }

    /// Returns the lines that cells have printed.
    #[must_use]
    pub fn printed(&self) -> Vec<String> {
        self.world.lock().printed.clone()
    }

    /// Returns the questions that cells have asked the person at the terminal.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.world.lock().asked.clone()
    }

    /// Returns the events that cells have published: topic and payload.
    #[must_use]
    pub fn events(&self) -> Vec<(String, Value)> {
        self.world.lock().events.iter().map(said).collect()
    }

    /// Returns the calls that cells have made: target and payload.
    #[must_use]
    pub fn calls(&self) -> Vec<(String, Value)> {
        self.requests().iter().map(said).collect()
    }

    /// Returns the calls that cells have made, as envelopes.
    #[must_use]
    pub fn requests(&self) -> Vec<Envelope> {
        self.world.lock().requests.clone()
    }

    fn answer(self, to: &str, answer: Result<Value, CellError>) -> Self {
        self.world.lock().answers.entry(target(to)).or_default().push_back(answer);
        self
    }

    fn started(&self) -> MutexGuard<'_, HashSet<String>> {
        self.started.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn env(&self, cell: &NativeCell) -> CellEnv {
        let body = BodyId::new("harness").expect("a valid id");
        CellEnv::new(target(cell.name()), body, self.world.clone(), self.world.clone())
            .with_spec(Text::default(), self.config.clone())
    }
}

fn target(name: &str) -> Target {
    name.parse().unwrap_or_else(|error| panic!("{error}"))
}

fn said(envelope: &Envelope) -> (String, Value) {
    let target = envelope.target.as_ref().map_or("", Target::name).to_owned();
    let payload = from_json(&envelope.payload)
        .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&envelope.payload).into_owned()));
    (target, payload)
}

/// Environment that the cell sees: a bus and a terminal.
#[derive(Default)]
struct World(Mutex<Script>);

#[derive(Default)]
struct Script {
    answers: HashMap<Target, VecDeque<Result<Value, CellError>>>,
    typed: VecDeque<String>,
    printed: Vec<String>,
    asked: Vec<String>,
    requests: Vec<Envelope>,
    events: Vec<Envelope>,
}

impl World {
    fn lock(&self) -> MutexGuard<'_, Script> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    fn call(&mut self, request: Envelope) -> Result<Envelope, BusError> {
        let target = request.target()?;
        let Some(answers) = self.answers.get_mut(target) else {
            let error = BusError::not_found(target);
            self.requests.push(request);
            return Err(error);
        };
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        let reply = match answer {
            Some(Ok(output)) => Ok(Envelope::reply(to_json(&output)?).answering(&request)),
            Some(Err(error)) => Err(error.into()),
            None => Err(BusError::not_found(target)),
        };
        self.requests.push(request);
        reply
    }
}

impl BodyBus for World {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move { self.lock().call(request) })
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            event.target()?;
            self.lock().events.push(event);
            Ok(())
        })
    }

    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async { Err(only("serve")) })
    }

    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(async { Err(only("subscribe")) })
    }
}

/// Returns the error for anything but calls and publishing: the rest is for bodies.
fn only(what: &str) -> BusError {
    let message = format!("the harness cannot {what}: a cell under test calls and publishes");
    BusError::new(CellError::new(Code::Internal, message), Outcome::NotRun)
}

impl Console for World {
    fn print(&self, line: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async move {
            self.lock().printed.push(line);
            Ok(())
        })
    }

    fn ask(&self, question: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async move {
            let mut script = self.lock();
            script.asked.push(question);
            Ok(script.typed.pop_front())
        })
    }
}
