//! Functions give the results of jq's manual: <https://jqlang.org/manual/>.

use super::*;

#[test]
fn functions_give_what_jqs_manual_says() {
    for (code, text) in [
        ("[(1, 2) + (10, 20)]", "[11,12,21,22]"),
        ("[(1, 2) * (3, 4)]", "[3,6,4,8]"),
        ("{\"a\":[1,2,3]} | del(.a[0, 1])", "{\"a\":[3]}"),
        ("[1,2,3] | del(.[0], .[2])", "[2]"),
        ("[1,2,3,4] | del(.[] | select(. > 2))", "[1,2]"),
        ("{\"a\":1,\"b\":2} | del(.a, .b, .c)", "{}"),
        ("[\"a\",1,2.3,true,null,false] | join(\" \")", "\"a 1 2.3 true  false\""),
        ("[] | join(\",\")", "\"\""),
        (
            "[{\"name\":\"a\",\"value\":1},{\"k\":\"b\",\"v\":2},{\"key\":null,\"value\":3},{\"key\":false}] | from_entries",
            "{\"a\":1,\"b\":2,\"null\":3,\"false\":null}",
        ),
        ("{\"a\":1} | with_entries(.key |= \"KEY_\" + .)", "{\"KEY_a\":1}"),
        ("[1, \"abc\", \"xyz\", [2]] | map(ltrimstr(\"a\"))", "[1,\"bc\",\"xyz\",[2]]"),
        ("[1, \"abc\"] | map(rtrimstr(\"c\"), rtrimstr(1))", "[1,1,\"ab\",\"abc\"]"),
        ("[5 % 3, -5 % 3, 5 % -3, 5.9 % 2.1]", "[2,-2,2,1]"),
        ("[1, 0, -1] | map((1 / .)?)", "[1,-1]"),
        ("9 | sqrt | tostring", "\"3\""),
        ("[10,20,30,40] | .[9 | sqrt]", "40"),
        ("[1, 1.0] | unique | length", "1"),
        ("[infinite] | length", "REFUSED"),
        ("[1 | isnan, isinfinite, isnormal, isfinite]", "[false,false,true,true]"),
        ("[0 | isnormal, isfinite]", "[false,true]"),
        ("\"aaa\" | indices(\"aa\")", "[0,1]"),
        ("[1,2,3] | (.[] | select(. >= 2)) |= empty", "[1]"),
        ("[foreach range(5) as $i (0; . + $i; [$i, .])]", "[[0,0],[1,1],[2,3],[3,6],[4,10]]"),
        (
            "[null,true,false,0,-1,\"a\",\"A\",[1],[],{\"a\":1},{}] | sort",
            "[null,false,true,-1,0,\"A\",\"a\",[],[1],{},{\"a\":1}]",
        ),
        ("\"foo bar foo\" | [match(\"foo\"; \"g\").offset]", "[0,8]"),
        ("\"Abcabc\" | gsub(\"(?<x>[^a])\"; \"\\(.x)Z\")", "\"AZbZcZabZcZ\""),
        (
            "@sh \"echo \\(\"a\u{27}b\") \\([1, \"x y\"])\"",
            "\"echo \u{27}a\u{27}\\\\\u{27}\u{27}b\u{27} 1 \u{27}x y\u{27}\"",
        ),
        ("@uri \"?q=\\(\"a b&c/ä~-_.\")\"", "\"?q=a%20b%26c%2F%C3%A4~-_.\""),
        ("[.[]?]", "[]"),
    ] {
        if text == "REFUSED" {
            assert!(compile(code).is_err(), "{code}");
        } else {
            assert_eq!(text_on(&format!("null | {code}"), "null").as_deref(), Ok(text), "{code}");
        }
    }
}

/// Differences from jq, as the crate's documentation lists them.
#[test]
fn differences_from_jq_are_those_that_are_listed() {
    for (code, text) in [
        ("[1.0, 1.10, 1e3]", "[1.0,1.10,1e3]"),
        ("{} | .[0]", "null"),
        ("\"xyz\" | capture(\"(?<a>a)?(?<b>x)\")", "{\"b\":\"x\"}"),
        ("{b: 1, a: 2}", "{\"b\":1,\"a\":2}"),
    ] {
        assert_eq!(text_on(code, "null").as_deref(), Ok(text), "{code}");
    }
    for code in ["[10, 20] | .[1.0]", "\"VGhpcw\" | @base64d", "\"abc\" * 0.5"] {
        assert!(run(code).is_err(), "{code}");
    }
    assert!(compile("\"\\ud83d\\ude00\"").is_err());
}
