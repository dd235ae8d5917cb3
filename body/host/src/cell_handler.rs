//! A cell as a handler.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use cbs::{
    BoxFuture, BusError, CellContext, CellEnv, CellError, DynCell, Envelope, Handler, Service,
    Stats, TargetInfo, Text,
};
use model::{CellSpec, Schema};

use crate::{
    CallLimits, Schemas,
    guard::{Guard, Work},
};

/// Handler of a cell's calls. For every request it takes a permit or waits for one, checks the
/// input's schema, runs the cell within the deadline, catches its panic, checks the output's
/// schema, and counts.
///
/// - No permit is free, and no more calls may wait: `overloaded`. Also if no permit became free
///   within the deadline, because the cell never ran.
/// - At the deadline (the caller's, at most the spec's timeout) the cell's future is dropped, its
///   permit is free, and the caller gets `timeout`.
/// - The input does not fit its schema: `bad-request`. The output does not fit, or the cell panics:
///   the caller gets `cell-failed` with the request's id; the log has the details under that id.
/// - The cell is being restarted: `unavailable`; the body's own calls go to other bodies.
pub struct CellHandler {
    guard: Guard<CellWork>,
}

impl CellHandler {
    /// Returns the handler of a cell that has been started.
    #[must_use]
    pub fn new(
        env: Arc<CellEnv>,
        cell: Arc<dyn DynCell>,
        limits: CallLimits,
        schemas: Schemas,
    ) -> Arc<Self> {
        let cell_handler = Self::vacant(env, limits, schemas);
        cell_handler.put(Some(cell));
        cell_handler
    }

    /// Returns a handler whose cell is not started yet: `unavailable` until [`Self::put`].
    pub(crate) fn vacant(env: Arc<CellEnv>, limits: CallLimits, schemas: Schemas) -> Arc<Self> {
        let target = env.target.clone();
        let work = CellWork { cell: ArcSwapOption::empty(), env, schemas };
        Arc::new(Self { guard: Guard::new(target, limits, work) })
    }

    /// Sets the cell, or removes it. Running calls are not disturbed.
    pub(crate) fn put(&self, cell: Option<Arc<dyn DynCell>>) {
        self.guard.work.cell.store(cell.map(|cell| Arc::new(Incarnation(cell))));
    }

    /// Returns the service to be served: this handler, its counters, and the information for
    /// discovery.
    #[must_use]
    pub fn service(self: &Arc<Self>, about: Arc<TargetInfo>) -> Service {
        Service {
            target: self.guard.target.clone(),
            handler: self.clone(),
            about,
            stats: self.stats().clone(),
        }
    }

    /// Returns the cell's counters since the handler was made; restarts do not reset them.
    #[must_use]
    pub fn stats(&self) -> &Arc<Stats> {
        &self.guard.stats
    }
}

impl Handler for CellHandler {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        self.guard.handle(request)
    }

    fn offer(
        &self,
        request: Envelope,
    ) -> Result<BoxFuture<'_, Result<Envelope, BusError>>, Box<Envelope>> {
        self.guard.offer(request)
    }
}

/// One incarnation of a cell; the box is for `arc_swap`, which holds no unsized types.
struct Incarnation(Arc<dyn DynCell>);

struct CellWork {
    cell: ArcSwapOption<Incarnation>,
    env: Arc<CellEnv>,
    schemas: Schemas,
}

impl Work for CellWork {
    type Lease = Arc<Incarnation>;

    fn env(&self) -> &Arc<CellEnv> {
        &self.env
    }

    fn lease(&self) -> Option<Arc<Incarnation>> {
        self.cell.load_full()
    }

    fn run<'a>(
        &'a self,
        lease: &'a Arc<Incarnation>,
        context: &'a CellContext,
        request: Envelope,
    ) -> BoxFuture<'a, Result<Envelope, CellError>> {
        lease.0.call(context, request)
    }

    fn check_input(&self, request: &Envelope) -> Result<(), BusError> {
        self.schemas.check_input(request)
    }

    fn check_output(&self, context: &CellContext, reply: &Envelope) -> Result<(), CellError> {
        self.schemas.check_output(reply).map_err(|error| wrong_output(context, &error))
    }
}

#[cold]
fn wrong_output(context: &CellContext, error: &CellError) -> CellError {
    context.log().error(format_args!("the cell's output does not fit: {}", error.message));
    CellError::cell_failed(context.id())
}

/// Returns the information for discovery about a cell, from its spec.
#[must_use]
pub fn about(spec: &CellSpec) -> TargetInfo {
    let schema = |schema: &Option<Arc<dyn Schema>>| {
        schema
            .as_ref()
            .map(|schema| (Text::from(schema.name()), Text::from(schema.hash())))
            .unwrap_or_default()
    };
    TargetInfo {
        language: spec.language().into(),
        version: spec
            .version
            .as_ref()
            .map(|version| version.to_string().into())
            .unwrap_or_default(),
        revision: spec.metadata.revision.as_str().into(),
        description: spec.metadata.description.as_deref().unwrap_or_default().into(),
        input: schema(&spec.input),
        output: schema(&spec.output),
    }
}
