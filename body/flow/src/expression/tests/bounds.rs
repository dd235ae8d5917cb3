//! No expression is endless, uses too much memory or overflows the stack.

use super::*;

/// Runs in a separate process, because this process also has the memory of other tests.
#[test]
fn nothing_an_expression_does_is_endless_or_eats_memory() {
    let mut alone = std::process::Command::new(std::env::current_exe().unwrap());
    let name = "expression::tests::bounds::each_ends_at_a_bound_with_little_memory";
    let done = alone.args(["--exact", name, "--ignored", "--nocapture"]).output().unwrap();
    let said =
        String::from_utf8_lossy(&done.stdout).into_owned() + &String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
#[ignore = "started by nothing_an_expression_does_is_endless_or_eats_memory"]
fn each_ends_at_a_bound_with_little_memory() {
    for code in [
        "[range(1e9)]",
        "\"x\" * 1e9",
        "\"x\" * 1000000000",
        "\"xx\" * 9223372036854775807",
        "1000000000 * \"x\"",
        "{a: \"x\"} | .a *= 1000000000",
        "reduce range(60) as $i (\"x\"; . + .)",
        "reduce range(60) as $i ([1]; . + .)",
        "reduce range(60) as $i (1; [., .])",
        "reduce range(60) as $i (1; {a: ., b: .})",
        "reduce range(60) as $i (1; [., .]) | tojson",
        "reduce range(200) as $i (1; [.])",
        "reduce range(100000) as $i (1; [.])",
        "reduce range(100000) as $i (null; . as $v | {} | .a = $v)",
        "reduce range(100000) as $i (null; . as $v | {} | .a |= $v)",
        "[range(100000) | \"x\" * 1000000] | length",
        "[range(100000) | [\"x\" * 1000000]] | length",
        "reduce range(100000) as $i ([]; . + [\"x\" * 1000000]) | length",
        "reduce range(100000) as $i ([]; . += [\"x\" * 1000000]) | length",
        "(\"x\" * 1000000) as $big | [range(100000)] | group_by($big + \"x\") | length",
        "(\"x\" * 1000000) as $big | [range(100000)] | sort_by($big + \"x\") | length",
        "(\"x\" * 1000000) as $big | [range(100000)] | unique_by([$big + \"x\"]) | length",
        "[.input | .[range(100000) | \"x\" * 1000000]] | length",
        "reduce (range(100000) | \"x\" * 1000000) as $x ((1, 2); .)",
        "reduce range(100000) as $i ({}; .[\"\\($i)\"] = \"x\" * 1000000)",
        "reduce range(40) as $i (10; . * .)",
        "last(range(1e12))",
        "[range(90000)] | join(\"x\" * 100000)",
        "[range(90000) | \"xxxxxxxxxxxxxxxxxxxxxxxx\"] | add",
        "[range(2000)] | transpose | length",
        "[[range(50000)], (range(50000) | [])] | transpose",
        "(1,1) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | (.,.) | select(. == 2)",
        "[range(1000)] as $x | [$x[] | $x[] | $x[] | $x[]] | length",
        "[try range(1e9) catch 1]",
        "(\"x\" * 1000000) as $x | \"\\($x)\\($x)\\($x)\\($x)\\($x)\\($x)\\($x)\\($x)\\($x)\\($x)\\($x)\"",
        "\"x\" * 200000 | [match(\"x\"; \"g\")] | length",
        "\"[\" * 100000 | fromjson",
        "[range(100000)] | map([range(100)])",
        "{a: 1} | (.a, .a, .a) |= (reduce range(60) as $i (\"x\"; . + .))",
        "[.input.list[] as {(\"x\" * 1000000000): $y} | $y]",
        "[1] | .[range(1e9)]",
        "[range(90000)] | .[] |= \"x\" * 100000 | length",
        "[range(90000) | \"\"] | .[] += \"x\" * 100000 | .[] *= 10 | length",
        "[range(1000)] | .[] |= [range(1000)]",
        "[nth(1e15; range(1e15))]",
        "[range(30000)] | group_by(.) | map(add) | [.[], .[]] | [.[], .[]] | length",
    ] {
        let error = run(code).expect_err(code);
        let is_bound = [
            "takes too long",
            "gives too much",
            "gives more than",
            "no JSON",
            "cannot",
            "size limit",
        ]
        .iter()
        .any(|word| error.contains(word));
        assert!(is_bound, "{code}: {error}");
        let most = most_memory();
        assert!(most < 400 << 10, "{code}: {most} KiB");
    }
}

/// Peak memory of this process, in KiB; 0 if the system does not report it.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

#[test]
fn an_endless_expression_does_not_hide_behind_an_alternative() {
    assert!(run("try [range(1e9)] catch \"fine\"").unwrap_err().contains("takes too long"));
    assert!(run("[range(1e9)] // \"fine\"").unwrap_err().contains("takes too long"));
    assert!(run("first([range(1e9)]?, 1)").unwrap_err().contains("takes too long"));
}

#[test]
fn work_of_a_usual_size_fits() {
    let rows: Vec<Value> = (0..5000)
        .map(|n| json!({"id": n, "name": format!("row {n}"), "tags": ["a", "b"]}))
        .collect();
    let input = json!({"rows": rows});
    for (code, value) in [
        (".input.rows | map(.id) | add", json!(12_497_500)),
        (".input.rows | map({key: .name, value: .id}) | from_entries | length", json!(5000)),
        (".input.rows | group_by(.id % 10) | map(length) | unique", json!([500])),
        ("[.input.rows[] | select(.name | test(\"99$\"))] | length", json!(50)),
        (".input.rows | map(.name) | join(\",\") | length", json!(43_889)),
        ("reduce .input.rows[] as $row ({}; .[$row.name] = $row.id) | length", json!(5000)),
        (".input.rows | map(.n = .id * 2) | .[-1].n", json!(9998)),
    ] {
        assert_eq!(run_on(code, input.clone()), Ok(value), "{code}");
    }
}

#[test]
fn an_expression_as_deep_as_may_be_is_refused_or_run_but_never_overflows_the_stack() {
    let wrap = |open: &str, core: &str, close: &str, times: usize| {
        format!("{}{core}{}", open.repeat(times), close.repeat(times))
    };
    for times in [10, 31, 32, 33, 60, 100, 120, 126, 130, 500, 2000, 100_000] {
        for code in [
            wrap("(", "1", ")", times),
            wrap("[", "1", "]", times),
            wrap("{a:", "1", "}", times),
            wrap("-", "1", "", times),
            wrap("- ", "1", "", times),
            wrap("try ", "1", "", times),
            wrap("1|", "1", "", times),
            wrap("1,", "1", "", times),
            wrap("1+", "1", "", times),
            wrap("1*", "1", "", times),
            wrap("", "1", "+1", times),
            wrap("", "1", "/1", times),
            wrap("1 as $x|", "1", "", times),
            wrap("if 1 then ", "1", " end", times),
            wrap("if 1 then 1 else ", "1", " end", times),
            wrap("if 1 then 1 elif ", "1 then 1 end", "", times),
            wrap("label $x|", "1", "", times),
            wrap("reduce 1 as $x (0;", "1", ")", times),
            wrap("map(", "1", ")", times),
            wrap("\"\\(", "1", ")\"", times),
            wrap(".[", "1", "]", times),
            wrap(".a", "", "", times),
            wrap("1//", "1", "", times),
            wrap(".[0]", "", "", times),
            wrap("1?", "", "?", times),
            wrap(".a=", "1", "", times),
            wrap("1 as [", "$x", "]", times) + "|1",
        ] {
            if let Ok(expression) = compile(&code) {
                let names = ids();
                let input = Json::null();
                let _ = expression.evaluate(&Scope {
                    names: &names,
                    input: &input,
                    steps: &[],
                    item: None,
                    error: None,
                });
            }
        }
    }
}
