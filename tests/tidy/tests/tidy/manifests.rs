//! Cargo.toml files: every crate is a member, and members inherit.

use tidy::{tree, workspace};

use crate::{Checked, hold};

/// Lines that every member's manifest has, word for word.
const INHERITED: &[&str] = &[
    "version.workspace = true",
    "edition.workspace = true",
    "rust-version.workspace = true",
    "license.workspace = true",
    "publish.workspace = true",
    "[lints]\nworkspace = true",
];

fn manifests() -> std::io::Result<Vec<tree::File>> {
    let files = tree::files(&["toml"])?;
    Ok(files.into_iter().filter(|file| file.path.ends_with("/Cargo.toml")).collect())
}

#[test]
fn a_member_inherits_from_the_workspace() -> Checked {
    let mut missing = Vec::new();
    for manifest in manifests()? {
        let said = INHERITED.iter().filter(|line| !manifest.text.contains(*line));
        missing.extend(
            said.map(|line| format!("{}:1 lacks `{}`", manifest.path, line.replace('\n', " "))),
        );
    }
    hold(
        "Every member inherits lints, version, edition, licence and publish from the workspace.",
        &missing,
    )
}

#[test]
fn versions_stand_in_the_workspace_alone() -> Checked {
    let mut own = Vec::new();
    for manifest in manifests()? {
        let mut of_dependencies = false;
        for (line, text) in manifest.lines() {
            if text.starts_with('[') {
                of_dependencies = text.ends_with("dependencies]");
            } else if of_dependencies && text.contains('=') && !text.contains("workspace = true") {
                own.push(format!("{} {text}", manifest.at(line)));
            }
        }
    }
    hold("The version of a dependency stands in the workspace's manifest alone.", &own)
}

#[test]
fn every_crate_is_a_member_listed_by_name() -> Checked {
    let root = tree::files(&["toml"])?
        .into_iter()
        .find(|file| file.path == "Cargo.toml")
        .ok_or("no Cargo.toml")?;
    let listed: Vec<&str> = root
        .text
        .lines()
        .skip_while(|line| *line != "members = [")
        .skip(1)
        .take_while(|line| *line != "]")
        .map(|line| line.trim().trim_matches([',', '"']))
        .collect();
    let mut broken: Vec<String> = listed
        .iter()
        .filter(|member| member.contains('*'))
        .map(|member| format!("Cargo.toml: {member}"))
        .collect();
    for manifest in manifests()? {
        let folder = manifest.path.trim_end_matches("/Cargo.toml");
        if !listed.contains(&folder) {
            broken.push(format!("{}:1 is no member", manifest.path));
        }
    }
    hold(
        "Members are listed one by one in Cargo.toml, and every crate of the tree is one.",
        &broken,
    )
}

#[test]
fn a_member_says_what_it_is() -> Checked {
    let metadata = workspace::read()?;
    let nameless: Vec<String> = metadata
        .workspace_packages()
        .iter()
        .filter(|package| package.description.as_deref().unwrap_or_default().is_empty())
        .map(|package| format!("{}/Cargo.toml:1", workspace::folder(package)))
        .collect();
    hold("Every member has a description.", &nameless)
}
