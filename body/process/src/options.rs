//! Limits and priority of a process, and death with its parent.

use std::{io, os::unix::process::CommandExt, process::Command};

#[cfg(target_os = "linux")]
use nix::{errno::Errno, sys::signal::Signal, unistd::Pid};
use nix::{
    libc::rlim_t,
    sys::resource::{Resource, getrlimit, setrlimit},
};

/// Limits and priority of a process. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Limit of private memory that can be written to, in bytes: heap, anonymous maps, and the
    /// stacks of threads, counted as they are mapped.
    pub memory: Option<u64>,
    /// Limit of open files, soft and hard.
    pub files: Option<u64>,
    /// Soft limit of open files if `files` is `None`, at most the hard limit.
    pub files_soft: Option<u64>,
    /// Niceness that is added to that of the parent (nice(2)). If the system refuses it, the
    /// process runs with its parent's.
    pub niceness: Option<i32>,
}

/// The resource that [`Options::memory`] bounds. It is not the address space (`RLIMIT_AS`): Dart,
/// Go and Java map gigabytes of it that they never touch, and would not start. It is not the
/// resident memory: Linux has ignored `RLIMIT_RSS` since 2.4.30.
const MEMORY: Resource = Resource::RLIMIT_DATA;

/// Soft and hard limit of a resource.
type Limit = (rlim_t, rlim_t);

/// Sets up the steps of the new process before it becomes its program.
pub(crate) fn before_exec(command: &mut Command, options: Options) -> io::Result<()> {
    let Options { niceness, .. } = options;
    let memory = options.memory.map(|limit| (limit, limit));
    let files = files(options)?;
    #[cfg(target_os = "linux")]
    let parent = Pid::this();
    let prepare = move || {
        #[cfg(target_os = "linux")]
        die_with(parent)?;
        for (resource, limit) in [(MEMORY, memory), (Resource::RLIMIT_NOFILE, files)] {
            if let Some((soft, hard)) = limit {
                setrlimit(resource, soft, hard)?;
            }
        }
        if let Some(niceness) = niceness {
            // SAFETY: it takes a number and changes nothing but this process's priority.
            let _ = unsafe { nix::libc::nice(niceness) };
        }
        Ok(())
    };
    // SAFETY: between fork and exec only calls that are safe in a signal handler: prctl, getppid,
    // setrlimit, and setpriority, which nice is made of.
    unsafe { command.pre_exec(prepare) };
    Ok(())
}

fn files(options: Options) -> io::Result<Option<Limit>> {
    match (options.files, options.files_soft) {
        (Some(limit), _) => Ok(Some((limit, limit))),
        (None, Some(soft)) => {
            let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
            Ok(Some((soft.min(hard), hard)))
        }
        (None, None) => Ok(None),
    }
}

/// Asks the kernel to kill this process when its parent's thread ends.
#[cfg(target_os = "linux")]
fn die_with(parent: Pid) -> nix::Result<()> {
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
    // The parent may have died before the line above. Then nobody will ever send the signal.
    if Pid::parent() == parent { Ok(()) } else { Err(Errno::ESRCH) }
}
