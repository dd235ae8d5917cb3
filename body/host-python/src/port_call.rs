//! The Python side of a call: its payload, its notes, its end, and its host calls.

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{
        Arc, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use cbs::{BusError, Bytes, CellError, Envelope, Kind, Target, Text};
use pyo3::{
    exceptions::PyRuntimeError,
    prelude::*,
    pybacked::{PyBackedBytes, PyBackedStr},
    types::{PyBytes, PyDict, PyString},
};
use tokio::task::AbortHandle;

use crate::{
    call::{Answer, Call},
    host_call::{Arrived, seconds},
    port::{Port, cell_error, no_name},
};

/// One point in time on both clocks: Rust's, and Python's `time.monotonic()`.
static CLOCKS: OnceLock<(Instant, f64)> = OnceLock::new();

/// Call object that Python holds. Calling it as a function makes its context.
#[pyclass(frozen, freelist = 1024, module = "cbs")]
pub(crate) struct PortCall {
    pub(crate) call: Arc<Call>,
    port: Py<Port>,
    /// Set while this lane has claimed the call and not ended it.
    owed: AtomicBool,
}

impl PortCall {
    pub(crate) fn new(call: Arc<Call>, port: Py<Port>) -> Self {
        Self { call, port, owed: AtomicBool::new(false) }
    }

    /// Ends the call with this answer. Only the first answer counts.
    pub(crate) fn end(&self, answer: Answer) {
        if self.owed.swap(false, Ordering::AcqRel) {
            self.call.end(&self.port.get().lane, answer);
        }
    }

    fn host_call(
        &self,
        number: u64,
        work: impl Future<Output = Result<Arrived, BusError>> + Send + 'static,
    ) -> Option<HostCall> {
        let port = self.port.get();
        port.host_calls.begin(&port.lane, number, work).map(HostCall)
    }

    fn envelope(&self, sent: &Sent) -> PyResult<Envelope> {
        let target: Target = sent.target.parse().map_err(|error| no_name(&error))?;
        let remaining = self.call.context.remaining();
        let timeout =
            sent.timeout.and_then(seconds).map_or(remaining, |timeout| timeout.min(remaining));
        let attributes = sent
            .attributes
            .iter()
            .map(|(key, value)| (Text::from(key.as_str()), Text::from(value.as_str())));
        let payload = Bytes::copy_from_slice(&sent.payload);
        Ok(Envelope {
            content_type: Text::from(&*sent.content_type),
            schema: Text::from(&*sent.schema),
            timeout: Some(timeout),
            idempotency_key: Text::from(&*sent.idempotency_key),
            idempotent: sent.idempotent,
            attributes: attributes.collect(),
            ..self.call.context.request(target, payload)
        })
    }
}

impl Drop for PortCall {
    fn drop(&mut self) {
        // Python dropped the call: the caller receives an error instead of waiting.
        let id = self.call.request.id;
        self.end(Err(CellError::cell_failed(id).into()));
    }
}

/// Message that a cell sends: the SDK's `Outgoing`.
#[derive(FromPyObject)]
struct Sent {
    target: PyBackedStr,
    payload: PyBackedBytes,
    content_type: PyBackedStr,
    schema: PyBackedStr,
    timeout: Option<f64>,
    idempotency_key: PyBackedStr,
    idempotent: bool,
    attributes: BTreeMap<String, String>,
}

/// Python's handle of a host call.
#[pyclass(frozen, module = "cbs")]
pub(crate) struct HostCall(AbortHandle);

#[pymethods]
impl HostCall {
    /// Aborts the host call, because nothing waits for it any more.
    fn abort(&self) {
        self.0.abort();
    }
}

#[pymethods]
#[allow(clippy::needless_pass_by_value, reason = "arguments are made of Python's, and owned")]
impl PortCall {
    /// Claims the call and returns its payload. Returns `None` if another lane has it, or if it was
    /// given up.
    fn claim<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        if !self.call.claim(&self.port.get().lane) {
            return None;
        }
        self.owed.store(true, Ordering::Release);
        Some(PyBytes::new(py, &self.call.request.payload))
    }

    /// Returns the payload's media type; empty means JSON.
    #[getter]
    fn content_type(&self) -> &str {
        &self.call.request.content_type
    }

    /// Returns true if the call still waits for its turn: no lane has claimed it, and its caller
    /// has not given up.
    fn waits(&self) -> bool {
        self.call.waits()
    }

    /// Returns the key that a cancellation of this call has.
    #[getter]
    fn key(&self) -> usize {
        self.call.key()
    }

    /// Answers with an error; `details` is JSON.
    #[pyo3(signature = (code, message, retryable, details))]
    fn fail(&self, code: &str, message: String, retryable: bool, details: Option<&str>) {
        self.end(Err(cell_error(code, message, retryable, details).into()));
    }

    /// Answers that the cell failed.
    fn failed(&self) {
        self.end(Err(CellError::cell_failed(self.call.request.id).into()));
    }

    /// Makes the context of the call. Python asks for it only when it is needed.
    fn __call__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let maker = {
            let place = slf.get().port.get().maker.lock().unwrap_or_else(PoisonError::into_inner);
            place.as_ref().map(|maker| maker.clone_ref(py))
        };
        maker
            .ok_or_else(|| PyRuntimeError::new_err("the cell's lane has ended"))?
            .into_bound(py)
            .call1((slf,))
    }

    #[getter]
    fn id(&self) -> String {
        self.call.context.id().to_string()
    }

    #[getter]
    fn correlation_id(&self) -> String {
        self.call.context.correlation_id().to_string()
    }

    #[getter]
    fn attempt(&self) -> u32 {
        self.call.context.attempt()
    }

    #[getter]
    fn caller(&self) -> &str {
        &self.call.context.caller().cell
    }

    #[getter]
    fn traceparent(&self) -> String {
        self.call.context.trace().to_string()
    }

    /// Returns true if the call's span is always recorded.
    #[getter]
    fn sampled(&self) -> bool {
        self.call.context.span().is_sampled()
    }

    /// Adds an attribute to the call's span.
    fn attribute(&self, key: &Bound<'_, PyString>, value: &Bound<'_, PyString>) {
        self.call.context.span().attribute(&*key.to_string_lossy(), &*value.to_string_lossy());
        self.call.noted();
    }

    /// Adds an event that happens now to the call's span.
    fn event(
        &self,
        name: &Bound<'_, PyString>,
        attributes: Vec<(Bound<'_, PyString>, Bound<'_, PyString>)>,
    ) {
        let attributes =
            attributes.iter().map(|(key, value)| (key.to_string_lossy(), value.to_string_lossy()));
        let attributes = attributes.map(|(key, value)| (Text::from(&*key), Text::from(&*value)));
        self.call.context.span().event(&*name.to_string_lossy(), attributes);
        self.call.noted();
    }

    #[getter]
    fn tracestate(&self) -> &str {
        &self.call.request.tracestate
    }

    /// Returns the time at which the caller gives up, on the clock of `time.monotonic`.
    #[getter]
    fn deadline(&self, py: Python<'_>) -> PyResult<f64> {
        let (instant, monotonic) = match CLOCKS.get() {
            Some(clocks) => *clocks,
            None => {
                let monotonic = py.import("time")?.call_method0("monotonic")?.extract()?;
                *CLOCKS.get_or_init(|| (Instant::now(), monotonic))
            }
        };
        let deadline = self.call.context.deadline();
        let since = deadline.saturating_duration_since(instant).as_secs_f64();
        let before = instant.saturating_duration_since(deadline).as_secs_f64();
        Ok(monotonic + since - before)
    }

    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let attributes = PyDict::new(py);
        for (key, value) in &self.call.request.attributes {
            attributes.set_item(key.as_str(), value.as_str())?;
        }
        Ok(attributes)
    }

    #[getter]
    fn cell(&self) -> &str {
        self.port.get().env.target.name()
    }

    #[getter]
    fn body(&self) -> &str {
        self.port.get().env.body.as_str()
    }

    #[getter]
    fn revision(&self) -> &str {
        &self.port.get().env.revision
    }

    #[getter]
    fn config(&self, py: Python<'_>) -> Py<PyAny> {
        self.port.get().config.clone_ref(py)
    }

    /// Starts a call to another cell. Its result comes from [`Port::take`] under this number.
    fn send(&self, number: u64, sent: Sent) -> PyResult<Option<HostCall>> {
        let request = self.envelope(&sent)?;
        let call = self.call.clone();
        let work = async move {
            call.context.send(request).await.map(|reply| Arrived::Reply(Box::new(reply)))
        };
        Ok(self.host_call(number, work))
    }

    /// Starts to publish an event.
    fn publish(&self, number: u64, sent: Sent) -> PyResult<Option<HostCall>> {
        let event = Envelope { kind: Kind::Event, timeout: None, ..self.envelope(&sent)? };
        let call = self.call.clone();
        let work =
            async move { call.context.env().bus.publish(event).await.map(|()| Arrived::Nothing) };
        Ok(self.host_call(number, work))
    }

    /// Starts to print a line to the standard output of the body's program.
    fn print(&self, number: u64, line: String) -> Option<HostCall> {
        let call = self.call.clone();
        let work = async move { Ok(call.context.print(line).await.map(|()| Arrived::Nothing)?) };
        self.host_call(number, work)
    }

    /// Starts to ask the person at the body's program a question.
    fn ask(&self, number: u64, question: String) -> Option<HostCall> {
        let call = self.call.clone();
        let work = async move { Ok(call.context.ask(question).await.map(Arrived::Answer)?) };
        self.host_call(number, work)
    }
}
