//! Processes: their ends, their limits, and the end of all that they start.

use std::{
    error::Error,
    io,
    process::{Command, Stdio},
    time::Duration,
};

use process::{Exit, Options, Process};
use testkit::{eventually, within};
use tokio::io::AsyncReadExt;

const LONG: Duration = Duration::from_secs(20);

type Tested = Result<(), Box<dyn Error>>;

async fn shell(script: &str, options: Options) -> io::Result<Process> {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    Process::spawn(command, options).await
}

async fn ended(process: &Process) -> String {
    within(LONG, "the end of the process", process.ended()).await.to_string()
}

async fn said(process: &mut Process) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    let stdout = process.stdout.as_mut().ok_or("no output")?;
    within(LONG, "the output", stdout.read_to_string(&mut text)).await?;
    Ok(text)
}

/// Reads the first line of the output, while the process goes on.
async fn first_line(process: &mut Process) -> Result<String, Box<dyn Error>> {
    let stdout = process.stdout.as_mut().ok_or("no output")?;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        line.push(within(LONG, "a line", stdout.read_u8()).await?);
    }
    Ok(String::from_utf8(line)?)
}

fn runs(pid: &str) -> bool {
    // A zombie has ended. In a test it is reaped by the process that adopted it.
    std::fs::read_to_string(format!("/proc/{}/stat", pid.trim()))
        .is_ok_and(|stat| stat.rsplit(')').next().is_some_and(|rest| !rest.starts_with(" Z")))
}

#[tokio::test]
async fn an_end_is_told_in_words() -> Tested {
    for (script, how) in [
        ("exit 0", "exited with 0"),
        ("exit 7", "exited with 7"),
        ("kill -9 $$", "killed by SIGKILL"),
    ] {
        let process = shell(script, Options::default()).await?;
        assert_eq!(ended(&process).await, how);
    }
    Ok(())
}

#[tokio::test]
async fn a_program_that_is_none_is_an_error() {
    let error = Process::spawn(Command::new("/nowhere/at/all"), Options::default()).await.err();
    assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::NotFound));
}

#[tokio::test]
async fn dropping_it_kills_what_it_started() -> Tested {
    let mut process = shell("sleep 1000 & echo $!; wait", Options::default()).await?;
    let child = first_line(&mut process).await?;
    assert!(runs(&child), "{child}");
    drop(process);
    eventually("the process's own child has gone", LONG, async || !runs(&child)).await;
    Ok(())
}

#[tokio::test]
async fn what_outlives_the_process_in_its_group_is_killed() -> Tested {
    // The child holds no pipe of ours, so that reading ends when the shell does.
    let mut process = shell("sleep 1000 >/dev/null 2>&1 & echo $!", Options::default()).await?;
    let child = said(&mut process).await?;
    assert_eq!(ended(&process).await, "exited with 0");
    eventually("the process's own child has gone", LONG, async || !runs(&child)).await;
    Ok(())
}

#[tokio::test]
async fn limits_hold() -> Tested {
    let options = Options { memory: Some(64 << 20), files: Some(50), ..Options::default() };
    let mut process = shell("ulimit -d; ulimit -n; ulimit -v", options).await?;
    assert_eq!(said(&mut process).await?, "65536\n50\nunlimited\n");
    Ok(())
}

#[tokio::test]
async fn a_soft_limit_of_files_leaves_the_hard_one() -> Tested {
    let mut before = shell("ulimit -Hn", Options::default()).await?;
    let hard = said(&mut before).await?;
    let options = Options { files_soft: Some(40), ..Options::default() };
    let mut process = shell("ulimit -Sn; ulimit -Hn", options).await?;
    assert_eq!(said(&mut process).await?, format!("40\n{hard}"));
    Ok(())
}

#[tokio::test]
async fn a_nice_process_is_nicer_than_its_parent() -> Tested {
    let mut parent = shell("nice", Options::default()).await?;
    let niceness: i32 = said(&mut parent).await?.trim().parse()?;
    let mut process = shell("nice", Options { niceness: Some(3), ..Options::default() }).await?;
    let nicer: i32 = said(&mut process).await?.trim().parse()?;
    // The system has no more than 19.
    assert_eq!(nicer, (niceness + 3).min(19));
    Ok(())
}

#[tokio::test]
async fn a_process_that_heeds_sigterm_says_how_it_ended() -> Tested {
    let mut process =
        shell("trap 'exit 4' TERM; echo ready; while :; do sleep 0.01; done", Options::default())
            .await?;
    first_line(&mut process).await?;
    assert_eq!(process.terminate(LONG).await, Some(Exit::Code(4)));
    assert_eq!(process.terminate(LONG).await, Some(Exit::Code(4)), "it may be asked again");
    Ok(())
}

#[tokio::test]
async fn a_process_that_ignores_sigterm_is_killed() -> Tested {
    let script = "trap '' TERM; echo ready; while :; do sleep 0.01; done";
    let mut process = shell(script, Options::default()).await?;
    first_line(&mut process).await?;
    assert_eq!(process.terminate(Duration::from_millis(50)).await, None);
    process.kill().await;
    assert_eq!(ended(&process).await, "killed by SIGKILL");

    let process = shell(script, Options::default()).await?;
    let pid = process.pid().to_string();
    process.kill_blocking();
    assert!(!runs(&pid), "a blocking kill returns after the end");
    Ok(())
}
