//! Child processes that die with their parent, within limits of memory and files.
//!
//! ```
//! use std::{process::{Command, Stdio}, time::Duration};
//! use process::{Exit, Options, Process};
//! use tokio::io::AsyncReadExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> std::io::Result<()> {
//! let mut command = Command::new("sh");
//! command.args(["-c", "ulimit -n; exec sleep 1000"]).stdout(Stdio::piped());
//! let options = Options { files: Some(50), ..Options::default() };
//! let mut process = Process::spawn(command, options).await?;
//!
//! let mut line = [0; 3];
//! process.stdout.take().expect("piped").read_exact(&mut line).await?;
//! assert_eq!(&line, b"50\n");
//!
//! let exit = process.terminate(Duration::from_secs(5)).await;
//! assert_eq!(exit.map(|exit| exit.to_string()).as_deref(), Some("killed by SIGTERM"));
//! # Ok(())
//! # }
//! ```
//!
//! # Death with the parent
//!
//! The kernel kills a process when the *thread* that spawned it ends (`PR_SET_PDEATHSIG`). So each
//! process has a thread of its own, which stays until the process has ended. A process is the first
//! of a process group: Ctrl-C in a terminal goes only to the parent, signals go to the whole group,
//! and the rest of the group is killed when the process ends. A process that leaves its group
//! (`setsid`) is not reached. Systems other than Linux have no such signal of the kernel: there the
//! processes of a parent that is killed go on, and the rest of the group of a process that has
//! ended is left alone, because the group's number may belong to others by then.
//!
//! # Layout
//!
//! - [`Process`]: start, end and signals. [`KILL_LIMIT`]: the longest wait for a killed process.
//! - [`Options`]: limits and priority, set before the process becomes its program.
//! - [`Exit`]: kind of a process's end.

mod child;
mod exit;
mod options;

pub use self::{
    child::{KILL_LIMIT, Process},
    exit::Exit,
    options::Options,
};
