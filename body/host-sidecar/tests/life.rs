//! Processes that die, multiply and are replaced, under load.
#![allow(clippy::panic, reason = "a test fails loudly")]

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    num::NonZeroU32,
    process::{Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bus_nats::{Nats, Options};
use cbs::{BodyBus, BodyId, CellContext, CellEnv};
use host::Started;
use host_sidecar::{Launch, Settings};
use model::{Limits, Phase, Workers};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use support::{
    Body, LONG, Tested, call, exists, pid, request, runs, scripted, settings, spec, workers,
};
use testkit::{NatsServer, eventually, within};
use tokio::task::JoinSet;

fn signal(pid: i32, signal: Signal) -> nix::Result<()> {
    kill(Pid::from_raw(pid), signal)
}

/// Callers that call as fast as they are answered.
struct Load {
    done: Arc<AtomicU64>,
    wrong: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    callers: JoinSet<()>,
}

impl Load {
    fn start(bus: &Arc<dyn BodyBus>, name: &'static str) -> Self {
        let done = Arc::<AtomicU64>::default();
        let wrong = Arc::<Mutex<Vec<_>>>::default();
        let over = Arc::default();
        let mut load = Self { done, wrong, over, callers: JoinSet::new() };
        for caller in 0..8 {
            let (bus, done, wrong, over) =
                (bus.clone(), load.done.clone(), load.wrong.clone(), load.over.clone());
            load.callers.spawn(async move {
                let mut number = 0u64;
                while !over.load(Ordering::Relaxed) {
                    number += 1;
                    let payload = format!("{caller}/{number}");
                    match call(&*bus, name, &payload).await {
                        Ok(reply) if reply == payload => _ = done.fetch_add(1, Ordering::Relaxed),
                        Ok(reply) => say(&wrong, format!("{payload} was answered with {reply}")),
                        Err(error) => {
                            say(&wrong, error.code().to_string());
                            // It calls again only after others have had their turn.
                            tokio::task::yield_now().await;
                        }
                    }
                }
            });
        }
        load
    }

    fn done(&self) -> u64 {
        self.done.load(Ordering::Relaxed)
    }

    /// Waits until so many more calls have been answered.
    async fn more(&self, calls: u64) {
        let before = self.done();
        eventually("the load goes on", LONG, async || self.done() >= before + calls).await;
    }

    async fn end(mut self) -> (u64, Vec<String>) {
        self.over.store(true, Ordering::Relaxed);
        within(LONG, "the last answers", async {
            while self.callers.join_next().await.is_some() {}
        })
        .await;
        let mut wrong =
            std::mem::take(&mut *self.wrong.lock().unwrap_or_else(PoisonError::into_inner));
        wrong.sort();
        wrong.dedup();
        (self.done(), wrong)
    }
}

fn say(wrong: &Mutex<Vec<String>>, what: String) {
    wrong.lock().unwrap_or_else(PoisonError::into_inner).push(what);
}

#[tokio::test]
async fn after_kill_9_under_load_calls_are_answered_again() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready("demo.echo", "serve").await?;
    let load = Load::start(&(body.bus.clone() as Arc<dyn BodyBus>), "demo.echo");
    for _ in 0..3 {
        load.more(100).await;
        let process = pid(&running).ok_or("no process")?;
        signal(process, Signal::SIGKILL)?;
        let killed = Instant::now();
        eventually("the process has gone", LONG, async || {
            pid(&running).is_some_and(|now| now != process)
        })
        .await;
        load.more(1).await;
        println!("answered again {:?} after the kill", killed.elapsed());
        assert!(!exists(process));
    }
    assert_eq!(running.state().borrow().reason.as_deref(), Some("killed by SIGKILL"));
    let (_, wrong) = load.end().await;
    // Between two runs nobody serves the cell, as there is no other body.
    assert!(
        wrong
            .iter()
            .all(|code| ["cell-failed", "not-found", "unavailable"].contains(&code.as_str())),
        "{wrong:?}"
    );
    assert!(
        wrong.contains(&"cell-failed".to_owned()),
        "some were in it when it was killed: {wrong:?}"
    );
    Ok(())
}

#[tokio::test]
async fn while_one_process_lives_another_is_started_again_inside() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready_with("demo.echo", "serve", "instances: 2").await?;
    let [one, two] = workers(&running).try_into().map_err(|all| format!("{all:?}"))?;
    assert_ne!(one.name, two.name);
    signal(pid(&running).ok_or("no process")?, Signal::SIGKILL)?;
    eventually("it was started again", LONG, async || {
        workers(&running)
            .first()
            .is_some_and(|now| now.restarts == 1 && now.state == "ready" && now.name != one.name)
    })
    .await;
    let now = workers(&running).pop().ok_or("no second")?;
    assert_eq!((now.name, now.restarts), (two.name, 0));
    assert_eq!(
        (running.state().borrow().phase, running.state().borrow().restarts),
        (Phase::Ready, 0)
    );
    assert_eq!(body.call("demo.echo", "echo").await?, "echo");
    Ok(())
}

#[tokio::test]
async fn when_no_process_lives_the_cell_is_started_again() -> Tested {
    let body = Body::new(settings())?;
    let running = body.ready_with("demo.echo", "serve", "instances: 2").await?;
    let mut state = running.state();
    for worker in workers(&running) {
        let process = worker.name.strip_prefix("process ").ok_or("no process")?.parse()?;
        signal(process, Signal::SIGKILL)?;
    }
    let ended = within(LONG, "the end", state.wait_for(|state| state.phase == Phase::Restarting))
        .await?
        .clone();
    within(LONG, "the restart", state.wait_for(|state| state.phase == Phase::Ready)).await?;
    assert_eq!(
        ended.reason.or_else(|| state.borrow().reason.clone()).as_deref(),
        Some("killed by SIGKILL")
    );
    assert_eq!(body.call("demo.echo", "echo").await?, "echo");
    Ok(())
}

/// Starts a cell directly, with as many processes as it needs.
async fn launched(
    settings: &Settings,
    script: &str,
    most: u32,
) -> Result<(Started, Arc<CellEnv>), Box<dyn std::error::Error>> {
    let spec = spec("demo.echo", &scripted(script, "demo.echo", ""))?;
    let body = Body::new(settings.clone())?;
    let env = CellEnv::new(
        "demo.echo".parse()?,
        BodyId::new("web1")?,
        body.bus.clone(),
        body.terminal.clone(),
    );
    let launch = Launch {
        command: [env!("CARGO_BIN_EXE_scripted-sidecar"), script, "demo.echo"]
            .map(Into::into)
            .to_vec(),
        folder: None,
        env: BTreeMap::new(),
        limits: Limits::default(),
        instances: Workers { min: NonZeroU32::MIN, max: NonZeroU32::new(most).ok_or("0")? },
    };
    let started = host_sidecar::launch(settings, launch, &spec, &env).await?;
    Ok((started, Arc::new(env)))
}

#[tokio::test]
async fn processes_are_added_while_all_are_full_and_leave_when_they_are_idle() -> Tested {
    let mut settings = settings();
    (settings.times.ping, settings.times.idle) =
        (Duration::from_millis(50), Duration::from_millis(300));
    let (started, env) = launched(&settings, "pair", 3).await?;
    let workers = started.workers.clone().ok_or("nobody tells of workers")?;
    assert_eq!(workers().len(), 1);
    // Each process takes two calls at once: five calls need three.
    let requests: Vec<_> = (0..5).map(|_| request("demo.echo", "hold")).collect();
    let contexts: Vec<_> =
        requests.iter().map(|request| CellContext::new(env.clone(), request)).collect();
    let mut calls: Vec<_> = contexts
        .iter()
        .zip(requests)
        .map(|(context, request)| started.cell.call(context, request))
        .collect();
    eventually("all five are in three processes", LONG, async || {
        for call in &mut calls {
            assert!(futures::poll!(call).is_pending());
        }
        let mut busy: Vec<_> = workers().iter().map(|worker| worker.in_flight).collect();
        assert!(busy.iter().all(|busy| *busy <= 2), "{busy:?}");
        busy.sort_unstable();
        busy == [1, 2, 2]
    })
    .await;
    drop(calls);
    eventually("two have left", LONG, async || workers().len() == 1).await;
    let last = workers().pop().ok_or("none is left")?;
    assert_eq!(
        (last.state.as_str(), last.lag_us, last.lock_wait_us, last.restarts),
        ("ready", 42, 7, 0)
    );
    let request = request("demo.echo", "echo");
    let reply = started.cell.call(&CellContext::new(env, &request), request).await?;
    assert_eq!(reply.payload, "echo");
    started.cell.stop().await;
    Ok(())
}

#[tokio::test]
async fn a_process_is_added_while_calls_wait_within_all_of_them() -> Tested {
    let mut settings = settings();
    settings.times.ping = Duration::from_millis(50);
    let (started, _) = launched(&settings, "queues", 2).await?;
    let workers = started.workers.clone().ok_or("nobody tells of workers")?;
    eventually("there are two", LONG, async || {
        workers().len() == 2 && workers().iter().all(|worker| worker.queued == 3)
    })
    .await;
    Ok(())
}

/// Replaces a cell on a bus again and again under load.
async fn replacements_lose_no_call(bus: Arc<dyn BodyBus>, caller: &Arc<dyn BodyBus>) -> Tested {
    let body = Body::new(settings())?;
    let start = |revision: u32| {
        let fields = scripted(
            "serve",
            "demo.echo",
            &format!("instances: 2\nconfig: {{ revision: {revision} }}"),
        );
        body.start_on(bus.clone(), "demo.echo", &fields)
    };
    let mut running = start(0)?;
    within(LONG, "the first", running.ready(LONG)).await.map_err(|state| format!("{state:?}"))?;
    let load = Load::start(caller, "demo.echo");
    for revision in 1..=6 {
        load.more(200).await;
        let next = start(revision)?;
        within(LONG, "the next", next.ready(LONG)).await.map_err(|state| format!("{state:?}"))?;
        load.more(20).await;
        within(LONG, "the stop of the one before", std::mem::replace(&mut running, next).stop())
            .await;
    }
    load.more(200).await;
    let (done, wrong) = load.end().await;
    assert_eq!(wrong, Vec::<String>::new(), "of {done} calls");
    Ok(())
}

#[tokio::test]
async fn replacing_a_cell_under_load_loses_no_call_within_the_body() -> Tested {
    let bus: Arc<dyn BodyBus> = bus::InProcess::new(bus::Settings::default());
    replacements_lose_no_call(bus.clone(), &bus).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replacing_a_cell_under_load_loses_no_call_over_nats() -> Tested {
    let server = NatsServer::start().await;
    let connect =
        |id: &str| Ok::<_, Box<dyn std::error::Error>>(Options::new(server.url(), id.parse()?));
    let body = within(LONG, "a body", Nats::connect(connect("web1")?)).await?;
    let caller = within(LONG, "a caller", Nats::connect_client(connect("caller")?)).await?;
    replacements_lose_no_call(body.bus(), &caller.bus()).await
}

/// Helper that the test below starts as a process of its own: a body that hosts a cell and keeps
/// running.
#[tokio::test]
#[ignore = "started by a_body_that_is_killed_leaves_no_process_behind_and_its_secrets_stay_with_it"]
async fn a_body_for_the_next_test() -> Tested {
    let body = Body::new(settings())?;
    // It goes on when its socket is closed: only the kernel can end it.
    let running = body.ready_with("demo.echo", "stubborn", "env: { MODE: quick }").await?;
    // A process that a shell started: no signal of the kernel reaches it.
    let shell = format!("'{} serve demo.wrapped; true'", env!("CARGO_BIN_EXE_scripted-sidecar"));
    let wrapped =
        body.start("demo.wrapped", &format!("runtime: exec\ncommand: [sh, -c, {shell}]"))?;
    wrapped.ready(LONG).await.map_err(|state| format!("{state:?}"))?;
    println!("\npid {}", body.call("demo.wrapped", "pid").await?);
    println!("\npid {}", pid(&running).ok_or("no process")?);
    // Until the test kills this process, or closes its standard input by its own end.
    let _ = tokio::task::spawn_blocking(|| std::io::stdin().read(&mut [0])).await;
    Ok(())
}

#[tokio::test]
async fn a_body_that_is_killed_leaves_no_process_behind_and_its_secrets_stay_with_it() -> Tested {
    // A killed body leaves its folders behind. In this folder they are removed with the test.
    let folder = tempfile::tempdir()?;
    let mut parent = Command::new(std::env::current_exe()?)
        .args(["--exact", "a_body_for_the_next_test", "--ignored", "--nocapture"])
        .env("TMPDIR", folder.path())
        .env("NATS_URL", "nats://ada:open-sesame@localhost")
        .env("LC_TIME", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(parent.stdout.take().ok_or("no output")?).lines();
    let reported = tokio::task::spawn_blocking(|| {
        let pids = lines
            .map_while(Result::ok)
            .filter_map(|line| line.strip_prefix("pid ")?.parse::<i32>().ok());
        pids.take(2).collect::<Vec<_>>()
    });
    let reported = within(LONG, "the numbers of the body's processes", reported).await?;
    let [wrapped, process] = reported.try_into().map_err(|reported| format!("{reported:?}"))?;
    assert!(runs(wrapped) && runs(process));
    let environment = std::fs::read(format!("/proc/{process}/environ"))?;
    let environment = String::from_utf8_lossy(&environment);
    let names: Vec<_> =
        environment.split('\0').filter_map(|one| Some(one.split_once('=')?.0)).collect();
    for name in ["CBS_SIDECAR_SOCKET", "LC_TIME", "MODE", "PATH", "TMPDIR"] {
        assert!(names.contains(&name), "{name} is not in {names:?}");
    }
    let all = ["CBS_SIDECAR_SOCKET", "MODE", "PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];
    assert!(names.iter().all(|name| all.contains(name) || name.starts_with("LC_")), "{names:?}");
    assert!(!environment.contains("open-sesame"));
    parent.kill()?;
    parent.wait()?;
    eventually("the processes have gone with their body", LONG, async || {
        !runs(process) && !runs(wrapped)
    })
    .await;
    Ok(())
}
