//! The Python side of a lane: takes calls in batches, gives answers in batches, and writes the log.

use std::{
    os::fd::RawFd,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
};

use cbs::{Bytes, CellEnv, CellError, Code, Text};
use host::HostError;
use pyo3::{
    exceptions::PyValueError,
    intern,
    prelude::*,
    types::{PyBytes, PyDict, PyList, PyString, PyTuple},
};
use sidecar::{log, proto};

use crate::{
    call::Call,
    host_call::{Arrived, Done, HostCalls},
    lane::{Lane, LaneEvent, LaneStatus},
    log::{CellLines, level_of, line},
    port_call::PortCall,
    watch,
};

/// Lane object that its Python thread holds.
#[pyclass(frozen, module = "cbs")]
pub(crate) struct Port {
    pub(crate) lane: Arc<Lane>,
    pub(crate) env: Arc<CellEnv>,
    pub(crate) host_calls: Arc<HostCalls>,
    pub(crate) lines: Arc<CellLines>,
    /// The spec's `config` as a Python `dict`.
    pub(crate) config: Py<PyAny>,
    /// Python function that makes the context of a call. It holds the port, so it is released when
    /// the lane ends.
    pub(crate) maker: Mutex<Option<Py<PyAny>>>,
    /// True if a stuck call ends the process.
    pub(crate) exit_when_stuck: bool,
}

#[pymethods]
impl Port {
    /// Returns the file descriptor that the event loop watches.
    fn fileno(&self) -> RawFd {
        self.lane.wake_fd()
    }

    /// Empties the wake-up socket after the loop was woken.
    fn received(&self) {
        self.lane.received();
    }

    /// Sets Python's number of this thread and the function that makes a context. The function is
    /// `None` when the lane ends.
    fn settle(&self, ident: u64, maker: Option<Py<PyAny>>) {
        self.lane.health.ident.store(ident, Ordering::Relaxed);
        let before = {
            let mut place = self.maker.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *place, maker)
        };
        // Dropped after the lock is released: dropping it may run any code.
        drop(before);
    }

    /// Reports that the lane takes calls.
    fn ready(&self) {
        self.lane.status.send_replace(LaneStatus::Ready);
    }

    /// Reports that the lane cannot be started, with the reason.
    #[pyo3(signature = (code, message, retryable, details))]
    fn failed(
        &self,
        code: &str,
        message: &Bound<'_, PyString>,
        retryable: bool,
        details: Option<&str>,
    ) {
        let message = message.to_string_lossy().into_owned();
        let error = match code {
            "" => HostError::Runtime(message),
            code => HostError::Start(cell_error(code, message, retryable, details)),
        };
        self.lane.status.send_replace(LaneStatus::Failed(error));
    }

    /// Returns everything that came since the last time: (calls, calls that were given up, host
    /// calls that are done, stop). `stop` is 0 for no, 1 for a stop with hooks, 2 without. Returns
    /// `None` if there is nothing; if `last` is true, the next item then wakes the loop again.
    fn take<'py>(slf: &Bound<'py, Self>, last: bool) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let py = slf.py();
        let port = slf.get();
        let (calls, events) = port.lane.take(last);
        if calls.is_empty() && events.is_empty() {
            return Ok(None);
        }
        let made: Vec<_> = calls
            .into_iter()
            .filter(|call| call.waits())
            .map(|call| Bound::new(py, PortCall::new(call, slf.clone().unbind())))
            .collect::<PyResult<_>>()?;
        let calls = PyList::new(py, made)?;
        let cancelled = PyList::empty(py);
        let done = PyList::empty(py);
        let mut stop = 0;
        for event in events {
            match event {
                LaneEvent::Cancel(call) => cancelled.append(call.key())?,
                LaneEvent::Done(item) => done.append(port.arrived(py, item)?)?,
                LaneEvent::Stop { hooks } => stop = if hooks { 1 } else { 2 },
                LaneEvent::Ping => {}
            }
        }
        (calls, cancelled, done, stop).into_pyobject(py).map(Some)
    }

    /// Takes answers as a flat list: call, payload and content type for each.
    fn finish(&self, done: &Bound<'_, PyList>) -> PyResult<()> {
        let mut items = done.iter();
        while let (Some(call), Some(payload), Some(content_type)) =
            (items.next(), items.next(), items.next())
        {
            let call = call.cast::<PortCall>()?;
            let payload = Bytes::copy_from_slice(payload.cast::<PyBytes>()?.as_bytes());
            let content_type = content_type.cast::<PyString>()?.to_str()?;
            call.get().end(Ok((payload, Text::from(content_type))));
        }
        Ok(())
    }

    /// Writes a line to the body's log, unless the cell logs too much.
    #[pyo3(signature = (call, level, logger, message, fields))]
    fn log(
        &self,
        py: Python<'_>,
        call: Option<&Bound<'_, PortCall>>,
        level: u32,
        logger: &Bound<'_, PyString>,
        message: &Bound<'_, PyString>,
        fields: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<()> {
        if !log::is_shown(level_of(level)) || !self.lines.logged.admit() {
            return Ok(());
        }
        let call = call.map(|call| call.get().call.as_ref());
        // Text of a cell may contain half characters (as file names do): they must not make a log
        // line fail.
        let (logger, message) = (logger.to_string_lossy(), message.to_string_lossy());
        let text =
            |of: Bound<'_, PyAny>| -> PyResult<_> { Ok(of.str()?.to_string_lossy().into_owned()) };
        let fields = fields.into_iter().flatten();
        let fields =
            fields.map(|(key, value)| Ok(proto::Field { key: text(key)?, value: text(value)? }));
        let fields = fields.collect::<PyResult<_>>()?;
        let line = line(level, &logger, &message, fields);
        // The reader of the log may be slow: Python's lock is not held while this waits for it.
        py.detach(|| self.line(call, &line));
        Ok(())
    }

    /// Writes a line that a cell printed to the body's log, unless the cell prints too much.
    fn printed(
        &self,
        py: Python<'_>,
        call: Option<&Bound<'_, PortCall>>,
        stream: &str,
        text: &Bound<'_, PyString>,
    ) {
        if !self.lines.printed.admit() {
            return;
        }
        let call = call.map(|call| call.get().call.as_ref());
        let text = text.to_string_lossy();
        py.detach(|| self.line(call, &line(20, stream, &text, Vec::new())));
    }

    /// Reports that a call was cancelled and has not ended, with its place in the code.
    fn stuck(&self, place: &Bound<'_, PyString>) {
        watch::stuck(self.env.target.name(), &place.to_string_lossy(), self.exit_when_stuck);
    }

    /// Returns the name of the cell in its spec.
    #[getter]
    fn cell(&self) -> &str {
        self.env.target.name()
    }
}

impl Port {
    fn line(&self, call: Option<&Call>, line: &proto::Log) {
        log::write(line, self.env.target.name(), call.map(|call| &call.context));
    }

    /// Converts the end of a host call to (number, error or `None`, value).
    fn arrived<'py>(&self, py: Python<'py>, done: Done) -> PyResult<Bound<'py, PyTuple>> {
        let none = || py.None().into_bound(py);
        let (error, value) = match done.result {
            Ok(Arrived::Nothing) => (none(), none()),
            Ok(Arrived::Answer(answer)) => (none(), answer.into_pyobject(py)?.into_any()),
            Ok(Arrived::Reply(reply)) => {
                let attributes = PyDict::new(py);
                for (key, value) in &reply.attributes {
                    attributes.set_item(key.as_str(), value.as_str())?;
                }
                let payload = PyBytes::new(py, &reply.payload);
                let schema = reply.schema.as_str();
                let value =
                    (payload, reply.content_type.as_str(), schema, attributes).into_pyobject(py)?;
                (none(), value.into_any())
            }
            Err(error) => {
                let outcome = match error.outcome() {
                    cbs::Outcome::NotRun => intern!(py, "not-run"),
                    cbs::Outcome::Unknown => intern!(py, "unknown"),
                    cbs::Outcome::Ran => intern!(py, "ran"),
                };
                let CellError { code, message, retryable, details } = error.error();
                let details = details.as_ref().map(ToString::to_string);
                let value =
                    (code.as_str(), message, *retryable, details, outcome).into_pyobject(py)?;
                (value.into_any(), none())
            }
        };
        (done.number, error, value).into_pyobject(py)
    }
}

/// Makes an error from the parts that Python gave; `details` is JSON.
pub(crate) fn cell_error(
    code: &str,
    message: String,
    retryable: bool,
    details: Option<&str>,
) -> CellError {
    let details = details.and_then(|details| serde_json::from_str(details).ok());
    CellError { code: Code::from(code), message, retryable, details }
}

/// Makes a Python `ValueError` from the error of an invalid name.
pub(crate) fn no_name(error: &cbs::NameError) -> PyErr {
    PyValueError::new_err(error.to_string())
}
