//! `cbs new`.

use std::path::Path;

use testkit::NatsServer;

use crate::support::World;

/// Path of this checkout, in the form that a manifest in the world's folder uses.
fn checkout() -> String {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .canonicalize()
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned()
}

#[tokio::test]
async fn a_new_cell_is_a_package_and_a_spec_that_passes_the_check() {
    let world = World::new();
    let done = world.run(&["new", "cell", "logic.re-try", "--lang", "rust"]).await.with_status(0);
    let manifest = world.read("cells/logic_re_try/Cargo.toml");
    assert!(
        manifest.contains(&format!("cbs = {{ path = \"{}/body/contract\" }}", checkout())),
        "{manifest}"
    );
    assert!(world.read("cells/logic_re_try/src/lib.rs").contains("async fn re_try("));
    assert!(
        world
            .read("cells/logic_re_try/src/main.rs")
            .contains("body::main_with(vec![logic_re_try::cell()])")
    );
    assert!(world.read("cells/logic_re_try/README.md").starts_with("# logic.re-try"));
    assert_eq!(
        done.stdout,
        "cargo run --manifest-path cells/logic_re_try/Cargo.toml -- up specs/cells/logic.re-try.yaml\n"
    );
    world.run(&["check", "specs"]).await.with_status(0);
    for path in ["Cargo.toml", "src/lib.rs", "src/main.rs", "README.md"] {
        assert!(!world.read(&format!("cells/logic_re_try/{path}")).contains("{{"), "{path}");
    }
}

#[tokio::test]
async fn a_new_spec_names_the_schema_for_editors_that_is_there() {
    let world = World::new();
    world.write("specs/schemas/cbs/v1alpha1/spec.json", "{}");
    world.run(&["new", "cell", "logic.shout", "--lang", "rust"]).await.with_status(0);
    world.run(&["new", "flow", "order"]).await.with_status(0);
    for path in ["specs/cells/logic.shout.yaml", "specs/flows/order.yaml"] {
        let first = "# yaml-language-server: $schema=../schemas/cbs/v1alpha1/spec.json\napiVersion: cbs/v1alpha1\n";
        assert!(world.read(path).starts_with(first), "{}", world.read(path));
    }
    assert_eq!(world.read("specs/schemas/cbs/v1alpha1/spec.json"), "{}");
}

#[tokio::test]
async fn a_new_cell_joins_the_workspace_around_it() {
    let world = World::new();
    world.write(
        "Cargo.toml",
        "[workspace]\nmembers = [\n    \"app\",\n]\n\n[workspace.lints.rust]\n",
    );
    let done = world.run(&["new", "cell", "logic.shout", "--lang", "rust"]).await.with_status(0);
    assert!(world.read("Cargo.toml").contains("    \"app\",\n    \"cells/logic_shout\",\n]"));
    assert!(world.read("cells/logic_shout/Cargo.toml").contains("[lints]\nworkspace = true\n"));
    assert_eq!(done.stdout, "cargo run -p logic_shout -- up specs/cells/logic.shout.yaml\n");
}

#[tokio::test]
async fn nothing_is_written_over_what_is_there() {
    let world = World::new();
    world.write("specs/cells/logic.shout.yaml", "mine\n");
    world.write("specs/flows/order.yaml", "mine\n");
    let done = world.run(&["new", "cell", "logic.shout", "--lang", "rust"]).await.with_status(1);
    assert!(done.stderr.contains("is there already; nothing was written"), "{}", done.stderr);
    assert!(!world.here().join("cells").exists());
    assert_eq!(world.read("specs/cells/logic.shout.yaml"), "mine\n");
    world.run(&["new", "flow", "order"]).await.with_status(1);
    assert_eq!(world.read("specs/flows/order.yaml"), "mine\n");
}

#[tokio::test]
async fn a_folder_that_is_no_checkout_is_refused() {
    let world = World::new();
    let done = world
        .run(&["new", "cell", "logic.shout", "--lang", "rust", "--cbs", "."])
        .await
        .with_status(1);
    assert!(done.stderr.contains("is no checkout of CBS"), "{}", done.stderr);
    assert!(!world.here().join("cells").exists());
}

#[tokio::test]
async fn the_next_command_of_a_new_flow_runs_it_in_an_empty_folder() {
    let server = NatsServer::start().await;
    let world = World::new();
    let done = world.run(&["new", "flow", "order", "--path", "sub"]).await.with_status(0);
    assert_eq!(done.stdout, "cbs up sub/specs/cells/logic.greet.yaml sub/specs/flows/order.yaml\n");
    world.run(&["check", "sub/specs"]).await.with_status(0);
    let next: Vec<&str> =
        done.stdout.split_whitespace().skip(1).chain(["--nats", server.url()]).collect();
    let mut body = world.start(&next);
    body.until("body ").await;
    let run = ["flow", "run", "order", r#"{"name":"Ada"}"#, "--nats", server.url()];
    assert_eq!(world.run(&run).await.with_status(0).stdout, "{\"text\":\"HELLO, ADA!\"}\n");
}

#[tokio::test]
async fn a_new_flow_calls_the_cell_that_the_folder_has() {
    let world = World::new();
    let own = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: logic.greet }\nspec: { runtime: rust }\n";
    world.write("specs/mine.yaml", own);
    let done = world.run(&["new", "flow", "order"]).await.with_status(0);
    assert_eq!(done.stdout, "cbs up specs/mine.yaml specs/flows/order.yaml\n");
    world.run(&["check", "specs"]).await.with_status(0);
    // Another flow finds what the first one wrote.
    let done = world.run(&["new", "flow", "other"]).await.with_status(0);
    assert_eq!(done.stdout, "cbs up specs/mine.yaml specs/flows/other.yaml\n");
}

#[tokio::test]
async fn a_new_flow_finds_the_cell_beside_documents_with_mistakes() {
    let world = World::new();
    let own = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: logic.greet }\nspec: { runtime: rust }\n";
    let wrong = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: logic.other }\nspec: { runtime: no }\n";
    world.write("specs/cells/mine.yaml", &format!("{wrong}---\n{own}"));
    world.write("specs/wrong.yaml", "a: [\n");
    let done = world.run(&["new", "flow", "order"]).await.with_status(0);
    assert_eq!(done.stdout, "cbs up specs/cells/mine.yaml specs/flows/order.yaml\n");
    assert!(!world.here().join("specs/cells/logic.greet.yaml").exists());
}

#[tokio::test]
async fn the_next_command_is_ready_to_paste_and_readable_to_programs() {
    let world = World::new();
    let done = world.run(&["new", "flow", "order", "--path", "my shop"]).await.with_status(0);
    let next = "cbs up 'my shop/specs/cells/logic.greet.yaml' 'my shop/specs/flows/order.yaml'\n";
    assert_eq!(done.stdout, next);
    let done = world.run(&["new", "flow", "order", "--format", "json"]).await.with_status(0);
    let reported: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(
        reported,
        serde_json::json!({ "next": "cbs up specs/cells/logic.greet.yaml specs/flows/order.yaml" })
    );
}
