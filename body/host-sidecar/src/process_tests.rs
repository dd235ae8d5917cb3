use std::{error::Error, time::Duration};

use testkit::{eventually, within};
use tokio::io::AsyncReadExt;

use super::*;

const LONG: Duration = Duration::from_secs(20);

type Tested = Result<(), Box<dyn Error>>;

async fn shell(script: &str, limits: Limits) -> io::Result<(Process, Pipes)> {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    Process::spawn(command, limits, None).await
}

async fn ended(process: &Process) -> String {
    within(LONG, "the end of the process", process.ended()).await.to_string()
}

async fn said(pipes: Pipes) -> Result<String, Box<dyn Error>> {
    let mut text = String::new();
    tokio::process::ChildStdout::from_std(pipes.stdout)?.read_to_string(&mut text).await?;
    Ok(text)
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
        let (process, _pipes) = shell(script, Limits::default()).await?;
        assert_eq!(ended(&process).await, how);
    }
    Ok(())
}

#[tokio::test]
async fn a_program_that_is_none_is_an_error() {
    let error =
        Process::spawn(Command::new("/nowhere/at/all"), Limits::default(), None).await.err();
    assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::NotFound));
}

#[tokio::test]
async fn dropping_it_kills_what_it_started() -> Tested {
    let (process, pipes) = shell("sleep 1000 & echo $!; wait", Limits::default()).await?;
    let mut stdout = tokio::process::ChildStdout::from_std(pipes.stdout)?;
    let mut bytes = [0; 32];
    let count = within(LONG, "the child's id", stdout.read(&mut bytes)).await?;
    let child = String::from_utf8_lossy(bytes.get(..count).unwrap_or_default()).into_owned();
    assert!(runs(&child), "{child}");
    drop(process);
    eventually("the process's own child has gone", LONG, async || !runs(&child)).await;
    Ok(())
}

#[tokio::test]
async fn what_outlives_the_process_in_its_group_is_killed() -> Tested {
    // The child holds no pipe of ours, so that reading ends when the shell does.
    let (process, pipes) = shell("sleep 1000 >/dev/null 2>&1 & echo $!", Limits::default()).await?;
    let child = said(pipes).await?;
    assert_eq!(ended(&process).await, "exited with 0");
    eventually("the process's own child has gone", LONG, async || !runs(&child)).await;
    Ok(())
}

#[tokio::test]
async fn limits_hold() -> Tested {
    let limits = Limits { memory: Some(64 << 20), files: Some(50) };
    let (_process, pipes) = shell("ulimit -d; ulimit -n; ulimit -v", limits).await?;
    assert_eq!(said(pipes).await?, "65536\n50\nunlimited\n");
    Ok(())
}
