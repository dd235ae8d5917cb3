//! Words that must not be in the tree.

use tidy::{rust, tree};

use crate::{Checked, hold};

// The words are written in two parts, so that this file does not break its own rules.
const UNFINISHED: &[&str] =
    &[concat!("TO", "DO"), concat!("FIX", "ME"), concat!("X", "XX"), concat!("unimple", "mented!")];
const IGNORED: &str = concat!("#[", "ignore");
const SLEEP: &str = concat!("sleep", "(");
/// A sleep of no time, which only lets other tasks run.
const YIELD: &str = concat!("sleep", "(0)");
/// Text that follows `//` in Rust, and `#` in Python.
const REASON: &str = concat!(" sleep", ":");

/// Hosts of registries: the source of packages is a setting of the machine, and no registry is
/// written down.
const HOSTS: &[&str] = &[
    concat!("crates", ".io"),
    concat!("pypi", ".org"),
    concat!("python", "hosted.org"),
    concat!("npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("debian", ".org"),
    concat!("pub", ".dev"),
    concat!("docker", ".io"),
    concat!("docker", ".com"),
    concat!("ghcr", ".io"),
    concat!("quay", ".io"),
];

fn has_word(line: &str, word: &str) -> bool {
    let is_part = |letter: char| letter.is_alphanumeric() || letter == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line.get(..at).unwrap_or_default();
        let after = line.get(at + word.len()..).unwrap_or_default();
        !before.ends_with(is_part) && !after.starts_with(is_part)
    })
}

#[test]
fn nothing_is_left_for_later_in_a_comment() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs", "py", "dart", "sh", "cjs", "toml", "yaml", "yml", "proto"])? {
        for (line, text) in file.lines() {
            if UNFINISHED.iter().any(|word| has_word(text, word)) {
                broken.push(format!("{} {}", file.at(line), text.trim()));
            }
        }
    }
    hold("What is left to do is an issue, not a comment or a stub.", &broken)
}

#[test]
fn no_test_is_ignored() -> Checked {
    let mut broken = Vec::new();
    // The second half of a test with two processes runs when its first half starts it.
    let is_started = |text: &str| text.contains("= \"started by ");
    for file in tree::files(&["rs"])? {
        let ignored = file.lines().filter(|(_, text)| text.contains(IGNORED) && !is_started(text));
        broken.extend(ignored.map(|(line, _)| file.at(line)));
    }
    hold(
        "A test that does not run is deleted or mended; one that another test starts says `started by …`.",
        &broken,
    )
}

#[test]
fn tests_wait_for_a_condition() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs", "py"])? {
        // The testkit has the one wait with a deadline; a benchmark measures time.
        if file.path.starts_with("body/testkit/") || file.path.starts_with("tests/bench/") {
            continue;
        }
        let first = match (file.is_test(), file.path.ends_with(".rs")) {
            (true, _) => 1,
            (false, true) => {
                rust::items(&file.text)?.inline_tests.first().copied().unwrap_or(usize::MAX)
            }
            (false, false) => continue,
        };
        let mut reason = false;
        for (line, text) in file.lines() {
            let said = reason || text.contains(REASON) || text.contains(YIELD);
            if line >= first
                && text.contains(SLEEP)
                && !text.trim_start().starts_with("//")
                && !said
            {
                broken.push(format!("{} {}", file.at(line), text.trim()));
            }
            reason = text.contains(REASON);
        }
    }
    let rule = format!(
        "A test waits for a condition, it does not sleep; where sleep is what is tested, say why: `//{REASON} why`."
    );
    hold(&rule, &broken)
}

/// Number of seconds that any step may take on a busy machine, which compiles beside its tests.
const BUSY_SECS: u64 = 4;

/// True if a line asserts that something took less time than a busy machine may take.
fn bounds_a_busy_machine(line: &str) -> bool {
    let bounds = |unit: &str| {
        line.split_once(unit).map(|(_, rest)| rest.split(')').next().unwrap_or_default())
    };
    let seconds = bounds("< Duration::from_secs(").and_then(|count| count.parse::<u64>().ok());
    line.contains("assert")
        && (bounds("< Duration::from_millis(").is_some()
            || seconds.is_some_and(|seconds| seconds < BUSY_SECS))
}

#[test]
fn no_test_fails_on_a_busy_machine() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&["rs"])? {
        let found = file.lines().filter(|(_, text)| bounds_a_busy_machine(text));
        broken.extend(found.map(|(line, text)| format!("{} {}", file.at(line), text.trim())));
    }
    let rule = format!(
        "A bound on the clock is one that no busy machine reaches: {BUSY_SECS} s at the least, or a clock that is paused \
         and compared exactly."
    );
    hold(&rule, &broken)
}

#[test]
fn the_bounds_that_a_busy_machine_breaks_are_seen() {
    let bound = |unit: &str| format!("assert!(began.elapsed() < Duration::{unit}, \"late\");");
    assert!(
        bounds_a_busy_machine(&bound("from_millis(900)"))
            && bounds_a_busy_machine(&bound("from_secs(3)"))
    );
    assert!(!bounds_a_busy_machine(&bound("from_secs(10)")));
}

#[test]
fn no_registry_is_named() -> Checked {
    let mut broken = Vec::new();
    for file in tree::files(&[])?.iter().filter(|file| !file.path.ends_with(".lock")) {
        for (line, text) in file.lines() {
            if let Some(host) = HOSTS.iter().find(|host| text.contains(*host)) {
                broken.push(format!("{} names {host}", file.at(line)));
            }
        }
    }
    hold(
        "No file names a registry's host: where packages come from is this machine's matter.",
        &broken,
    )
}
