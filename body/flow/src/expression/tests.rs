//! Expressions: their values, the parts of jq that are refused, and their limits.

mod bounds;
mod manual;
mod numbers;
mod properties;
mod secrets;

use serde_json::{Value, json};

use super::*;

fn ids() -> Vec<Text> {
    ["ask", "my-step", "later"].map(Text::from).to_vec()
}

/// Steps 0 and 1 are done before; everything else may be named too.
fn compile(code: &str) -> Result<Expression, Vec<Mistake>> {
    let steps = ids();
    Expression::new(
        code,
        &Names { steps: &steps, before: &[0, 1], own: None, each: true, catch: true },
    )
}

/// Evaluates on an input whose text is given.
fn text_on(code: &str, input: &str) -> Result<String, Failure> {
    let expression = compile(code).unwrap_or_else(|mistakes| panic!("{code}: {mistakes:?}"));
    let names = ids();
    let input = Json::read(&input.to_owned().into()).unwrap();
    let steps =
        [json!({"name": "Ada"}), json!(5), json!("secret")].map(|value| Some(Json::from(value)));
    let item = Json::from(json!({"id": 7}));
    let error = Json::from(json!({"code": "timeout"}));
    let item = item.parsed().map(|item| (item, 3));
    let scope = Scope { names: &names, input: &input, steps: &steps, item, error: Some(&error) };
    expression.evaluate(&scope).map(|json| json.to_string())
}

#[allow(clippy::needless_pass_by_value, reason = "callers write it in place")]
fn run_on(code: &str, input: Value) -> Result<Value, String> {
    let text = text_on(code, &input.to_string()).map_err(|failure| failure.message)?;
    Ok(serde_json::from_str(&text).unwrap())
}

fn run(code: &str) -> Result<Value, String> {
    run_on(code, json!({"name": "Ada", "n": 4, "list": [3, 1, 2], "deep": {"a": {"b": 1}}}))
}

fn mistake(code: &str) -> Mistake {
    let mistakes = compile(code).expect_err(code);
    assert_eq!(mistakes.len(), 1, "{code}: {mistakes:?}");
    mistakes.into_iter().next().unwrap()
}

#[test]
fn an_expression_gives_what_jq_gives() {
    for (code, value) in [
        (".input.name", json!("Ada")),
        (".input.nobody", json!(null)),
        (".input.deep.a.b", json!(1)),
        (".input.nobody.at.all", json!(null)),
        (".steps.ask.name", json!("Ada")),
        (".steps[\"my-step\"]", json!(5)),
        (".steps.ask | .name", json!("Ada")),
        (".item.id", json!(7)),
        (".index", json!(3)),
        (".index + 1", json!(4)),
        (".error.code", json!("timeout")),
        ("\"Hello, \\(.input.name)!\"", json!("Hello, Ada!")),
        (
            "{name: .input.name, list: [.input.list[] * 2]}",
            json!({"name": "Ada", "list": [6, 2, 4]}),
        ),
        (".input | {name, n}", json!({"name": "Ada", "n": 4})),
        (".input.n / 2", json!(2)),
        (".input.n / 8", json!(0.5)),
        (".input.list | sort | first", json!(1)),
        (".input.list | map(. + 1) | add", json!(9)),
        ("[.input.list[] | select(. > 1)]", json!([3, 2])),
        (".input.missing // \"none\"", json!("none")),
        ("if .input.n > 3 then \"many\" else \"few\" end", json!("many")),
        (".input | .n = 5 | .n", json!(5)),
        (".input | .n *= 3 | .n", json!(12)),
        (".input | .list[] |= . * 2 | .list", json!([6, 2, 4])),
        (".input | del(.deep, .list, .n)", json!({"name": "Ada"})),
        (".input | with_entries(select(.key == \"n\"))", json!({"n": 4})),
        (".input as {$name, list: [$first]} | [$name, $first]", json!(["Ada", 3])),
        ("reduce .input.list[] as $x (0; . + $x)", json!(6)),
        ("[limit(2; .input.list[])]", json!([3, 1])),
        ("[range(3)]", json!([0, 1, 2])),
        (".input.name | test(\"^A\")", json!(true)),
        (".input.name | sub(\"(?<x>d)\"; \"[\\(.x)]\")", json!("A[d]a")),
        ("\"a,b\" | split(\",\")", json!(["a", "b"])),
        ("[\"a\", 1] | join(\"-\")", json!("a-1")),
        ("\"{\\\"a\\\": [1]}\" | fromjson", json!({"a": [1]})),
        ("\"12\" | tonumber", json!(12)),
        ("@json \"x\\(.input.list)\"", json!("x[3,1,2]")),
        ("\"a b\" | @uri", json!("a%20b")),
        ("[1, [2, [3]]] | flatten", json!([1, 2, 3])),
        ("[[1, 2], [3]] | transpose", json!([[1, 3], [2, null]])),
        ("try error(\"x\") catch .", json!("x")),
        (".steps | keys", json!(["ask", "my-step"])),
        (". | keys", json!(["error", "index", "input", "item", "steps"])),
        (".steps[.input.key // \"ask\"].name", json!("Ada")),
        (".steps[\"la\" + \"ter\"]", json!(null)),
        ("18446744073709551615", json!(18_446_744_073_709_551_615_u64)),
        ("1.5", json!(1.5)),
        ("\"ab\" * 3", json!("ababab")),
        ("{a: {b: 1}} * {a: {c: 2}}", json!({"a": {"b": 1, "c": 2}})),
        ("[.input.list[] as $x | $x - 1]", json!([2, 0, 1])),
        ("label $out | 1, break $out", json!(1)),
    ] {
        assert_eq!(run(code), Ok(value), "{code}");
    }
}

#[test]
fn exactly_one_value_comes_out() {
    assert!(run("empty").unwrap_err().contains("gives no value; write `… // null`"));
    assert!(run(".input.list[]").unwrap_err().contains("more than one value; write `[…]`"));
    assert!(run("1, error(\"late\")").unwrap_err().contains("late"));
}

#[test]
fn a_failing_expression_names_itself_in_one_short_line() {
    assert_eq!(
        run(".input.name.first").unwrap_err(),
        "`${ .input.name.first }`: cannot index a text with \"first\""
    );
    let error = run(".input.name | .first").unwrap_err();
    assert!(error.ends_with("cannot index a text with a text"), "{error}");
    let failure =
        text_on(".input.text | .x", &json!({"text": "line\n".repeat(10_000)}).to_string())
            .unwrap_err();
    let values = failure.values.unwrap();
    assert!(values.chars().count() < 420 && !values.contains('\n'), "{values}");
    assert!(run("1 / 0").unwrap_err().contains("cannot divide by 0"));
    assert!(run("exp | 1e300 * 1e300").unwrap_err().contains("cannot use a map as a number"));
    assert!(run("1e300 * 1e300").unwrap_err().contains("not finite"));
    assert!(run("{(1, 2 | tostring): 1}").is_err());
    assert!(run("[{} | .[\"a\"] = 1, 1] | from_entries").is_err());
}

#[test]
fn the_quick_way_for_plain_paths_gives_what_jq_gives() {
    let input = json!({"a": {"b": [1, 2.5, {"c": null}], "d": "text", "e": true}, "big": 18_446_744_073_709_551_615_u64});
    for path in [
        ".input",
        ".input.a",
        ".input.a.b",
        ".input.a.d",
        ".input.a.e",
        ".input.x.y",
        ".input.big",
        ".steps.ask.name",
    ] {
        assert!(matches!(compile(path).unwrap().kind, Kind::Plain { .. }), "{path}");
        assert_eq!(
            run_on(path, input.clone()),
            run_on(&format!("{path} | ."), input.clone()),
            "{path}"
        );
    }
    for path in [".input.a.b.c", ".input.a.d.e", ".input.a.e.f", ".input.big.x"] {
        assert!(
            run_on(path, input.clone()).is_err()
                && run_on(&format!("{path} | ."), input.clone()).is_err(),
            "{path}"
        );
    }
}

#[test]
fn what_is_refused_says_why_and_what_to_do() {
    for (code, message, hint) in [
        ("now", "`now` is not allowed", "knows no time"),
        ("input", "`input` is not allowed", "`.input`"),
        ("env.HOME", "`env` is not allowed", "`config`"),
        ("$ENV.HOME", "`$ENV` is not allowed", "`config`"),
        (".input | debug", "`debug` is not allowed", "no effect"),
        ("halt", "`halt` is not allowed", "no effect"),
        ("def f: 1; f", "`def` is not allowed", "a cell"),
        ("..", "`..` is not allowed", "name the parts"),
        ("[.input | recurse]", "`recurse` is not allowed", "without end"),
        ("[1 | repeat(.)]", "`repeat` is not allowed", "without end"),
        ("1 | until(. > 5; . + 1)", "`until` is not allowed", "without end"),
        ("lenght", "no function `lenght`", "did you mean `length`?"),
        (".input | xyzzyxyzzy", "no function `xyzzyxyzzy`", "functions: @base64"),
        ("hello", "no function `hello`", "a text stands in quotes"),
        ("split()", "an expression is no jq", ""),
        ("join(\",\"; 1)", "`join` has 2 arguments, it takes 1", "parted by `;`"),
        ("$x", "there is no variable `$x`", ""),
        ("__weigh", "no function `__weigh`", ""),
        ("1 as $__right | 2", "", ""),
        (".input | (reduce range(9) as $i (.; .a)) |= 1", "only a plain path", "del(.a, .b)"),
        (".input | del(.. )", "", ""),
        ("{\"a\\(1)\"}", "a computed key has no value", "(key): value"),
    ] {
        let Err(mistakes) = compile(code) else { panic!("{code} was taken") };
        let found = &mistakes[0];
        let is_told = message == "an expression is no jq" || found.message.contains(message);
        assert!(is_told, "{code}: {found:?}");
        assert!(found.hint.as_deref().unwrap_or("").contains(hint), "{code}: {found:?}");
    }
}

#[test]
fn every_mistake_of_an_expression_is_told() {
    let codes: Vec<_> = compile("[now, .steps.nobody, .foo, lenght]")
        .unwrap_err()
        .into_iter()
        .map(|m| m.code)
        .collect();
    assert_eq!(codes, ["flow-refused", "flow-refused", "flow-unknown-step", "flow-root"]);
}

#[test]
fn what_does_not_parse_is_told_with_its_place() {
    assert_eq!(
        mistake(".input |").message,
        "the expression is no jq: term expected at character 9, found the end"
    );
    assert_eq!(
        mistake(".input)").message,
        "the expression is no jq: token expected at character 7, found `)`"
    );
    assert_eq!(mistake("").code, "flow-syntax");
    assert_eq!(mistake("(.input").code, "flow-syntax");
    assert_eq!(
        mistake("\"ä\" & 1").message,
        "the expression is no jq: token expected at character 5, found `& 1`"
    );
}

#[test]
fn a_read_of_what_is_not_there_is_a_mistake() {
    for (code, kind, hint) in [
        (".name", "flow-root", "write `.input.name`"),
        (".inptu", "flow-root", "did you mean `.input`?"),
        (".steps.aks", "flow-unknown-step", "did you mean `ask`?"),
        (".steps[\"my_step\"]", "flow-unknown-step", "did you mean `my-step`?"),
        (".steps.later", "flow-not-before", "add `later` to the step's `needs`"),
        (".steps[\"later\"]", "flow-not-before", "add `later`"),
        (".steps | .later", "flow-not-before", "add `later`"),
        (".steps as $s | $s.later", "flow-not-before", "add `later`"),
        ("[.input.list[] as $x | . | .steps.later]", "flow-not-before", "add `later`"),
        ("{a: .steps.later}", "flow-not-before", "add `later`"),
        (".steps | {later}", "flow-not-before", "add `later`"),
        ("\"\\(.steps.later)\"", "flow-not-before", "add `later`"),
        ("if true then .steps.later else 1 end", "flow-not-before", "add `later`"),
        (".input // .steps.later", "flow-not-before", "add `later`"),
        ("first(.steps.later)", "flow-not-before", "add `later`"),
        ("try .steps.later catch 1", "flow-not-before", "add `later`"),
        (".input[.steps.later]", "flow-not-before", "add `later`"),
        ("reduce .steps.later[] as $x (0; . + $x)", "flow-not-before", "add `later`"),
        (".input.list | .[1:] | length | . + 1 | [., $x]", "flow-syntax", ""),
    ] {
        let found = mistake(code);
        assert_eq!(found.code, kind, "{code}: {found:?}");
        assert!(found.hint.as_deref().unwrap_or("").contains(hint), "{code}: {found:?}");
    }
    // Below a value, names are free.
    for code in [
        ".input.list | map(.later?)",
        ".input | .later",
        "[.input[] | .steps?] | length",
        ".input | has(\"later\")",
    ] {
        assert!(compile(code).is_ok(), "{code}");
    }
    let bare = Names { steps: &ids(), before: &[], own: Some(0), each: false, catch: false };
    for (code, message) in
        [(".item", "no `each` here"), (".error", "nothing is caught"), (".steps.ask", "itself")]
    {
        let mistakes = Expression::new(code, &bare).unwrap_err();
        assert!(mistakes[0].message.contains(message), "{mistakes:?}");
    }
}

#[test]
fn every_function_that_is_allowed_compiles() {
    for (name, arities) in functions::FUNCTIONS {
        for arity in *arities {
            let arguments = if *arity == 0 {
                String::new()
            } else {
                format!("({})", vec!["."; *arity].join(";"))
            };
            let code = format!("1 | {name}{arguments}");
            assert!(compile(&code).is_ok(), "{code}: {:?}", compile(&code));
            let _ = run(&code);
        }
    }
    assert!(functions::FUNCTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0), "sorted, each once");
}
