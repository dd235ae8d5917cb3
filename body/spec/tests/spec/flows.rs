//! Flows: plans, calls to other bodies, and no mistake that only follows from another.

use std::time::Duration;

use spec::{Options, load_texts};

use crate::support::{cell, diagnostics, flow, load, mistakes, places};

#[test]
fn a_flow_becomes_a_plan() {
    let yaml = flow(
        "    - { id: one, call: shop.price, with: { a: [\"${ .input }\"] }, timeout: 1s, retry: { max: 2 } }\n    - id: two\n      call: shop.price\n      needs: []\n      when: ${ .input.wanted }\n      each: { items: \"${ .input.list }\", parallel: 3 }\n      with: ${ .item }\n      catch: { codes: [unavailable], with: \"${ .error.code }\" }\n    - { id: three, flow: ship, external: true, needs: [one, two] }\n  output: ${ .steps.three }\n  timeout: 1m",
    );
    let specs = load(&yaml).unwrap_or_else(|error| panic!("{error}"));
    let flow = specs.flow(&"order".parse().unwrap()).unwrap();
    assert_eq!((flow.name.as_str(), flow.timeout), ("order", Duration::from_secs(60)));
    assert_eq!(flow.plan.name().as_str(), "order");
    let targets: Vec<String> = flow.plan.targets().map(ToString::to_string).collect();
    assert_eq!(targets, ["cell shop.price", "cell shop.price", "flow ship"]);
    let needs: Vec<_> = flow.plan.steps().iter().map(|step| step.needs().to_vec()).collect();
    assert_eq!(needs, [vec![], vec![], vec![0, 1]]);
}

#[test]
fn a_flow_without_a_timeout_has_thirty_seconds() {
    let specs = load(&flow("    - { id: a, call: shop.price }")).unwrap();
    assert_eq!(specs.flows().next().unwrap().timeout, Duration::from_secs(30));
}

#[test]
fn what_runs_elsewhere_may_be_called_where_that_is_said() {
    let yaml = flow("    - { id: a, call: far.away }\n    - { id: b, flow: ship }");
    assert_eq!(places(&mistakes(&yaml)).len(), 2);
    let options = Options { allow_remote: true, ..Options::default() };
    assert!(load_texts([("spec.yaml".into(), yaml.as_str())], &options).is_ok());
    let external = yaml
        .replace(" }", ", external: true }")
        .replace("price, external: true", "price")
        .replace("order, external: true", "order");
    assert_eq!(diagnostics(load(&external)), []);
}

#[test]
fn a_flow_and_the_cell_it_calls_may_stand_in_different_files() {
    let flow = flow("    - { id: a, call: shop.price }").replace(&format!("{}---\n", cell("")), "");
    let cell = cell("");
    let texts = [("flow.yaml".into(), flow.as_str()), ("cell.yaml".into(), cell.as_str())];
    let specs = load_texts(texts, &Options::default()).unwrap();
    assert_eq!((specs.cells().len(), specs.flows().len(), specs.files().len()), (1, 1, 2));
}

#[test]
fn two_specs_of_one_name_are_told_of_each_other() {
    let text = cell("");
    let texts = [("a.yaml".into(), text.as_str()), ("b.yaml".into(), text.as_str())];
    let found = diagnostics(load_texts(texts, &Options::default()));
    assert_eq!(places(&found), [("spec-duplicate-name", 3, 19)]);
    assert_eq!(found[0].file.to_str(), Some("b.yaml"));
    assert!(found[0].hint.as_ref().unwrap().contains("a.yaml:3"), "{found:?}");
}

#[test]
fn a_mistake_in_one_step_leaves_the_other_steps_to_be_checked_and_brings_no_others() {
    // The first step has no id, so nobody can say whether `.steps.a` is it.
    let yaml = flow(
        "    - { call: shop.price }\n    - { id: b, call: shop.price, with: \"${ .steps.a }\" }\n    - { id: c, call: shop.price, with: \"${ ) }\" }",
    );
    assert_eq!(places(&mistakes(&yaml)), [("spec-missing-field", 13, 7), ("flow-syntax", 15, 40)]);
    // An `each` that cannot be read is one all the same.
    let yaml = flow("    - { id: a, call: shop.price, each: 3, with: \"${ .item }\" }");
    assert_eq!(places(&mistakes(&yaml)), [("spec-wrong-type", 13, 40)]);
    // A step that is no map keeps its number.
    let yaml = flow("    - nothing\n    - { id: b, call: shop.price, with: \"${ ) }\" }");
    assert_eq!(places(&mistakes(&yaml)), [("spec-wrong-type", 13, 7), ("flow-syntax", 14, 40)]);
}

#[test]
fn a_long_chain_of_flows_is_no_circle() {
    let mut yaml = String::new();
    for index in 0..2_000 {
        yaml.push_str(&format!(
            "---\napiVersion: cbs/v1alpha1\nkind: Flow\nmetadata: {{ name: f{index} }}\nspec: {{ steps: [{{ id: a, flow: f{} }}] }}\n",
            index + 1
        ));
    }
    let found = mistakes(&yaml);
    assert_eq!(found.iter().map(|mistake| mistake.code).collect::<Vec<_>>(), ["spec-unknown-flow"]);
    let closed = yaml.replace("flow: f2000", "flow: f0");
    let found = mistakes(&closed);
    assert_eq!(found.iter().map(|mistake| mistake.code).collect::<Vec<_>>(), ["spec-flow-cycle"]);
    assert!(found[0].message.len() < 200, "{}", found[0].message);
}
