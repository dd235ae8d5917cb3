//! Foreign packages: the offline part of cargo-deny, read from the same deny.toml.

use tidy::{licence, tree, workspace};

use crate::{Checked, hold};

/// Reads the strings of a list in deny.toml.
fn list(name: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(tree::root().join("deny.toml"))?;
    let lines = text.lines().skip_while(|line| *line != format!("{name} = [")).skip(1);
    let entries = lines.take_while(|line| *line != "]").filter_map(|line| line.split('"').nth(1));
    let entries: Vec<String> = entries.map(str::to_owned).collect();
    if entries.is_empty() {
        Err(format!("deny.toml has no list `{name}`").into())
    } else {
        Ok(entries)
    }
}

#[test]
fn licences_are_permissive() -> Checked {
    let allowed = list("allow")?;
    let mut broken = Vec::new();
    for package in workspace::read()?.packages {
        let expression = package.license.clone().unwrap_or_default();
        if !licence::is_allowed(&expression, &allowed) {
            broken.push(format!("{} {}: `{expression}`", package.name, package.version));
        }
    }
    hold("Every dependency has a licence that deny.toml allows.", &broken)
}

#[test]
fn banned_crates_stay_out() -> Checked {
    let banned = list("deny")?;
    // The lock file has the packages of every platform and every feature.
    let lock = std::fs::read_to_string(tree::root().join("Cargo.lock"))?;
    let broken: Vec<String> = banned
        .into_iter()
        .filter(|name| lock.lines().any(|line| line == format!("name = \"{name}\"")))
        .collect();
    hold("What deny.toml bans is not in Cargo.lock.", &broken)
}

#[test]
fn packages_come_from_the_public_registry() -> Checked {
    // Written in two parts: a registry's host is nowhere in the tree but in the lock file.
    let registry = concat!("registry+https://github.com/rust-lang/crates", ".io-index");
    let lock = std::fs::read_to_string(tree::root().join("Cargo.lock"))?;
    let broken: Vec<String> = lock
        .lines()
        .enumerate()
        .filter(|(_, line)| {
            line.starts_with("source = ") && *line != format!("source = \"{registry}\"")
        })
        .map(|(index, line)| format!("Cargo.lock:{} {line}", index + 1))
        .collect();
    hold(
        "Every dependency comes from the public registry: no other registry, no repository.",
        &broken,
    )
}

#[test]
fn the_lock_is_checked_in() -> Checked {
    let ignored = std::fs::read_to_string(tree::root().join(".gitignore"))?;
    let broken: Vec<String> =
        ignored.lines().filter(|line| line.contains("Cargo.lock")).map(str::to_owned).collect();
    hold("Cargo.lock is checked in: every clone builds the same.", &broken)
}
