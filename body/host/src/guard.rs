//! What every handler of a body does around its work: room, deadline, numbers, panics. Merged
//! into one future, for as four middlewares it would be four allocations a call.

pub(crate) mod contain;
pub(crate) mod scope;
pub(crate) mod watchdog;

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bus::{Permit, Room, within};
use cbs::{
    BoxFuture, BusError, CellError, Code, Envelope, Handler, Numbers, Outcome, TIMEOUT_DEFAULT, Target, Uuid,
};

use self::{
    contain::{Contained, Panic},
    scope::Label,
};
use crate::Limits;

/// How many calls may stand in one another within one body: each is polled inside its
/// caller's poll, on one stack, and a loop of calls would otherwise end the body.
const DEPTH_MAX: u32 = 32;

/// What a [`Guard`] stands around.
pub(crate) trait Work: Send + Sync + 'static {
    /// Answers a request whose timeout is set.
    fn run(&self, request: Envelope) -> impl Future<Output = Result<Envelope, BusError>> + Send;

    /// Whether it could run now; a call that is offered is given back otherwise.
    fn is_ready(&self) -> bool {
        true
    }
}

/// Work with its limits.
pub(crate) struct Guard<W> {
    pub(crate) work: W,
    pub(crate) target: Target,
    pub(crate) numbers: Arc<Numbers>,
    timeout: Duration,
    room: Room,
    label: Label,
}

impl<W: Work> Guard<W> {
    pub(crate) fn new(target: Target, limits: Limits, work: W) -> Self {
        contain::install_hook();
        let numbers = Arc::<Numbers>::default();
        let room = Room::new(limits.room, numbers.clone());
        let label = Label::new(target.name());
        Self { work, target, numbers, timeout: limits.timeout, room, label }
    }

    /// How long the request may take: what its caller and the spec both grant.
    fn granted(&self, request: &Envelope) -> Duration {
        request.timeout.unwrap_or(TIMEOUT_DEFAULT).min(self.timeout)
    }

    /// Waits for room. The time that passes is the caller's.
    async fn wait(&self, mut request: Envelope) -> Result<Envelope, BusError> {
        let (arrived, granted) = (Instant::now(), self.granted(&request));
        match self.room.enter(request.payload.len(), granted).await {
            Some(permit) => {
                request.timeout = Some(granted.saturating_sub(arrived.elapsed()));
                self.answer(request, permit).await
            }
            None => {
                let error = BusError::overloaded(&self.target);
                self.count(&error);
                Err(error)
            }
        }
    }

    async fn answer(&self, mut request: Envelope, permit: Permit<'_>) -> Result<Envelope, BusError> {
        let (began, id, granted) = (Instant::now(), request.id, self.granted(&request));
        request.timeout = Some(granted);
        let work = pin!(self.work.run(request));
        let result = match within(granted, Contained::new(work, &self.label)).await {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => Err(self.panicked(id, &panic)),
            Err(_) => Err(BusError::timeout(&self.target, granted)),
        };
        self.numbers.busy_ns.fetch_add(u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        match &result {
            Ok(_) => _ = self.numbers.calls.fetch_add(1, Ordering::Relaxed),
            Err(error) => self.count(error),
        }
        drop(permit);
        result
    }

    #[cold]
    fn count(&self, error: &BusError) {
        self.numbers.calls.fetch_add(1, Ordering::Relaxed);
        self.numbers.errors.fetch_add(1, Ordering::Relaxed);
        self.numbers.set_last_error(error.to_string());
    }

    #[cold]
    fn panicked(&self, id: Uuid, panic: &Panic) -> BusError {
        tracing::error!(
            target: "cbs::cell",
            cell = %self.target.name(),
            id = %id,
            place = %panic.place,
            "the cell panicked: {}", panic.message
        );
        CellError::cell_failed(id).into()
    }

    #[cold]
    fn too_deep(&self) -> BusError {
        let message = format!("calls stand {DEPTH_MAX} deep in one another at {}: do they go in a circle?", self.target);
        let error = BusError::new(CellError::new(Code::Refused, message), Outcome::NotRun);
        self.count(&error);
        error
    }
}

impl<W: Work> Handler for Guard<W> {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        if scope::depth() >= DEPTH_MAX {
            return Box::pin(std::future::ready(Err(self.too_deep())));
        }
        match self.room.try_enter() {
            Some(permit) => Box::pin(self.answer(request, permit)),
            None => Box::pin(self.wait(request)),
        }
    }

    fn offer(&self, request: Envelope) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        if scope::depth() >= DEPTH_MAX || !self.work.is_ready() {
            return Err(Box::new(request));
        }
        match self.room.try_enter() {
            Some(permit) => Ok(Box::pin(self.answer(request, permit))),
            None => Err(Box::new(request)),
        }
    }
}
