//! The Python interpreter: one in each process, started when the first Python cell needs it.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString, NulError, c_char},
    fs,
    mem::MaybeUninit,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use pyo3::{
    ffi,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyString},
};

use crate::log::line;

/// Python that the program was built with (from `build.rs`).
pub(crate) const BUILT: Built = Built {
    version: env!("CBS_PYTHON_VERSION"),
    prefix: env!("CBS_PYTHON_PREFIX"),
    executable: env!("CBS_PYTHON_EXECUTABLE"),
    library: env!("CBS_PYTHON_LIBRARY"),
};

/// Sources of the SDK at build time: module name, whether the module is a package, and text.
const SDK: &[(&str, bool, &str)] = include!(concat!(env!("OUT_DIR"), "/sdk.rs"));
const PROCESS_SOURCE: &CStr = embedded(concat!(include_str!("../python/process.py"), "\0"));
const SDK_FINDER: &CStr = embedded(concat!(include_str!("../python/sdk.py"), "\0"));
const CHILDREN: &CStr = embedded(concat!(include_str!("../python/children.py"), "\0"));
/// Files of this crate that a process of `multiprocessing` runs, by name.
const CHILD_TEXTS: [(&str, &str); 3] = [
    ("child", include_str!("../python/child.py")),
    ("modules", include_str!("../python/modules.py")),
    ("sdk", include_str!("../python/sdk.py")),
];

/// Description of a Python that was read at build time.
pub(crate) struct Built {
    /// Version, as three numbers.
    pub(crate) version: &'static str,
    /// Prefix that its standard library is under.
    pub(crate) prefix: &'static str,
    /// Path of its executable.
    pub(crate) executable: &'static str,
    /// Folder of its libpython; empty if it is linked in.
    pub(crate) library: &'static str,
}

/// Reason why there is no interpreter. It stays the same for the rest of the process.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InterpreterError {
    /// The system's loader loaded another library than the one that the program was built with.
    #[error(
        "this program was built with Python {built}, and the system loaded Python {loaded} from {}; \
         build it again with the Python that is here, or let LD_LIBRARY_PATH name the folder of the right one", .library.display()
    )]
    Mismatch {
        /// Version and prefix of the Python that the program was built with.
        built: String,
        /// Version of the library that is loaded.
        loaded: String,
        /// File that the library was loaded from.
        library: PathBuf,
    },
    /// The standard library of the build's Python is not on this machine.
    #[error(
        "the standard library of Python {version} is not in {prefix}; install that Python, or build the program again"
    )]
    NoLibrary {
        /// Version of the Python that the program was built with.
        version: &'static str,
        /// Prefix that the standard library should be under.
        prefix: &'static str,
    },
    /// CPython itself reported an error.
    #[error("Python cannot be started: {0}")]
    Start(String),
}

/// Starts the interpreter if it does not run yet. The first start takes about 30 ms and blocks.
pub(crate) fn start() -> Result<(), InterpreterError> {
    static STARTED: OnceLock<Result<(), InterpreterError>> = OnceLock::new();
    STARTED.get_or_init(start_once).clone()
}

/// Returns true if the interpreter runs.
pub(crate) fn runs() -> bool {
    // SAFETY: reads one flag, and may be called at any time.
    unsafe { ffi::Py_IsInitialized() != 0 }
}

fn start_once() -> Result<(), InterpreterError> {
    fits()?;
    // Python takes the thread that starts it for its main thread: this one runs as long as the
    // process.
    let (notify, started) = std::sync::mpsc::sync_channel(1);
    let main = std::thread::Builder::new().name("cbs-python".to_owned()).spawn(move || {
        let done =
            initialize().and_then(|()| Python::attach(prepare).map_err(|error| failed(&error)));
        _ = notify.send(done);
        loop {
            std::thread::park();
        }
    });
    main.map_err(|error| InterpreterError::Start(error.to_string()))?;
    started.recv().map_err(|_| InterpreterError::Start("its thread ended".to_owned()))?
}

fn failed(error: &PyErr) -> InterpreterError {
    InterpreterError::Start(error.to_string())
}

/// Returns an error if the loaded libpython is not the build's: the system's loader may find
/// another. Also checks that the standard library is there.
pub(crate) fn fits() -> Result<(), InterpreterError> {
    let loaded = loaded_version();
    let library = loaded_library();
    let minor = |version: &str| version.split('.').take(2).map(str::to_owned).collect::<Vec<_>>();
    let elsewhere = library
        .as_deref()
        .is_some_and(|file| !BUILT.library.is_empty() && !lies_in(file, BUILT.library));
    if minor(&loaded) != minor(BUILT.version) || elsewhere {
        return Err(InterpreterError::Mismatch {
            built: format!("{} ({})", BUILT.version, BUILT.prefix),
            loaded,
            library: library.unwrap_or_else(|| PathBuf::from("this program")),
        });
    }
    if loaded != BUILT.version {
        tracing::warn!(
            "this program was built with Python {}, running with {loaded}",
            BUILT.version
        );
    }
    if !Path::new(BUILT.prefix).join("lib").join(folder_of_version()).join("os.py").is_file() {
        return Err(InterpreterError::NoLibrary { version: BUILT.version, prefix: BUILT.prefix });
    }
    Ok(())
}

/// Returns the name of the folder of the standard library and of site-packages, such as
/// `python3.11`.
pub(crate) fn folder_of_version() -> String {
    let minor: Vec<_> = BUILT.version.split('.').take(2).collect();
    format!("python{}", minor.join("."))
}

fn lies_in(file: &Path, folder: &str) -> bool {
    let real = |path: &Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    real(file).parent() == Some(&real(Path::new(folder)))
}

/// Returns the version of the library that is loaded.
pub(crate) fn loaded_version() -> String {
    // SAFETY: CPython lets it be called before it is initialized; the text is constant.
    let text = unsafe { CStr::from_ptr(ffi::Py_GetVersion()) };
    text.to_string_lossy().split_whitespace().next().unwrap_or_default().to_owned()
}

/// Returns the file of the libpython that is loaded, or `None` if it is linked in.
pub(crate) fn loaded_library() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let files = maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..)));
    let named =
        |file: &&str| file.rsplit('/').next().is_some_and(|name| name.starts_with("libpython"));
    files.into_iter().find(named).map(PathBuf::from)
}

/// Starts CPython without any settings from the user's environment, and releases its lock.
fn initialize() -> Result<(), InterpreterError> {
    let mut before = MaybeUninit::<ffi::PyPreConfig>::uninit();
    // SAFETY: the function fills the whole struct.
    let before = unsafe {
        ffi::PyPreConfig_InitIsolatedConfig(before.as_mut_ptr());
        before.assume_init_mut()
    };
    // A Rust program has the locale "C": names of files and texts are UTF-8 all the same.
    before.utf8_mode = 1;
    // SAFETY: called once a process (`start`), with a struct that CPython has filled.
    check(unsafe { ffi::Py_PreInitialize(before) })?;
    let mut config = MaybeUninit::<ffi::PyConfig>::uninit();
    // SAFETY: the function fills the whole struct.
    let config = unsafe {
        ffi::PyConfig_InitIsolatedConfig(config.as_mut_ptr());
        config.assume_init_mut()
    };
    // The body has signal handlers of its own; cells' site-packages are added by name.
    config.install_signal_handlers = 0;
    config.site_import = 0;
    config.write_bytecode = 0;
    let done = set_texts(config).and_then(|()| {
        // SAFETY: no interpreter runs yet, and the struct is CPython's own.
        check(unsafe { ffi::Py_InitializeFromConfig(config) })
    });
    // SAFETY: the struct was filled by CPython and is not used afterwards.
    unsafe { ffi::PyConfig_Clear(config) };
    done?;
    // SAFETY: this thread has just initialized the interpreter and so holds its lock; from here on,
    // it is taken through `Python::attach`.
    unsafe { ffi::PyEval_SaveThread() };
    Ok(())
}

fn set_texts(config: &mut ffi::PyConfig) -> Result<(), InterpreterError> {
    let text = |text: &str| {
        CString::new(text).map_err(|error: NulError| InterpreterError::Start(error.to_string()))
    };
    let home = text(BUILT.prefix)?;
    let program = text(BUILT.executable)?;
    let config: *mut ffi::PyConfig = config;
    let set = move |field: *mut *mut _, text: *const c_char| {
        // SAFETY: the field is one of this very struct, the text ends with a zero and lives until
        // the call returns.
        check(unsafe { ffi::PyConfig_SetBytesString(config, field, text) })
    };
    // SAFETY: the pointer is to the borrowed struct; only the addresses of two fields are taken.
    let (home_field, program_field) =
        unsafe { (&raw mut (*config).home, &raw mut (*config).executable) };
    set(home_field, home.as_ptr())?;
    // What `sys.executable` says: programs that start "Python" through it start Python, not a body.
    set(program_field, program.as_ptr())
}

fn check(status: ffi::PyStatus) -> Result<(), InterpreterError> {
    // SAFETY: reads the struct.
    if unsafe { ffi::PyStatus_Exception(status) } == 0 {
        return Ok(());
    }
    if status.err_msg.is_null() {
        return Err(InterpreterError::Start("no reason was given".to_owned()));
    }
    // SAFETY: CPython's messages are constant texts that end with a zero.
    let message = unsafe { CStr::from_ptr(status.err_msg) };
    Err(InterpreterError::Start(message.to_string_lossy().into_owned()))
}

static PROCESS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// Returns the module with the state of the whole interpreter (`python/process.py`), which is
/// created once.
pub(crate) fn process(py: Python<'_>) -> PyResult<&Bound<'_, PyModule>> {
    let make = || {
        PyModule::from_code(py, PROCESS_SOURCE, c"<cbs>/host/process.py", c"cbs_host_process")
            .map(Bound::unbind)
    };
    PROCESS.get_or_try_init(py, make).map(|module| module.bind(py))
}

/// Logs a line that belongs to no cell.
#[pyfunction]
fn unknown(level: u32, logger: &str, message: &Bound<'_, PyString>) {
    sidecar::log::write(&line(level, logger, &message.to_string_lossy(), Vec::new()), "", None);
}

/// Makes the built-in SDK importable.
fn prepare(py: Python<'_>) -> PyResult<()> {
    let sources = PyDict::new(py);
    for (name, package, text) in SDK {
        sources.set_item(name, (package, text))?;
    }
    let finder = PyModule::from_code(py, SDK_FINDER, c"<cbs>/host/sdk.py", c"cbs_host_sdk")?;
    finder.call_method1("install", (sources,))?;
    // Python takes the first thread that imports it for its main thread.
    py.import("threading")?;
    Ok(())
}

/// Sets up once what all lanes share: streams, logging and forks. It must run when everything that
/// cells import can be imported, because the SDK looks for msgspec when it is loaded.
pub(crate) fn set_up(site: Option<&Path>) -> Result<(), InterpreterError> {
    static SET_UP: OnceLock<Result<(), InterpreterError>> = OnceLock::new();
    let set_up = |py: Python<'_>| {
        if let Some(site) = site {
            py.import("site")?.call_method1("addsitedir", (site.to_string_lossy(),))?;
        }
        // Python's levels: what the body's log leaves out is not even made.
        let level = match tracing::level_filters::LevelFilter::current().into_level() {
            Some(tracing::Level::TRACE | tracing::Level::DEBUG) => 10,
            Some(tracing::Level::INFO) => 20,
            Some(tracing::Level::WARN) => 30,
            Some(tracing::Level::ERROR) | None => 40,
        };
        process(py)?.call_method1("install", (wrap_pyfunction!(unknown, py)?, level))?;
        let children =
            PyModule::from_code(py, CHILDREN, c"<cbs>/host/children.py", c"cbs_host_children")?;
        children.call_method1("install", (BTreeMap::from(CHILD_TEXTS),))?;
        Ok(())
    };
    SET_UP
        .get_or_init(|| Python::attach(|py| set_up(py).map_err(|error: PyErr| failed(&error))))
        .clone()
}

/// Returns a Python file of this crate with the zero at its end that CPython needs.
pub(crate) const fn embedded(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"raise ImportError('a zero within a file')",
    }
}
