//! The readers that the rules use: a rule whose reader finds nothing would never fail.

use tidy::{licence, markdown, protobuf, rust, tree, workspace};

use crate::Checked;

#[test]
fn licence_expressions_are_understood() {
    let allowed =
        ["MIT".to_owned(), "Unicode-3.0".to_owned(), "Apache-2.0 WITH LLVM-exception".to_owned()];
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "Apache-2.0/MIT",
        "(MIT OR GPL-2.0) AND Unicode-3.0",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(licence::is_allowed(good, &allowed), "{good}");
    }
    for bad in [
        "",
        "GPL-3.0",
        "MIT AND GPL-3.0",
        "Apache-2.0",
        "(MIT",
        "MIT GPL-3.0",
        "MIT OR",
        "(GPL-3.0 OR MIT) AND GPL-2.0",
    ] {
        assert!(!licence::is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn a_rust_file_is_measured() -> Checked {
    let items = rust::items(
        "struct Wide { a: u8, b: u8 }\nimpl Wide {\n    fn act(&self) {\n        one();\n    }\n}\n\
         trait Small { fn a(); fn b() {} }\n#[cfg(test)]\nmod tests {\n    fn inner() {}\n}\n",
    )?;
    let names: Vec<(&str, usize, usize)> = items
        .functions
        .iter()
        .map(|function| (function.name.as_str(), function.line, function.size))
        .collect();
    assert_eq!(names, [("act", 3, 3), ("b", 7, 1), ("inner", 10, 1)]);
    assert_eq!(items.structs.first().map(|item| item.size), Some(2));
    assert_eq!(items.traits.first().map(|item| item.size), Some(1));
    assert!(items.behaving.contains("Wide"));
    assert_eq!(items.inline_tests, [8]);
    assert!(rust::items("fn (").is_err_and(|error| error.starts_with("line 1:")));
    Ok(())
}

#[test]
fn markdown_is_read() {
    let text = "| a | b |\n|---|---|\n| `x` | y, `z` |\n\nsee [this](README.md) and `[not](that)`\n```\n[nor](this)\n```\n";
    assert_eq!(markdown::table(text, &["a", "b"]), [["`x`", "y, `z`"]]);
    assert!(markdown::table(text, &["b", "a"]).is_empty());
    assert_eq!(markdown::code("`x`, y, `z`"), ["x", "z"]);
    assert_eq!(markdown::links(text), [(5, "README.md".to_owned())]);
}

#[test]
fn the_tree_is_seen() -> Checked {
    let files = tree::files(&["rs"])?;
    assert!(
        files.iter().any(|file| file.path == "tests/tidy/tests/tidy/readers.rs" && file.is_test())
    );
    assert!(files.iter().any(|file| file.path == "body/contract/src/lib.rs" && !file.is_test()));
    assert!(files.iter().all(|file| !file.path.starts_with("target/")));
    assert!(workspace::read()?.workspace_packages().len() >= 14);
    assert!(protobuf::generated()?.keys().any(|name| name.ends_with("/cbs.v1.rs")));
    Ok(())
}
