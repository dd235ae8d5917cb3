//! Help, and wrong usage.

use crate::support::{World, finish, usual_server};

const COMMANDS: [&str; 10] =
    ["demo", "up", "check", "call", "flow", "ls", "describe", "new", "doctor", "completions"];

#[tokio::test]
async fn help_names_every_command_and_every_exit_status() {
    let help = World::new().run(&["--help"]).await.with_status(0);
    for word in COMMANDS.into_iter().chain([
        "0 done",
        "1 the work failed",
        "2 could not start",
        "64 wrong usage",
    ]) {
        assert!(help.stdout.contains(word), "{word} is not in:\n{}", help.stdout);
    }
    assert_eq!(help.stderr, "");
}

#[tokio::test]
async fn every_command_has_help() {
    let world = World::new();
    for command in COMMANDS {
        let help = world.run(&[command, "--help"]).await.with_status(0);
        assert!(help.stdout.contains(&format!("Usage: cbs {command}")), "{}", help.stdout);
    }
}

#[tokio::test]
async fn the_version_is_told() {
    let version = World::new().run(&["--version"]).await.with_status(0);
    assert_eq!(version.stdout.trim_end(), format!("cbs {}", env!("CARGO_PKG_VERSION")));
}

#[tokio::test]
async fn wrong_usage_is_status_64_and_nothing_on_standard_output() {
    let world = World::new();
    let wrong: [&[&str]; 9] = [
        &[],
        &["dance"],
        &["ls", "--nope"],
        &["check"],
        &["call", "greet"],
        &["call", "logic.greet", "{\"name\":"],
        &["call", "logic.greet", "{}", "--timeout", "soon"],
        &["ls", "--namespace", "Not A Label"],
        &["new", "cell", "logic.shout", "--lang", "cobol"],
    ];
    for arguments in wrong {
        let done = world.run(arguments).await.with_status(64);
        assert_eq!(done.stdout, "", "{arguments:?}");
        assert!(!done.stderr.is_empty(), "{arguments:?}");
    }
}

#[tokio::test]
async fn a_variable_that_is_empty_is_one_that_is_not_set() {
    let world = World::new();
    let mut command = world.command(&["demo", "--name", "Ada"]);
    for name in [
        "NATS_URL",
        "NATS_USER",
        "NATS_PASSWORD",
        "NATS_TOKEN",
        "NATS_NKEY",
        "NATS_CREDS",
        "NATS_CA",
        "NATS_CERT",
        "NATS_KEY",
        "NATS_INBOX_PREFIX",
        "CBS_NAMESPACE",
        "CBS_LOG",
        "CBS_TELEMETRY",
        "CBS_TRACE_RATIO",
        "CBS_TRACE_SLOW",
        "CBS_OTLP_LOGS",
    ] {
        command.env(name, "");
    }
    let done = finish(command).await.with_status(0);
    assert_eq!(done.stdout.trim_end(), "Hello, Ada!", "{}", done.stderr);
}

#[tokio::test]
async fn a_log_filter_that_is_none_is_wrong_usage() {
    let world = World::new();
    let mut command = world.command(&["check", "."]);
    command.env("CBS_LOG", "[nonsense");
    let done = finish(command).await.with_status(64);
    assert!(done.stderr.contains("CBS_LOG"), "{}", done.stderr);
}

#[tokio::test]
async fn the_doctor_says_what_there_is() {
    let done = World::new().run(&["doctor", "--format", "json"]).await;
    let found: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let program =
        found.as_array().unwrap().iter().find(|line| line["what"] == "nats-server").unwrap();
    assert_eq!(program["state"], "ok", "{}", done.stdout);
    let world = World::new();
    let mut command = world.command(&["doctor"]);
    command.env("CBS_NATS_SERVER", "/nowhere/nats-server");
    let done = finish(command).await;
    let served = usual_server().await;
    let done = done.with_status(if served { 0 } else { 1 });
    assert_eq!(done.stdout.contains(" missing "), !served, "{}", done.stdout);
    assert!(done.stdout.contains("CBS_NATS_SERVER"), "{}", done.stdout);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn help_that_cannot_be_written_is_status_1() {
    for argument in ["--help", "--version"] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_cbs"));
        let done = command.arg(argument).stdout(full).output().unwrap();
        assert_eq!(done.status.code(), Some(1), "{argument}");
        assert!(
            String::from_utf8_lossy(&done.stderr).contains("No space left on device"),
            "{done:?}"
        );
    }
}
