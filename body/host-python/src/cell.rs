//! A Python cell as the registry holds it.

use std::{future::Future, sync::Arc};

use cbs::{Cell, CellContext, CellError, Envelope, Outcome};

use crate::pool::Pool;

/// Python cell whose calls go to its lanes.
pub(crate) struct PythonCell(pub(crate) Arc<Pool>);

impl Cell for PythonCell {
    fn call(
        &self,
        context: &CellContext,
        request: Envelope,
    ) -> impl Future<Output = Result<Envelope, CellError>> + Send {
        call(&self.0, context, request, false)
    }

    async fn stop(&self) {
        self.0.stop().await;
    }
}

/// Gives a call to the lanes at once, so that no future holds its 300 bytes, and waits for its
/// answer. The notes about the call go to `context` when it ends, or immediately if `at_once` is
/// true.
pub(crate) fn call<'a>(
    pool: &Pool,
    context: &'a CellContext,
    request: Envelope,
    at_once: bool,
) -> impl Future<Output = Result<Envelope, CellError>> + Send + use<'a> {
    let submitted = pool.submit(context, request);
    async move {
        let answered = match submitted {
            Ok((pending, answer)) => pending.answer(answer, at_once).await,
            Err(error) => Err(error),
        };
        match answered {
            Ok((payload, content_type)) => {
                Ok(Envelope { content_type, ..Envelope::reply(payload) })
            }
            Err(error) if error.outcome() == Outcome::Ran => Err(error.into_error()),
            // The call never ran: another body may take it, and the caller may try again.
            Err(error) => Ok(Envelope::error(error)),
        }
    }
}
