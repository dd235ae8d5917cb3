//! `cbs check`.

use crate::support::{World, greeting_specs};

const TWO_MISTAKES: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata:\n  name: Logic.greet\nspec:\n  runtime: rust\n  timout: 5s\n";

#[tokio::test]
async fn the_greetings_specs_are_well() {
    let specs = greeting_specs();
    let done = World::new().run(&["check", &specs]).await.with_status(0);
    assert_eq!(done.stdout, "ok: 3 cells and 1 flow in 4 files\n");
    let done = World::new().run(&["check", &specs, "--format", "json"]).await.with_status(0);
    assert_eq!(done.stdout, "[]\n");
}

#[tokio::test]
async fn every_mistake_is_told_with_its_place_its_line_and_a_hint() {
    let world = World::new();
    world.write("specs/cells/greet.yaml", TWO_MISTAKES);
    let done = world.run(&["check", "specs"]).await.with_status(1);
    for words in [
        "specs/cells/greet.yaml:4:9:",
        "specs/cells/greet.yaml:7:3:",
        "timout: 5s",
        "did you mean `timeout`?",
    ] {
        assert!(done.stdout.contains(words), "{words} is not in:\n{}", done.stdout);
    }
    assert_eq!(done.last_line(), "2 mistakes in 1 file");
    assert!(!done.stdout.contains('\u{1b}'), "colour without a terminal");
}

#[tokio::test]
async fn mistakes_are_data_for_programs() {
    let world = World::new();
    world.write("greet.yaml", TWO_MISTAKES);
    let done = world.run(&["check", "greet.yaml", "--format", "json"]).await.with_status(1);
    let mistakes: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let places: Vec<_> = mistakes
        .as_array()
        .unwrap()
        .iter()
        .map(|m| (m["line"].as_u64(), m["column"].as_u64()))
        .collect();
    assert_eq!(places, [(Some(4), Some(9)), (Some(7), Some(3))]);
}

#[tokio::test]
async fn a_path_that_is_not_there_is_status_2() {
    let done = World::new().run(&["check", "nowhere"]).await.with_status(2);
    assert!(done.stderr.contains("nowhere"), "{}", done.stderr);
}

#[cfg(feature = "python")]
#[tokio::test]
async fn mistakes_in_the_files_around_a_python_cell_have_their_places() {
    let world = World::new();
    let spec = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: a.b }\nspec: { runtime: python, source: c.py:f }\n";
    world.write("cells/spec.yaml", spec);
    world.write("cells/c.py", "import helper\nasync def f(input):\n    pass\n");
    world.write("cells/helper.py", "\nfrom .. import top\n");
    let done = world.run(&["check", "cells"]).await.with_status(1);
    assert!(
        done.stdout.starts_with("cells/helper.py:2: `from .. import` leads above"),
        "{}",
        done.stdout
    );
    world.write("cells/requirements.txt", "six\n-r base.txt\n");
    let done = world.run(&["check", "cells", "--format", "json"]).await.with_status(1);
    let mistakes: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    assert_eq!(mistakes[0]["message"], "there is no file cells/base.txt");
    assert_eq!(
        (&mistakes[0]["file"], &mistakes[0]["line"]),
        (&"cells/requirements.txt".into(), &2.into())
    );
}

#[cfg(feature = "python")]
#[tokio::test]
async fn mistakes_in_specs_and_in_code_are_told_at_once() {
    let world = World::new();
    let python = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: a.b }\nspec: { runtime: python, source: c.py:f }\n";
    world.write("cells/python.yaml", python);
    world.write("cells/c.py", "\ndef f(:\n");
    world.write("cells/greet.yaml", TWO_MISTAKES);
    let done = world.run(&["check", "cells"]).await.with_status(1);
    for words in [
        "cells/greet.yaml:4:9:",
        "2 mistakes in 1 file",
        "cells/c.py:2: ",
        "1 mistake in the code of cells",
    ] {
        assert!(done.stdout.contains(words), "{words} is not in:\n{}", done.stdout);
    }
    let done = world.run(&["check", "cells", "--format", "json"]).await.with_status(1);
    let mistakes: serde_json::Value = serde_json::from_str(&done.stdout).unwrap();
    let codes: Vec<_> = mistakes
        .as_array()
        .unwrap()
        .iter()
        .map(|mistake| mistake["code"].as_str().unwrap())
        .collect();
    assert_eq!(codes, ["spec-bad-name", "spec-unknown-field", "python-source"]);
}
