//! A new cell, from `cbs new` to its first answer.

use std::{path::Path, time::Duration};

use e2e::Fleet;

/// Limit of a build that compiles the project again: with another package at the root, features may
/// differ.
const BUILD_LIMIT: Duration = Duration::from_secs(480);

#[tokio::test]
async fn a_new_cell_runs_by_the_printed_command_alone() {
    let fleet = Fleet::start().await;
    let printed = fleet
        .world
        .run(&["new", "cell", "demo.shout", "--lang", "rust"])
        .await
        .with_status(0)
        .stdout;
    borrow_the_workspaces_build(&fleet);
    let mut command = fleet.world.command(Path::new("sh"));
    command.args(["-c", &format!("exec {}", printed.trim())]).env("NATS_URL", fleet.server.url());
    let mut body = fleet.world.start(command);
    body.until_printed_within(BUILD_LIMIT, "cbs.default.cell.demo.shout").await;
    let done = fleet.run(&["call", "demo.shout", r#"{"text":"hello"}"#]).await.with_status(0);
    assert_eq!(done.stdout, "{\"text\":\"HELLO\"}\n");
}

/// Removes the binaries of earlier runs: every run has its own folder, and so its own binary.
fn forget_earlier_runs(debug: &Path) {
    for folder in [".", "deps", ".fingerprint", "incremental"] {
        let Ok(entries) = debug.join(folder).read_dir() else { continue };
        for entry in entries.filter_map(Result::ok) {
            if entry.file_name().to_string_lossy().contains("demo_shout") {
                // Another run may be faster; the next run removes the rest.
                let _ = std::fs::remove_file(entry.path())
                    .or_else(|_| std::fs::remove_dir_all(entry.path()));
            }
        }
    }
}

/// Shares the workspace's build: compiled packages are not compiled again, and nothing is fetched.
fn borrow_the_workspaces_build(fleet: &Fleet) {
    let debug = Path::new(env!("CARGO_BIN_EXE_stories_body")).parent().unwrap();
    forget_earlier_runs(debug);
    let target = debug.parent().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let settings = format!(
        "build.target-dir = {target:?}\nnet.offline = true\n[profile.dev]\ndebug = \"line-tables-only\"\n\
         [profile.dev.package.\"*\"]\ndebug = false\n"
    );
    fleet.world.write(".cargo/config.toml", &settings);
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    fleet.world.write("cells/demo_shout/Cargo.lock", &lock);
}
