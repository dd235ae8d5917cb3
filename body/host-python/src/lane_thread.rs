//! The thread of a lane. It runs Python from its start to its end; its thread state is made once.

use std::{
    ffi::CStr,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, atomic::Ordering},
    thread,
};

use cbs::CellEnv;
use pyo3::{prelude::*, sync::PyOnceLock, types::PyBytes};
use serde_json::Value;

use crate::{
    host_call::HostCalls,
    interpreter::embedded,
    lane::{Lane, LaneStatus},
    log::CellLines,
    port::Port,
    watch,
};

/// Stack size of a lane's thread: that of a usual main thread. Python code may recurse a thousand
/// calls deep, with C code in each.
const STACK_BYTES: usize = 8 * 1024 * 1024;
const MODULES: &CStr = embedded(concat!(include_str!("../python/modules.py"), "\0"));

/// Parts that a lane is made of.
pub(crate) struct Parts {
    pub(crate) env: Arc<CellEnv>,
    pub(crate) host_calls: Arc<HostCalls>,
    pub(crate) lines: Arc<CellLines>,
    pub(crate) file: PathBuf,
    pub(crate) source: Vec<u8>,
    pub(crate) function: String,
    pub(crate) exit_when_stuck: bool,
}

/// Starts a lane on a thread of its own. The lane's status reports how this goes.
pub(crate) fn spawn(number: u32, parts: Parts) -> io::Result<Arc<Lane>> {
    let lane = Lane::new(number)?;
    let inner = lane.clone();
    let name = format!("py{number} {}", parts.env.target.name());
    thread::Builder::new().name(name).stack_size(STACK_BYTES).spawn(move || {
        let failed =
            Python::attach(|py| serve(py, &inner, parts).err().map(|error| error.to_string()));
        inner.clear();
        let status = inner.status.borrow().clone();
        // A lane that could not start keeps that status until it is dropped.
        if !matches!(status, LaneStatus::Failed(_)) {
            inner.status.send_replace(LaneStatus::Ended(failed));
            // A lane that ended by itself is noticed at once, not with the next call. For the
            // others no look is needed: each look is at all lanes of the process, and a body that
            // stops ends them all.
            if !inner.health.stopping.load(Ordering::Relaxed) {
                watch::wake();
            }
        }
    })?;
    Ok(lane)
}

fn serve(py: Python<'_>, lane: &Arc<Lane>, parts: Parts) -> PyResult<()> {
    static LOADER: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
    let loader = LOADER.get_or_try_init(py, || {
        PyModule::from_code(py, MODULES, c"<cbs>/host/modules.py", c"cbs_host_modules")
            .map(Bound::unbind)
    })?;
    let config = match &parts.env.config {
        Value::Null => "{}".to_owned(),
        config => config.to_string(),
    };
    let config = py.import("json")?.call_method1("loads", (config,))?;
    let module = loader.bind(py).call_method1("Cell", (parts.file.to_string_lossy(),))?;
    let port = Port {
        lane: lane.clone(),
        env: parts.env,
        host_calls: parts.host_calls,
        lines: parts.lines,
        config: config.unbind(),
        maker: Mutex::default(),
        exit_when_stuck: parts.exit_when_stuck,
    };
    let source = PyBytes::new(py, &parts.source);
    py.import("cbs._body")?.call_method1("serve", (port, module, source, parts.function))?;
    Ok(())
}
