//! Places where expressions may stand, and the mistakes at other places.

use serde_json::json;

use super::*;

fn names() -> Names<'static> {
    Names { steps: &[], before: &[], own: None, each: false, catch: false }
}

fn made(value: &Value) -> (Template, Vec<Problem>) {
    let mut problems = Vec::new();
    let template = Template::new(value, &names(), &[PathPart::Key("with".into())], &mut problems);
    (template, problems)
}

fn filled(value: &Value) -> Result<Value, Failure> {
    let (template, problems) = made(value);
    assert_eq!(problems, []);
    let input = Json::from(json!({"name": "Ada", "n": 2}));
    let scope = Scope { names: &[], input: &input, steps: &[], item: None, error: None };
    template.fill(&scope).map(|json| serde_json::from_slice(&json.into_bytes()).unwrap())
}

#[test]
fn expressions_stand_anywhere_in_maps_and_lists() {
    let template = json!({"to": "${ .input.name }", "rest": [1, null, "plain", {"twice": " ${.input.n * 2} "}], "$": "{}"});
    let value = json!({"to": "Ada", "rest": [1, null, "plain", {"twice": 4}], "$": "{}"});
    assert_eq!(filled(&template), Ok(value));
    assert_eq!(filled(&json!("${ {a: .input.n} }")), Ok(json!({"a": 2})));
    assert_eq!(filled(&json!("${ \"Hello, \\(.input.name)\" }")), Ok(json!("Hello, Ada")));
    assert_eq!(filled(&json!("${ \"costs ${5}\" }")), Ok(json!("costs ${5}")));
    assert_eq!(filled(&json!("costs 5 $")), Ok(json!("costs 5 $")));
    assert_eq!(filled(&json!("${\n  .input\n  | .name # who\n}")), Ok(json!("Ada")));
}

#[test]
fn a_template_without_expressions_is_the_value_itself() {
    let value = json!({"a": [1, {"b": "c"}]});
    assert!(matches!(made(&value).0, Template::Fixed(fixed) if fixed == value));
}

#[test]
fn text_around_an_expression_is_a_mistake_with_a_way_out() {
    for text in [
        "Hello, ${ .input.name }",
        "${ .input.name }!",
        "${ .input.a } and ${ .input.b }",
        "${ .input",
        "a ${",
        "${ .a }${ .b }",
    ] {
        let (_, problems) = made(&json!(text));
        assert_eq!(problems.len(), 1, "{text}: {problems:?}");
        assert_eq!(problems[0].code, "flow-interpolation", "{text}");
        assert!(problems[0].hint.as_deref().unwrap_or("").contains("\\(.input.name)"), "{text}");
    }
}

#[test]
fn a_mistake_is_told_at_its_place_and_all_at_once() {
    let (_, problems) =
        made(&json!({"a": ["fine", "${ .nothing }"], "b": {"c": "${ now }"}, "${ x }": 1}));
    let mut found: Vec<String> =
        problems.iter().map(|problem| format!("{:?} {}", problem.path, problem.code)).collect();
    found.sort();
    assert_eq!(
        found,
        [
            "[Key(\"with\"), Key(\"${ x }\")] flow-syntax",
            "[Key(\"with\"), Key(\"a\"), Index(1)] flow-root",
            "[Key(\"with\"), Key(\"b\"), Key(\"c\")] flow-refused",
        ]
    );
}
