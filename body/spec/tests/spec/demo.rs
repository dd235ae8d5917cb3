//! The specs of the demo are valid, and the schemas `demo/v1` agree with the cells.

use std::path::PathBuf;

use serde_json::json;

fn specs() -> spec::Specs {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../specs"));
    spec::load(&[folder], &spec::Options::default()).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn the_greeting_flow_calls_three_cells_in_rust() {
    let specs = specs();
    let cells: Vec<_> =
        specs.cells().map(|cell| (cell.name.to_string(), cell.language())).collect();
    assert_eq!(
        cells,
        ["io.print_greeting", "io.prompt_name", "logic.greet"]
            .map(|name| (name.to_owned(), "rust"))
    );
    let flow = specs.flow(&"greeting".parse().unwrap()).unwrap();
    let targets: Vec<_> = flow.plan.targets().map(|target| target.name().to_owned()).collect();
    assert_eq!(targets, ["io.prompt_name", "logic.greet", "io.print_greeting"]);
}

#[test]
fn a_name_has_one_to_two_hundred_characters() {
    let specs = specs();
    let name = specs.cell(&"logic.greet".parse().unwrap()).unwrap().input.clone().unwrap();
    for (length, fits) in [(0, false), (1, true), (200, true), (201, false)] {
        assert_eq!(name.accepts(&json!({ "name": "é".repeat(length) })), fits, "{length}");
    }
    let violations = name.validate(&json!({ "nam": 1 })).unwrap_err();
    assert_eq!(violations[0].to_string(), "/name: is missing");
    let maybe = specs.cell(&"io.prompt_name".parse().unwrap()).unwrap().input.clone().unwrap();
    for (question, fits) in [
        (json!({}), true),
        (json!(null), true),
        (json!({ "name": "Ada" }), true),
        (json!({ "nam": 1 }), false),
    ] {
        assert_eq!(maybe.accepts(&question), fits, "{question}");
    }
}

#[test]
fn the_flow_in_the_readme_is_right() {
    let readme = include_str!("../../../../README.md");
    let (_, yaml) = readme.split_once("```yaml\n").unwrap();
    let (yaml, _) = yaml.split_once("```").unwrap();
    let options = spec::Options { allow_remote: true, ..spec::Options::default() };
    let specs = spec::load_texts([(PathBuf::from("README.md"), yaml)], &options)
        .unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(specs.flows().count(), 1);
}
