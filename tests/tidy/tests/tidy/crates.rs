//! The table of crates against what Cargo builds, and against ARCHITECTURE.md.

use std::{collections::BTreeSet, error::Error};

use cargo_metadata::{DependencyKind, Package};
use tidy::{
    crates::{CELL_TESTS_USE, CELL_USES, CONTRACT_DEPENDENCIES_MAX, CRATES, WALLED_OFF},
    markdown, tree, workspace,
};

use crate::{Checked, hold};

/// Returns the table's name of a folder: all cells have one row, `cells/*`.
fn folder_of(folder: &str) -> &str {
    if folder.starts_with("cells/") { "cells/*" } else { folder }
}

/// Returns the crates that a package names, for its code and for its tests.
fn edges(package: &Package) -> (BTreeSet<String>, BTreeSet<String>) {
    let name = |folder: &str, name: &str| {
        if folder.contains("/cells/") { "cells/*".to_owned() } else { name.to_owned() }
    };
    let of = |tests: bool| -> BTreeSet<String> {
        let ours = package
            .dependencies
            .iter()
            .filter_map(|dependency| Some((dependency, dependency.path.as_ref()?)));
        ours.filter(|(dependency, _)| (dependency.kind == DependencyKind::Development) == tests)
            .map(|(dependency, path)| name(path.as_str(), &dependency.name))
            .collect()
    };
    let uses = of(false);
    let tests_use = of(true).difference(&uses).cloned().collect();
    (uses, tests_use)
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

fn show(list: &BTreeSet<String>) -> String {
    if list.is_empty() {
        "nothing".to_owned()
    } else {
        list.iter().cloned().collect::<Vec<_>>().join(", ")
    }
}

#[test]
fn crates_use_what_the_table_says() -> Checked {
    let mut broken = Vec::new();
    for package in workspace::read()?.workspace_packages() {
        let folder = workspace::folder(package);
        let place = format!("{folder}/Cargo.toml:1");
        let Some(rule) = CRATES.iter().find(|rule| rule.folder == folder_of(&folder)) else {
            broken.push(format!("{place} is a crate that tests/tidy/src/crates.rs does not know"));
            continue;
        };
        let (uses, tests_use) = edges(package);
        for (what, is, may) in
            [("uses", uses, rule.uses), ("in tests uses", tests_use, rule.tests_use)]
        {
            let may = names(may);
            // A cell need not use all that cells may use; any other unused edge must leave the
            // table.
            let fits = if rule.folder == "cells/*" { is.is_subset(&may) } else { is == may };
            if !fits {
                broken.push(format!("{place} {what} {}; the table says {}", show(&is), show(&may)));
            }
        }
    }
    hold(
        "A crate uses the crates that the table of crates names, and no other (tests/tidy/src/crates.rs).",
        &broken,
    )
}

#[test]
fn walled_off_libraries_stay_in_their_crates() -> Checked {
    let mut broken = Vec::new();
    for package in workspace::read()?.workspace_packages() {
        for dependency in &package.dependencies {
            let Some((name, crates, why)) =
                WALLED_OFF.iter().find(|(name, ..)| *name == dependency.name)
            else {
                continue;
            };
            if !crates.contains(&package.name.as_str()) {
                let place = workspace::folder(package);
                broken.push(format!(
                    "{place}/Cargo.toml:1 names {name}, which only {} may: {why}",
                    crates.join(", ")
                ));
            }
        }
    }
    hold("A library that a crate walls off is named by that crate alone.", &broken)
}

#[test]
fn the_contract_stands_on_at_most_ten_libraries() -> Checked {
    let metadata = workspace::read()?;
    let contract =
        metadata.workspace_packages().into_iter().find(|package| package.name.as_str() == "cbs");
    let contract = contract.ok_or("no package `cbs`")?;
    let names: Vec<String> = contract
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.clone())
        .collect();
    let broken = if names.len() > CONTRACT_DEPENDENCIES_MAX { names } else { Vec::new() };
    hold("The contract has no dependency of ours and at most ten others.", &broken)
}

#[test]
fn cells_depend_on_the_contract_alone() -> Checked {
    let mut broken = Vec::new();
    for package in workspace::read()?.workspace_packages() {
        let folder = workspace::folder(package);
        if !folder.starts_with("cells/") {
            continue;
        }
        for dependency in &package.dependencies {
            let in_tests = dependency.kind == DependencyKind::Development;
            let name = dependency.name.as_str();
            if !(CELL_USES.contains(&name) || in_tests && CELL_TESTS_USE.contains(&name)) {
                broken.push(format!("{folder}/Cargo.toml:1 names {name}"));
            }
        }
    }
    hold(
        "Cells depend on `cbs` alone, beside serde for their types; their tests on testkit and tokio.",
        &broken,
    )
}

/// A row of ARCHITECTURE.md: folder, package, uses, tests use.
type Row = (String, String, BTreeSet<String>, BTreeSet<String>);

fn rows() -> Result<Vec<Row>, Box<dyn Error>> {
    let text = std::fs::read_to_string(tree::root().join("ARCHITECTURE.md"))?;
    let rows = markdown::table(&text, &["folder", "package", "purpose", "may use"]);
    let mut read = Vec::new();
    for row in rows {
        let [folder, package, _, may_use] = row.as_slice() else {
            return Err(format!("{row:?} has no 4 cells").into());
        };
        let (uses, tests_use) = may_use.split_once("in tests").unwrap_or((may_use, ""));
        let code = |text: &str| markdown::code(text).into_iter().collect::<BTreeSet<_>>();
        let first = |text: &str| markdown::code(text).into_iter().next().unwrap_or_default();
        read.push((
            first(folder).trim_end_matches('/').to_owned(),
            first(package),
            code(uses),
            code(tests_use),
        ));
    }
    Ok(read)
}

#[test]
fn architecture_md_shows_the_same_table() -> Checked {
    let rows = rows()?;
    let mut broken = Vec::new();
    for rule in CRATES {
        match rows.iter().find(|(folder, ..)| folder == rule.folder) {
            None => broken.push(format!("ARCHITECTURE.md has no row for `{}`", rule.folder)),
            Some((_, _, uses, tests_use))
                if *uses != names(rule.uses) || *tests_use != names(rule.tests_use) =>
            {
                let uses = show(&names(rule.uses));
                let tests_use = show(&names(rule.tests_use));
                broken.push(format!("`{}` may use {uses}; in tests {tests_use}", rule.folder));
            }
            Some(_) => {}
        }
    }
    for (folder, ..) in &rows {
        if !CRATES.iter().any(|rule| rule.folder == folder) {
            broken.push(format!("ARCHITECTURE.md has a row for `{folder}`, which is no crate"));
        }
    }
    for package in workspace::read()?.workspace_packages() {
        let folder = workspace::folder(package);
        let row = rows.iter().find(|(other, ..)| *other == folder);
        if row.is_some_and(|(_, name, ..)| *name != package.name.as_str()) {
            broken.push(format!("the package in `{folder}` is called `{}`", package.name));
        }
    }
    hold("ARCHITECTURE.md shows the table of crates as tests/tidy/src/crates.rs holds it.", &broken)
}
