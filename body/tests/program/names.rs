//! Names that no body serves, and names that a shell completes.

use std::time::{Duration, Instant};

use testkit::{NatsServer, eventually};

use crate::support::{Done, LIMIT, Running, World, finish, greeting_specs};

struct Greeting {
    server: NatsServer,
    world: World,
    _body: Running,
}

impl Greeting {
    async fn start() -> Self {
        let server = NatsServer::start().await;
        let world = World::new();
        let mut body = world.start(&["up", &greeting_specs(), "--nats", server.url()]);
        body.until("try: ").await;
        Self { server, world, _body: body }
    }

    async fn run(&self, arguments: &[&str]) -> Done {
        self.world.run(&[arguments, &["--nats", self.server.url()]].concat()).await
    }
}

#[tokio::test]
async fn a_name_that_is_near_one_that_is_served_is_told() {
    let greeting = Greeting::start().await;
    for (arguments, meant) in [
        (&["call", "logic.great", "{}"][..], "did you mean `logic.greet`?"),
        (&["call", "io.print-greeting"], "did you mean `io.print_greeting`?"),
        (&["flow", "run", "greetings"], "did you mean `greeting`?"),
        (&["describe", "logic.greeet"], "did you mean `logic.greet`?"),
        (&["ls", "logic.greeet"], "did you mean `logic.greet`?"),
    ] {
        let done = greeting.run(arguments).await.with_status(1);
        assert!(done.stderr.contains(meant), "{arguments:?}: {}", done.stderr);
    }
    let done = greeting.run(&["call", "stock.reserve"]).await.with_status(1);
    assert!(!done.stderr.contains("did you mean"), "{}", done.stderr);
}

#[tokio::test]
async fn a_hint_does_not_hold_up_the_error() {
    let greeting = Greeting::start().await;
    // The best of some: other tests run beside it.
    let mut best = Duration::MAX;
    for _ in 0..3 {
        let since = Instant::now();
        greeting.run(&["call", "logic.great"]).await.with_status(1);
        best = best.min(since.elapsed());
    }
    // A call waits 5 s by default: the look for a hint is far from that.
    assert!(best < Duration::from_secs(4), "{best:?}");
}

/// Returns the completions that bash offers at the end of this line.
async fn completed(greeting: &Greeting, environment: &[(&str, &str)], line: &str) -> Vec<String> {
    let words: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
    let last = line.rsplit(' ').next().unwrap_or_default();
    // As bash itself calls the function that the script registers.
    let script = format!(
        "source <(\"$CBS\" completions bash)\nfunction=$(complete -p cbs | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\n\
         COMP_WORDS=({})\nCOMP_CWORD={}\nCOMP_TYPE=9\n\"$function\" cbs '{last}' ''\nprintf '%s\\n' \"${{COMPREPLY[@]}}\"\n",
        words.join(" "),
        words.len() - 1,
    );
    let command = greeting.world.command(&[]);
    let program = command.as_std().get_program().to_owned();
    let mut bash = tokio::process::Command::new("bash");
    bash.args(["--norc", "-c", &script]).current_dir(greeting.world.here()).env_clear();
    let kept = command
        .as_std()
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
    bash.envs(kept.collect::<Vec<_>>())
        .envs(std::env::vars().filter(|(name, _)| name == "PATH" || name == "HOME"));
    bash.env("CBS", program).envs(environment.iter().copied());
    let done = finish(bash).await;
    assert_eq!(done.stderr, "", "{line}");
    done.stdout
        .lines()
        .map(|line| line.trim_end().to_owned())
        .filter(|line| !line.is_empty())
        .collect()
}

/// Repeats until bash offers these names: a busy machine may need more time than a shell gives.
async fn offers(greeting: &Greeting, environment: &[(&str, &str)], line: &str, names: &[&str]) {
    eventually(&format!("names after `{line}`"), LIMIT, async || {
        let found = completed(greeting, environment, line).await;
        names.iter().all(|name| found.iter().any(|found| found == name))
    })
    .await;
}

#[tokio::test]
async fn bash_completes_names_from_the_server() {
    let greeting = Greeting::start().await;
    let url = greeting.server.url();
    let here = [("NATS_URL", url)];
    offers(&greeting, &here, "cbs call lo", &["logic.greet"]).await;
    offers(&greeting, &here, "cbs call io.", &["io.print_greeting", "io.prompt_name"]).await;
    offers(&greeting, &here, "cbs flow run g", &["greeting"]).await;
    for command in ["cbs describe ", "cbs ls "] {
        offers(
            &greeting,
            &here,
            command,
            &["io.print_greeting", "io.prompt_name", "logic.greet", "greeting"],
        )
        .await;
    }
    // The server and the namespace may stand on the line that is completed.
    offers(&greeting, &[], &format!("cbs --nats {url} call lo"), &["logic.greet"]).await;
    assert_eq!(completed(&greeting, &here, "cbs call --namespace other lo").await, [""; 0]);
    // Commands and options are completed as ever.
    assert_eq!(completed(&greeting, &here, "cbs desc").await, ["describe"]);
    assert_eq!(completed(&greeting, &here, "cbs call --trac").await, ["--trace"]);
}

#[tokio::test]
async fn completing_without_a_server_is_silent_and_starts_none() {
    let greeting = Greeting::start().await;
    let since = Instant::now();
    assert_eq!(
        completed(&greeting, &[("NATS_URL", "nats://127.0.0.1:1")], "cbs call lo").await,
        [""; 0]
    );
    assert!(since.elapsed() < Duration::from_secs(5), "{:?}", since.elapsed());
    assert_eq!((greeting.world.runs(), greeting.world.here().join(".cbs").exists()), (0, false));
}

#[tokio::test]
async fn every_shell_has_a_script() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = world.run(&["completions", shell]).await.with_status(0);
        assert!(done.stdout.contains("CBS_COMPLETE"), "{shell}: {}", done.stdout);
    }
    world.run(&["completions", "cmd"]).await.with_status(64);
}
