//! Dart cells serve from their kernels first: with a real Dart, which `deploy/setup.sh lint`
//! brings.
#![allow(clippy::panic, reason = "a test fails loudly")]

mod support;
mod workshop;

use std::{
    fs,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use bus::InProcess;
use cbs::{BodyBus, BodyId, CellEnv, Envelope};
use host::{Restarts, Running, Supervisor};
use host_sidecar::{
    Settings, SidecarHost,
    dart::{Error, Form},
};
use support::{Logged, call, request, settings, spec, workers};
use testkit::{eventually, within};
use tokio::task::JoinSet;
use workshop::{Checked, LIMIT, Workshop, gone, output};

/// Returns lines of shell that run only in the compilation of a program.
fn of_programs(lines: &str) -> String {
    format!("case \"$*\" in *' compile exe '*)\n{lines}\n;; esac")
}

/// Writes the given text instead of the compiled program.
const NO_CELL: &str = "while [ \"$1\" != --output ]; do shift; done\n\
                       printf '#!/bin/sh\\nexit 3\\n' > \"$2\"; chmod 755 \"$2\"; exit 0";
/// Limit of the time until a program is compiled in the background. Its compiler runs nicely (at
/// nice 10), so other processes of a busy machine get nine tenths of the processors.
const COMPILED: Duration = LIMIT.saturating_mul(4);
/// Waits for the file `go`. Its own process number is in the file `child`, which appears in one
/// step.
const WAIT: &str =
    "echo $$ > child.part; mv child.part child; until [ -e go ]; do sleep 0.02; done";

#[tokio::test]
async fn what_was_saved_serves_from_its_kernel_and_its_program_comes_later() -> Checked {
    let shop = Workshop::new("")?;
    let source =
        shop.write("greet.dart", "import 'package:cbs/cbs.dart';\nvoid main() => print('one');\n")?;
    let builder = shop.builder();
    let start = Instant::now();
    let soon = within(LIMIT, "a kernel", builder.prepare_soon(&source)).await?;
    let kernel_after = start.elapsed();
    assert_eq!(soon.ready.form, Form::Kernel);
    assert_eq!(output(&soon.ready).await?, "one");
    // Nobody has waited for the program, so it was not made. The kernel is found again.
    let again = builder.prepare_soon(&source).await?;
    assert_eq!((again.ready, shop.compiled()), (soon.ready.clone(), 1));

    let start = Instant::now();
    let program = within(COMPILED, "a program", soon.later.ok_or("nothing later")?.made()).await?;
    println!("a kernel after {kernel_after:?}, a program {:?} later", start.elapsed());
    assert_eq!(program.form, Form::Program);
    assert_eq!(output(&program).await?, "one");
    // The other caller that waits for it finds it.
    assert_eq!(
        within(COMPILED, "found", again.later.ok_or("nothing later")?.made()).await?,
        program
    );
    let last = builder.prepare_soon(&source).await?;
    assert!(last.ready == program && last.later.is_none(), "{last:?}");
    assert_eq!(shop.compiled(), 2);
    assert_eq!(output(&soon.ready).await?, "one", "the kernel stays where it is");
    Ok(())
}

#[tokio::test]
async fn a_newer_text_ends_the_compiler_of_an_older_one() -> Checked {
    let shop = Workshop::new(&of_programs(WAIT))?;
    let source = shop.write("greet.dart", "void main() => print('one');\n")?;
    let builder = shop.builder();
    let older = within(LIMIT, "a kernel", builder.prepare_soon(&source))
        .await?
        .later
        .ok_or("nothing later")?;
    let newer = async {
        eventually("the compiler runs", LIMIT, async || shop.root.path().join("child").is_file())
            .await;
        shop.write("greet.dart", "void main() => print('two');\n")?;
        let newer = builder.prepare_soon(&source).await?;
        gone(&shop).await?;
        Ok::<_, Box<dyn std::error::Error>>(newer)
    };
    let (older, newer) = within(LIMIT, "both", async { tokio::join!(older.made(), newer) }).await;
    assert_eq!(older, Err(Error::Superseded));
    let newer = newer?;
    assert_eq!(output(&newer.ready).await?, "two");
    // A program that nobody waits for any longer is not made.
    fs::remove_file(shop.root.path().join("child"))?;
    let newer = newer.later.ok_or("nothing later")?;
    tokio::select! {
        early = newer.made() => return Err(format!("ended early: {early:?}").into()),
        () = eventually("the compiler runs", LIMIT, async || shop.root.path().join("child").is_file()) => {}
    }
    gone(&shop).await
}

#[tokio::test]
async fn programs_that_nobody_waits_for_are_made_one_at_a_time_and_nicely() -> Checked {
    // Nothing is compiled in earnest: beside a busy machine, what runs nicely takes minutes.
    let lines = "mkdir busy || echo together >> wrong\nps -o ni= -p $$ >> nice\n\"$0\" --version > /dev/null\nrmdir busy";
    let shop = Workshop::new(&of_programs(&format!("{lines}\n{NO_CELL}")))?;
    let builder = shop.builder();
    let other = shop.builder();
    let mut later = Vec::new();
    for (name, builder) in [("one", &builder), ("two", &other), ("three", &other)] {
        let source =
            shop.write(&format!("{name}.dart"), &format!("void main() => print('{name}');\n"))?;
        later.push(
            within(LIMIT, "a kernel", builder.prepare_soon(&source))
                .await?
                .later
                .ok_or("nothing later")?,
        );
    }
    let made = within(
        LIMIT,
        "all",
        futures::future::join_all(later.into_iter().map(|later| later.made())),
    )
    .await;
    assert!(made.iter().all(Result::is_ok), "{made:?}");
    assert!(!shop.root.path().join("wrong").exists(), "two were compiled at once");
    let nice = fs::read_to_string(shop.root.path().join("nice"))?;
    assert!(
        nice.lines().all(|nice| nice.trim().parse().is_ok_and(|nice: i32| nice >= 10)),
        "{nice}"
    );
    Ok(())
}

#[tokio::test]
async fn a_kernels_mistakes_are_told_as_a_programs() -> Checked {
    let shop = Workshop::new("")?;
    for (text, part) in [
        ("void main() {\n  int x = 'no';\n}\n", "greet.dart:2:11: Error: "),
        ("void hello() {}\n", "greet.dart: it has no `main`"),
        (
            "import 'package:absent/absent.dart';\nvoid main() {}\n",
            "\nhint: a file without a pubspec.yaml in a folder above",
        ),
    ] {
        let source = shop.write("greet.dart", text)?;
        let reported = within(LIMIT, "refused", shop.builder().prepare_soon(&source)).await;
        let reported = reported.err().map(|error| error.to_string()).unwrap_or_default();
        assert!(reported.contains(part), "{part} in: {reported}");
    }
    Ok(())
}

#[tokio::test]
async fn where_nothing_can_be_compiled_the_source_is_run_and_nothing_comes_later() -> Checked {
    let shop =
        Workshop::new("[ $n = 0 ] || { echo 'no compiler for this machine' >&2; exit 64; }")?;
    let source = shop.write("greet.dart", "void main() => print('run');\n")?;
    let soon = within(LIMIT, "prepared", shop.builder().prepare_soon(&source)).await?;
    assert!(soon.ready.form == Form::Source && soon.later.is_none(), "{soon:?}");
    assert_eq!(output(&soon.ready).await?, "run");
    Ok(())
}

/// A cell that echoes its input. It is `slow` when there is a file, and makes an entry in a folder
/// when it begins. One entry for each call, because two processes that append to one file at once
/// would lose text.
const ECHO: &str = "import 'dart:io';\nimport 'package:cbs/cbs.dart';\n\
    Future<void> main() => serve([cell('demo.echo', (ctx, input) async {\n\
    \x20 if (input == 'slow') (Directory('DONE.slow')..createSync()).createTempSync();\n\
    \x20 while (input == 'slow' && !File('DONE').existsSync()) {\n\
    \x20   await Future<void>.delayed(const Duration(milliseconds: 20));\n\
    \x20 }\n\
    \x20 return input;\n})]);\n";

/// A body with a Dart cell, on a bus of its own.
struct Body {
    bus: Arc<InProcess>,
    running: Running,
}

impl Body {
    async fn start(
        shop: &Workshop,
        settings: Settings,
        fields: &str,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let source = shop.write(
            "echo.dart",
            &ECHO.replace("DONE", &shop.root.path().join("done").to_string_lossy()),
        )?;
        let host = SidecarHost::dart(settings, shop.builder()).with_kernels_first();
        let bus = InProcess::new(bus::Settings::default());
        let supervisor = Supervisor::new(vec![Arc::new(host)], Restarts::default());
        let terminal = Arc::<support::Terminal>::default();
        let env = CellEnv::new("demo.echo".parse()?, BodyId::new("web1")?, bus.clone(), terminal);
        let spec =
            spec("demo.echo", &format!("runtime: dart\nsource: {}\n{fields}", source.display()))?;
        let running = supervisor.start(spec, env)?;
        running.ready(LIMIT).await.map_err(|state| format!("not ready: {state:?}"))?;
        Ok(Self { bus, running })
    }

    /// Returns the names of its processes, without their numbers.
    fn processes(&self) -> Vec<String> {
        let word = |name: &str| name.rsplit_once(' ').map_or("", |(word, _)| word).to_owned();
        workers(&self.running)
            .iter()
            .filter(|worker| worker.state == "ready")
            .map(|worker| word(&worker.name))
            .collect()
    }
}

#[tokio::test]
async fn a_program_takes_over_from_its_kernel_without_a_failed_call() -> Checked {
    let shop = Workshop::new(&of_programs(WAIT))?;
    let mut settings = settings();
    // Less than a call takes: a running call must have the cell's time, not that of a stop.
    settings.times.drain = Duration::from_millis(300);
    // The slow calls wait for the compiler, which runs nicely: a busy machine may keep it for
    // minutes.
    let body = Body::start(&shop, settings, "instances: 2\nconcurrency: 32\ntimeout: 20m").await?;
    assert_eq!(body.processes(), ["kernel process", "kernel process"]);
    let answered = Arc::<AtomicU64>::default();
    let wrong = Arc::<Mutex<Vec<String>>>::default();
    let mut load = JoinSet::new();
    for _ in 0..4 {
        let (bus, answered, wrong) = (body.bus.clone(), answered.clone(), wrong.clone());
        load.spawn(async move {
            loop {
                match call(&*bus, "demo.echo", "1").await {
                    Ok(_) => _ = answered.fetch_add(1, Ordering::Relaxed),
                    Err(error) => {
                        wrong
                            .lock()
                            .unwrap_or_else(PoisonError::into_inner)
                            .push(error.to_string());
                    }
                }
                // sleep: a steady load; a flood would take the processors from the compiler
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    }
    let more = async |calls| {
        let before = answered.load(Ordering::Relaxed);
        eventually("calls are answered", LIMIT, async || {
            answered.load(Ordering::Relaxed) >= before + calls
        })
        .await;
    };
    more(100).await;
    let slow =
        JoinSet::from_iter((0..4).map(|_| {
            let bus = body.bus.clone();
            let slow = Envelope { timeout: Some(COMPILED * 2), ..request("demo.echo", "\"slow\"") };
            async move {
                bus.call(slow).await.map(|reply| reply.payload).map_err(|error| error.to_string())
            }
        }));
    // The load has calls under way as well. These calls show by a file that they run.
    let begun = shop.root.path().join("done.slow");
    let all_are_in = || std::fs::read_dir(&begun).is_ok_and(|entries| entries.count() >= 4);
    eventually("the slow calls are in", LIMIT, async || all_are_in()).await;
    shop.write("go", "")?;
    let is_draining = || workers(&body.running).iter().any(|worker| worker.state == "draining");
    eventually("a program has taken over", COMPILED, async || is_draining()).await;
    // sleep: longer than a stop gives the calls, and than another replacement takes to start
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(is_draining(), "it waits for its calls: {:?}", workers(&body.running));
    assert_eq!(workers(&body.running).len(), 3, "one more than the cell is to have, and no more");
    shop.write("done", "")?;
    eventually("the programs serve", LIMIT, async || {
        body.processes() == ["process", "process"] && workers(&body.running).len() == 2
    })
    .await;
    more(100).await;
    let slow = within(LIMIT, "the slow calls", slow.join_all()).await;
    load.shutdown().await;
    assert_eq!(slow, vec![Ok("\"slow\"".into()); 4]);
    assert_eq!(*wrong.lock().unwrap_or_else(PoisonError::into_inner), Vec::<String>::new());
    assert_eq!(body.running.state().borrow().restarts, 0);
    Ok(())
}

#[tokio::test]
async fn a_program_that_cannot_be_made_or_does_not_start_leaves_its_kernel_alone() -> Checked {
    for (lines, reported) in [
        ("echo 'greet.dart:1:1: Error: mirrors' >&2; exit 254", "it becomes no program: "),
        ("exit 1", "it becomes no program: "),
        (NO_CELL, "what has served so far goes on"),
    ] {
        let (logged, _guard) = Logged::listen();
        let shop = Workshop::new(&of_programs(lines))?;
        let body = Body::start(&shop, settings(), "").await?;
        eventually("it is told", LIMIT, async || logged.text().contains(reported)).await;
        eventually("one process", LIMIT, async || workers(&body.running).len() == 1).await;
        assert_eq!(body.processes(), ["kernel process"]);
        assert_eq!(call(&*body.bus, "demo.echo", "1").await?, "1");
        let text = logged.text();
        assert_eq!(text.matches(reported).count(), 1, "{text}");
        assert!(!text.contains("started again"), "{text}");
        assert_eq!(body.running.state().borrow().restarts, 0);
    }
    Ok(())
}

#[tokio::test]
async fn a_cell_that_stops_does_not_wait_for_its_program() -> Checked {
    let shop = Workshop::new(&of_programs(WAIT))?;
    let body = Body::start(&shop, settings(), "").await?;
    eventually("the compiler runs", LIMIT, async || shop.root.path().join("child").is_file()).await;
    within(LIMIT, "stopped", body.running.stop()).await;
    gone(&shop).await
}

#[tokio::test]
async fn a_cell_with_little_memory_and_one_that_is_never_to_run_twice_wait_for_their_programs()
-> Checked {
    let shop = Workshop::new("")?;
    for fields in ["limits: { memory: 64MiB }", "rollout: { strategy: recreate }"] {
        let _ = fs::remove_dir_all(shop.root.path().join("cache"));
        let body = Body::start(&shop, settings(), fields).await?;
        assert_eq!(body.processes(), ["process"], "{fields}");
        assert_eq!(call(&*body.bus, "demo.echo", "1").await?, "1");
    }
    assert_eq!(shop.compiled(), 2);
    Ok(())
}
