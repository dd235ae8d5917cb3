//! A saved file is served a moment later.

use std::time::{Duration, Instant};

use e2e::{Body, Fleet, LIMIT, Load};
use nix::sys::signal::Signal;
use serde_json::json;
use testkit::eventually;

const SPEC: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.tells }\n\
    spec: { runtime: python, source: 'tells.py:tell' }\n";

fn code(version: u32) -> String {
    format!(
        "async def tell(given: dict) -> dict:\n    return {{'body': 'one', 'version': {version}}}\n"
    )
}

#[tokio::test]
async fn twenty_saves_of_a_python_cell_under_load_fail_no_call() {
    let fleet = Fleet::start().await;
    let body = Body::without_files("one")
        .file("cells/demo.tells.yaml", SPEC)
        .file("cells/tells.py", &code(0))
        .with(&["--watch"]);
    let mut body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    let load = Load::new(&caller, "demo.tells", json!({}));
    let saves = async {
        for version in 1..=20 {
            fleet.world.write("one/cells/tells.py", &code(version));
            let serves = async || {
                caller.call("demo.tells", &json!({})).await.json()["version"] == json!(version)
            };
            eventually("the saved version to serve", LIMIT, serves).await;
        }
    };
    tokio::select! {
        () = saves => {}
        () = load.run(4, usize::MAX) => {}
    }
    assert_eq!(load.failed(), Vec::<String>::new());
    assert!(load.answered() > 100, "{} calls were answered meanwhile", load.answered());
    body.until_told("replaced cell demo.tells in ").await;
}

#[tokio::test]
async fn a_broken_save_is_told_and_the_old_version_goes_on() {
    let fleet = Fleet::start().await;
    let body = Body::without_files("one")
        .file("cells/demo.tells.yaml", SPEC)
        .file("cells/tells.py", &code(1))
        .with(&["--watch"]);
    let mut body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    fleet.world.write("one/cells/tells.py", "async def tell(given: dict -> dict:\n");
    body.until_told("kept the old cell demo.tells: ").await;
    fleet.world.write("one/cells/demo.tells.yaml", &SPEC.replace("source", "sauce"));
    body.until_told("what runs goes on").await;
    assert_eq!(caller.call("demo.tells", &json!({})).await.json()["version"], json!(1));
    fleet.world.write("one/cells/tells.py", &code(2));
    fleet.world.write("one/cells/demo.tells.yaml", SPEC);
    let mended = async || caller.call("demo.tells", &json!({})).await.json()["version"] == json!(2);
    eventually("the mended version to serve", LIMIT, mended).await;
}

/// Returns a module that counts its starts, and then runs `then`.
fn counted(starts: &std::path::Path, then: &str) -> String {
    let count =
        format!("with open({:?}, 'a') as file:\n    file.write('x')\n", starts.to_string_lossy());
    format!("{count}{then}\n")
}

/// Saved versions that start and fail, each in its own way.
const BROKEN: &[&str] = &[
    "def broken(:",
    "import nowhere_at_all\nasync def tell(given: dict): return 1",
    "raise SystemExit(3)\nasync def tell(given: dict): return 1",
    "async def other(given: dict): return given",
    "async def third(given: dict): return given",
    "import cbs\nclass Odd: pass\nasync def tell(given: Odd): return 1",
    "import cbs\n@cbs.start\nasync def start(): raise RuntimeError('no')\nasync def tell(given: dict): return 1",
];

#[tokio::test]
async fn a_broken_save_is_told_once_and_started_once() {
    for isolation in ["", ", isolation: process"] {
        let fleet = Fleet::start().await;
        let spec = SPEC.replace("'tells.py:tell'", &format!("'tells/tells.py:tell'{isolation}"));
        // In a folder of its own: its saves show that the broken version is no longer started.
        let other = SPEC.replace("demo.tells", "demo.other").replace("tells.py", "other/other.py");
        let body = Body::without_files("one")
            .file("cells/demo.tells.yaml", &spec)
            .file("cells/demo.other.yaml", &other)
            .file("cells/tells/tells.py", &code(0))
            .file("cells/other/other.py", &code(0))
            .with(&["--watch"]);
        let mut body = fleet.up(&body).await;
        let starts = fleet.world.here().join("starts");
        let mut reported = 0;
        let caller = fleet.caller().await;
        for (index, broken) in BROKEN.iter().enumerate() {
            fleet.world.write("one/cells/tells/tells.py", &counted(&starts, broken));
            reported += 1;
            let kept = |text: &str| text.matches("kept the old cell demo.tells: ").count();
            body.until_told_is("a line about the save", |text| kept(text) == reported).await;
            let once = std::fs::read(&starts).map_or(0, |count| count.len());
            for version in 1..=3 {
                let version = u32::try_from(index).unwrap() * 10 + version;
                fleet.world.write("one/cells/other/other.py", &code(version));
                let serves = async || {
                    caller.call("demo.other", &json!({})).await.json()["version"] == json!(version)
                };
                eventually("another cell's save to serve", LIMIT, serves).await;
            }
            let log = body.until_told_is("the log so far", |_| true).await;
            assert_eq!(kept(&log), reported, "{broken}: {log}");
            assert_eq!(
                std::fs::read(&starts).map_or(0, |count| count.len()),
                once,
                "{broken} was started again"
            );
            assert_eq!(
                caller.call("demo.tells", &json!({})).await.json()["version"],
                json!(0),
                "the old one serves"
            );
        }
        fleet.world.write("one/cells/tells/tells.py", &code(9));
        let mended =
            async || caller.call("demo.tells", &json!({})).await.json()["version"] == json!(9);
        eventually("the mended version to serve", LIMIT, mended).await;
        body.terminate().await.with_status(0);
    }
}

#[tokio::test]
async fn a_body_that_waits_for_a_saved_version_ends_when_it_is_told_to() {
    let fleet = Fleet::start().await;
    let body = Body::without_files("one")
        .file("cells/demo.tells.yaml", SPEC)
        .file("cells/tells.py", &code(1))
        .with(&["--watch"]);
    let mut body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    let starts = fleet.world.here().join("starts");
    let slow = "import asyncio, cbs\n@cbs.start\nasync def start(): await asyncio.Event().wait()\n\
                async def tell(given: dict): return 1";
    fleet.world.write("one/cells/tells.py", &counted(&starts, slow));
    eventually("the saved version to start", LIMIT, async || starts.exists()).await;
    body.signal(Signal::SIGTERM);
    // A saved version has 30 s to become ready.
    body.ended_within(Duration::from_secs(15)).await.with_status(0);
}

#[tokio::test]
async fn a_dart_cell_that_does_not_compile_is_told_once() {
    let fleet = Fleet::start().await;
    let other = SPEC.replace("demo.tells", "demo.other").replace("tells.py", "../other/other.py");
    let body = dart(Body::without_files("one"))
        .file("tells/lib/version.dart", "const version = 1;\n")
        .file("cells/demo.other.yaml", &other)
        .file("other/other.py", &code(0))
        .with(&["--watch"]);
    let mut body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    fleet.world.write("one/tells/lib/version.dart", "const version = ;\n");
    let kept = |text: &str| text.matches("kept the old cell demo.tells: ").count();
    body.until_told_is("a line about the save", |text| kept(text) == 1).await;
    for version in 1..=3 {
        fleet.world.write("one/other/other.py", &code(version));
        let serves = async || {
            caller.call("demo.other", &json!({})).await.json()["version"] == json!(version)
        };
        eventually("another cell's save to serve", LIMIT, serves).await;
    }
    let log = body.until_told_is("the log so far", |_| true).await;
    assert_eq!(kept(&log), 1, "{log}");
    body.terminate().await.with_status(0);
}

#[tokio::test]
async fn a_link_that_is_swapped_as_in_a_mounted_config_map_is_seen() {
    let fleet = Fleet::start().await;
    let spec = |timeout: &str| {
        format!(
            "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: logic.greet }}\n\
             spec: {{ runtime: rust, timeout: {timeout} }}\n"
        )
    };
    fleet.world.write("mount/..one/greet.yaml", &spec("1s"));
    fleet.world.write("mount/..two/greet.yaml", &spec("2s"));
    let mount = fleet.world.here().join("mount");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, mount.join(at)).unwrap();
    link("..one", "..data");
    link("..data/greet.yaml", "greet.yaml");
    let mut body = fleet.up(&Body::of_specs("one", &mount).with(&["--watch"])).await;
    link("..two", "..data_new");
    std::fs::rename(mount.join("..data_new"), mount.join("..data")).unwrap();
    body.until_told("replaced cell logic.greet in ").await;
}

/// Limit of a compile: it takes a second and a half, and far more on a busy machine, as its
/// priority is low.
const COMPILED: Duration = Duration::from_secs(120);
const DART_SPEC: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: demo.tells }\n\
    spec: { runtime: dart, source: '../tells/bin/main.dart' }\n";

/// Adds a Dart cell; its version is in a library of the cell's package.
fn dart(body: Body) -> Body {
    let main = "import 'package:cbs/cbs.dart';\nimport 'package:tells/version.dart';\n\n\
                Future<void> main() => serve([\n  cell('demo.tells', (ctx, input) => {'body': 'one', 'version': version}),\n]);\n";
    let pubspec = "name: tells\nenvironment:\n  sdk: ^3.5.0\ndependencies:\n  cbs: any\n";
    body.file("cells/demo.tells.yaml", DART_SPEC)
        .file("tells/pubspec.yaml", pubspec)
        .file("tells/bin/main.dart", main)
}

#[tokio::test]
async fn a_saved_dart_cell_serves_with_no_failed_call_before_it_is_compiled_to_a_program_and_after()
{
    let fleet = Fleet::start().await;
    // A version that no earlier run has compiled.
    let first = u64::from(std::process::id()) * 1_000;
    let version = |number: u64| format!("const version = {};\n", first + number);
    let body = dart(Body::without_files("one"))
        .file("tells/lib/version.dart", &version(0))
        .with(&["--watch"]);
    let _body = fleet.up(&body).await;
    let caller = fleet.caller().await;
    caller.until_answered("demo.tells", &json!({})).await;
    let load = Load::new(&caller, "demo.tells", json!({}));
    let mut took = Vec::new();
    let saves = async {
        for number in 1..=5 {
            let since = Instant::now();
            fleet.world.write("one/tells/lib/version.dart", &version(number));
            let serves = async || {
                caller.call("demo.tells", &json!({})).await.json()["version"]
                    == json!(first + number)
            };
            eventually("the saved version to serve", COMPILED, serves).await;
            took.push(since.elapsed());
        }
        // A kernel is shown as a kernel.
        eventually("its program to serve", COMPILED, async || {
            let done = fleet.run(&["describe", "demo.tells"]).await.with_status(0);
            done.stdout.contains("process ") && !done.stdout.contains("kernel process ")
        })
        .await;
        let before = load.answered();
        eventually("its program to answer", LIMIT, async || load.answered() > before + 100).await;
    };
    tokio::select! {
        () = saves => {}
        () = load.run(4, usize::MAX) => {}
    }
    println!("from a save to its first answer, with four callers: {took:?}");
    assert_eq!(load.failed(), Vec::<String>::new());
}
