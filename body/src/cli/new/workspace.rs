//! The Cargo workspace around a new package: Cargo refuses a package below a workspace if it is not
//! a member.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Relation of a new package to the workspace around it.
#[derive(Debug, PartialEq)]
pub(super) enum Membership {
    /// There is no workspace.
    Alone,
    /// The package is a member already, by a pattern.
    Member,
    /// The package becomes a member with this new text of the workspace's manifest.
    Joins { manifest: PathBuf, text: String },
    /// The workspace's list of members cannot be extended, so the package declares a workspace of
    /// its own.
    Apart,
}

/// Finds the workspace around a package's folder.
pub(super) fn around(package: &Path) -> (Membership, Option<PathBuf>) {
    for folder in package.ancestors().skip(1) {
        let manifest = folder.join("Cargo.toml");
        let Ok(text) = fs::read_to_string(&manifest) else { continue };
        if !text.lines().any(|line| line.trim() == "[workspace]") {
            continue;
        }
        let member = package.strip_prefix(folder).unwrap_or(package).to_string_lossy().into_owned();
        let membership = match join(&text, &member) {
            Joined::Already => Membership::Member,
            Joined::Text(text) => Membership::Joins { manifest: manifest.clone(), text },
            Joined::No => Membership::Apart,
        };
        return (membership, Some(manifest));
    }
    (Membership::Alone, None)
}

/// True if packages of the workspace can inherit its lints.
pub(super) fn has_lints(manifest: &Path) -> bool {
    fs::read_to_string(manifest)
        .is_ok_and(|text| text.lines().any(|line| line.trim().starts_with("[workspace.lints")))
}

#[derive(Debug, PartialEq)]
enum Joined {
    Already,
    Text(String),
    No,
}

/// Adds a member to the list `members = [ … ]` of a manifest, and keeps the form of the list.
fn join(manifest: &str, member: &str) -> Joined {
    let Some((start, end)) = members(manifest) else { return Joined::No };
    let list = manifest.get(start..end).unwrap_or("");
    let pattern = member.rsplit_once('/').map(|(folder, _)| format!("\"{folder}/*\""));
    if list.contains(&format!("\"{member}\""))
        || pattern.is_some_and(|pattern| list.contains(&pattern))
    {
        return Joined::Already;
    }
    let head = manifest.get(..start).unwrap_or("");
    let tail = manifest.get(end..).unwrap_or("");
    let Some((body, last)) = list.rsplit_once('\n') else {
        let comma =
            if list.trim().is_empty() || list.trim_end().ends_with(',') { "" } else { ", " };
        return Joined::Text(format!("{head}{}{comma}\"{member}\"{tail}", list.trim_end()));
    };
    // One member a line: the new one comes last, indented as the one before.
    let neighbour = body.lines().next_back().unwrap_or("    ");
    let indent: String = neighbour.chars().take_while(|c| c.is_whitespace()).collect();
    let comma = if neighbour.trim_end().ends_with([',', '[']) || neighbour.trim().is_empty() {
        ""
    } else {
        ","
    };
    Joined::Text(format!("{head}{body}{comma}\n{indent}\"{member}\",\n{last}{tail}"))
}

/// Returns the start and end of the list's content. Returns `None` for a form that this function
/// cannot read with certainty, such as a list with comments.
fn members(manifest: &str) -> Option<(usize, usize)> {
    let section = manifest.find("[workspace]")?;
    let inside = manifest.get(section..)?;
    let section_end = inside.get(1..)?.find("\n[").map_or(inside.len(), |end| end + 1);
    let inside = inside.get(..section_end)?;
    let key = inside.find("\nmembers")? + 1;
    let open = inside.get(key..)?.find('[')? + key;
    if inside.get(key + "members".len()..open)?.trim() != "=" {
        return None;
    }
    let close = inside.get(open..)?.find(']')? + open;
    (!inside.get(open..close)?.contains('#')).then_some((section + open + 1, section + close))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(manifest: &str) -> String {
        match join(manifest, "cells/logic_shout") {
            Joined::Text(text) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_member_joins_a_list_of_lines() {
        let manifest = "[workspace]\nresolver = \"3\"\nmembers = [\n    \"body\",\n    \"cells/a\",\n]\n\n[profile.dev]\n";
        let expected = "[workspace]\nresolver = \"3\"\nmembers = [\n    \"body\",\n    \"cells/a\",\n    \
                        \"cells/logic_shout\",\n]\n\n[profile.dev]\n";
        assert_eq!(joined(manifest), expected);
    }

    #[test]
    fn a_last_line_without_a_comma_gets_one() {
        assert_eq!(
            joined("[workspace]\nmembers = [\n  \"a\"\n]\n"),
            "[workspace]\nmembers = [\n  \"a\",\n  \"cells/logic_shout\",\n]\n"
        );
    }

    #[test]
    fn a_member_joins_a_list_in_one_line() {
        assert_eq!(
            joined("[workspace]\nmembers = []\n"),
            "[workspace]\nmembers = [\"cells/logic_shout\"]\n"
        );
        assert_eq!(
            joined("[workspace]\nmembers = [\"a\"]"),
            "[workspace]\nmembers = [\"a\", \"cells/logic_shout\"]"
        );
    }

    #[test]
    fn a_pattern_makes_it_a_member_already() {
        assert_eq!(
            join("[workspace]\nmembers = [\"cells/*\"]", "cells/logic_shout"),
            Joined::Already
        );
        assert_eq!(
            join("[workspace]\nmembers = [\"cells/logic_shout\"]", "cells/logic_shout"),
            Joined::Already
        );
    }

    #[test]
    fn a_list_that_is_not_read_for_certain_is_left_alone() {
        for manifest in [
            "[workspace]\n",
            "[workspace]\nmembers = [ # ] later\n]\n",
            "[workspace]\n[workspace.dependencies]\nmembers = [\"a\"]\n",
        ] {
            assert_eq!(join(manifest, "cells/logic_shout"), Joined::No, "{manifest}");
        }
    }

    #[test]
    fn the_workspace_above_is_found_past_packages() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("Cargo.toml"), "[workspace]\nmembers = [\"body\"]\n").unwrap();
        fs::create_dir(root.path().join("app")).unwrap();
        fs::write(root.path().join("app/Cargo.toml"), "[package]\nname = \"app\"\n").unwrap();
        let (membership, manifest) = around(&root.path().join("app/cells/logic_shout"));
        assert_eq!(manifest, Some(root.path().join("Cargo.toml")));
        assert!(
            matches!(membership, Membership::Joins { text, .. } if text.contains("\"app/cells/logic_shout\""))
        );
        assert!(!has_lints(&root.path().join("Cargo.toml")));
    }
}
