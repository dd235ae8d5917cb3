//! Documents are true.

use tidy::{markdown, tree};

use crate::{Checked, hold};

#[test]
fn links_lead_somewhere() -> Checked {
    let root = tree::root();
    let mut broken = Vec::new();
    for file in tree::files(&["md"])? {
        let folder =
            root.join(&file.path).parent().map(std::path::Path::to_path_buf).unwrap_or_default();
        for (line, target) in markdown::links(&file.text) {
            let path = target.split(['#', ' ']).next().unwrap_or_default();
            let is_elsewhere = target.contains("://") || target.starts_with("mailto:");
            if !is_elsewhere && !path.is_empty() && !folder.join(path).exists() {
                broken.push(format!("{} {target}", file.at(line)));
            }
        }
    }
    hold("A link inside the repository leads to a file.", &broken)
}

#[test]
fn architecture_md_fits_one_reading() -> Checked {
    let text = std::fs::read_to_string(tree::root().join("ARCHITECTURE.md"))?;
    let lines = text.lines().count();
    let broken =
        if lines > 300 { vec![format!("ARCHITECTURE.md has {lines} lines")] } else { Vec::new() };
    hold("ARCHITECTURE.md has up to 300 lines.", &broken)
}
