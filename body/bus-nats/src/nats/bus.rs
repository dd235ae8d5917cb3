//! Bus over a body's connections, and the route of its calls.

use std::{sync::Arc, time::Instant};

use cbs::{
    BodyBus, BodyId, BoxFuture, BusError, Code, Envelope, EventStream, Outcome, Service, Serving,
    Subject, Subscription, TIMEOUT_DEFAULT, Target,
};

use super::Inner;
use crate::{call, connection::Connection, event};

/// Bodies that may answer a call.
pub(super) enum Callees {
    Any,
    OtherBodies,
    Body(BodyId),
}

pub(super) struct NatsBus {
    pub(super) inner: Arc<Inner>,
    pub(super) callees: Callees,
}

impl NatsBus {
    /// Returns the connection and the subject of a call to `target`.
    fn path(&self, target: &Target) -> Result<(&Connection, Subject), BusError> {
        let inner = &self.inner;
        let namespace = &self.inner.options.namespace;
        match (&self.callees, target) {
            (_, Target::Topic(_)) => {
                Err(BusError::bad_request(format!("{target} cannot be called; publish to it")))
            }
            (Callees::Any, _) => Ok((&inner.call, Subject::of(namespace, target))),
            (Callees::OtherBodies, _) => Ok((&inner.serve, Subject::of(namespace, target))),
            (Callees::Body(body), Target::Cell(cell)) => {
                Ok((&inner.call, Subject::of_cell_in_body(namespace, body, cell)))
            }
            (Callees::Body(_), Target::Flow(_)) => Err(BusError::bad_request(format!(
                "{target} cannot be called in one body; cells can"
            ))),
        }
    }
}

impl NatsBus {
    /// Makes the call without the queue group if a body that hangs is in the group. Returns `None`
    /// if the call has not run. It then goes the usual way with the time that is left.
    async fn failover(
        &self,
        connection: &Connection,
        request: &mut Envelope,
    ) -> Option<Result<Envelope, BusError>> {
        let inner = &self.inner;
        let target = request.target.clone()?;
        let except = match self.callees {
            Callees::Any => None,
            Callees::OtherBodies => Some(&inner.options.body),
            Callees::Body(_) => return None,
        };
        let started = Instant::now();
        let timeout = request.timeout.unwrap_or(TIMEOUT_DEFAULT);
        while let Some((body, subject)) = inner.members.failover(&target, except) {
            let done = call::call(
                connection,
                &inner.declared,
                &inner.members,
                &mut request.clone(),
                subject.into(),
            )
            .await;
            let absent = done.as_ref().is_err_and(|error| {
                error.outcome() == Outcome::NotRun
                    && matches!(error.code(), Code::NotFound | Code::Unavailable)
            });
            if !absent || !connection.is_up() {
                return Some(done);
            }
            inner.members.forget(&target, &body);
            request.resend(timeout.saturating_sub(started.elapsed()));
        }
        None
    }
}

impl BodyBus for NatsBus {
    fn call(&self, mut request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            let (connection, subject) = self.path(request.target()?)?;
            let inner = &self.inner;
            if inner.members.any_ejected()
                && let Some(done) = Box::pin(self.failover(connection, &mut request)).await
            {
                return done;
            }
            call::call(connection, &inner.declared, &inner.members, &mut request, subject.into())
                .await
        })
    }

    fn publish(&self, event: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async move {
            let connection = &self.inner.call;
            if !connection.is_up_soon().await {
                return Err(BusError::unavailable(
                    event.target()?,
                    "the connection to NATS is lost",
                ));
            }
            event::publish(&connection.client(), &self.inner.options.namespace, event).await
        })
    }

    fn serve(&self, service: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(self.inner.serve(service))
    }

    fn subscribe(
        &self,
        wanted: Subscription,
    ) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(self.inner.subscribe(wanted))
    }
}
