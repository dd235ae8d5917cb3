//! Files of a new cell, for each language.

use cbs::CellName;
use clap::ValueEnum;

/// The languages of a new cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Language {
    Rust,
    Python,
    Dart,
}

/// Paths relative to the cell's folder, with their content. Both are templates.
type Files = &'static [(&'static str, &'static str)];

const RUST: Files = &[
    ("Cargo.toml", include_str!("templates/cell-rust/Cargo.toml.txt")),
    ("README.md", include_str!("templates/cell-rust/README.md.txt")),
    ("build.rs", include_str!("templates/cell-rust/build.rs.txt")),
    ("src/lib.rs", include_str!("templates/cell-rust/lib.rs.txt")),
    ("src/main.rs", include_str!("templates/cell-rust/main.rs.txt")),
];
const PYTHON: Files = &[
    ("{{module}}.py", include_str!("templates/cell-python/cell.py.txt")),
    ("test_{{module}}.py", include_str!("templates/cell-python/test_cell.py.txt")),
    ("README.md", include_str!("templates/cell-python/README.md.txt")),
];
const DART: Files = &[
    ("pubspec.yaml", include_str!("templates/cell-dart/pubspec.yaml.txt")),
    ("README.md", include_str!("templates/cell-dart/README.md.txt")),
    ("bin/main.dart", include_str!("templates/cell-dart/main.dart.txt")),
    ("lib/{{module}}.dart", include_str!("templates/cell-dart/cell.dart.txt")),
    ("test/{{module}}_test.dart", include_str!("templates/cell-dart/cell_test.dart.txt")),
];

impl Language {
    /// Returns the files of the cell's folder.
    pub(super) fn files(self) -> Files {
        match self {
            Self::Rust => RUST,
            Self::Python => PYTHON,
            Self::Dart => DART,
        }
    }

    /// Returns the cell's spec.
    pub(super) fn spec(self) -> &'static str {
        match self {
            Self::Rust => include_str!("templates/cell-rust/spec.yaml"),
            Self::Python => include_str!("templates/cell-python/spec.yaml"),
            Self::Dart => include_str!("templates/cell-dart/spec.yaml"),
        }
    }

    /// Returns the name of the cell's function, which must differ from the keywords of the language
    /// and the names in the template.
    pub(super) fn function(self, name: &CellName) -> String {
        let part = name.part().replace('-', "_");
        match self {
            Self::Dart => camel(&part),
            _ if self.words().contains(&part.as_str()) => format!("{part}_"),
            _ => part,
        }
    }

    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Rust => &[
                "abstract", "as", "async", "await", "become", "box", "break", "cell", "const",
                "continue", "crate", "do", "dyn", "else", "enum", "extern", "false", "final", "fn",
                "for", "gen", "if", "impl", "in", "let", "loop", "macro", "match", "mod", "move",
                "mut", "override", "priv", "pub", "ref", "return", "self", "static", "struct",
                "super", "tests", "trait", "true", "try", "type", "typeof", "union", "unsafe",
                "unsized", "use", "virtual", "where", "while", "yield",
            ],
            Self::Python => &[
                "and",
                "as",
                "assert",
                "async",
                "asyncio",
                "await",
                "break",
                "cbs",
                "cell",
                "class",
                "continue",
                "dataclass",
                "dataclasses",
                "def",
                "del",
                "elif",
                "else",
                "except",
                "finally",
                "for",
                "from",
                "global",
                "if",
                "import",
                "in",
                "is",
                "lambda",
                "nonlocal",
                "not",
                "or",
                "pass",
                "pytest",
                "raise",
                "return",
                "str",
                "try",
                "while",
                "with",
                "yield",
            ],
            Self::Dart => &[],
        }
    }
}

/// Returns for example `reTryCell` for `re_try`, as Dart writes a function's name. It is never a
/// keyword.
fn camel(part: &str) -> String {
    let mut words = part.split('_').filter(|word| !word.is_empty());
    let first = words.next().unwrap_or_default().to_owned();
    let rest = words.map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    });
    rest.fold(first, |name, word| name + &word) + "Cell"
}
