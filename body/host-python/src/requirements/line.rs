//! One line of pip's format of requirements, as far as it names files.

/// Kind of a line of requirements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// An empty line or a comment.
    Empty,
    /// A package that every environment has.
    Ours,
    /// The lines of another file: `-r more.txt`.
    Requirements(&'a str),
    /// The lines of another file, as limits of versions: `-c limits.txt`.
    Constraints(&'a str),
    /// A folder or a page with packages: `--find-links wheels`.
    Links(&'a str),
    /// A folder with a package that is used in its place: `-e ./package`.
    Editable(&'a str),
    /// A package at a path: `./package`, `wheels/six.whl`, `six @ file:wheels/six.whl`.
    Local(&'a str),
    /// A package by its name or its address.
    Package,
    /// Any other option: `--index-url …`.
    Option,
}

/// Packages that the body's program or every environment already has.
const OURS: [&str; 2] = ["cbs-sdk", "msgspec"];
/// File name endings that pip takes for packages.
const ARCHIVES: [&str; 9] =
    [".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz"];

impl<'a> Line<'a> {
    /// Reads a line without its comment and the blanks around it.
    pub(super) fn read(line: &'a str) -> Self {
        let option = |short, long| option(line, short, long);
        if line.is_empty() {
            Self::Empty
        } else if let Some(file) = option("-r", "--requirement") {
            Self::Requirements(file)
        } else if let Some(file) = option("-c", "--constraint") {
            Self::Constraints(file)
        } else if let Some(place) = option("-f", "--find-links") {
            Self::Links(place)
        } else if let Some(place) = option("-e", "--editable") {
            // A name alone is a folder here: `-e package`.
            let folder = || (!place.contains(':')).then(|| without_extras(place));
            local(place).or_else(folder).map_or(Self::Package, Self::Editable)
        } else if line.starts_with('-') {
            Self::Option
        } else if is_ours(line) {
            Self::Ours
        } else {
            local(line).map_or(Self::Package, Self::Local)
        }
    }
}

/// Returns true if this is an address that pip fetches.
pub(super) fn is_address(text: &str) -> bool {
    text.contains("://") && !text.starts_with("file:")
}

/// Returns the value of an option without quotes. pip takes `-r x`, `-rx`, `--requirement x` and
/// `--requirement=x`.
fn option<'a>(line: &'a str, short: &str, long: &str) -> Option<&'a str> {
    let value = match line.strip_prefix(long) {
        Some(rest) => {
            rest.strip_prefix('=').or_else(|| rest.starts_with([' ', '\t']).then_some(rest))?
        }
        None => line.strip_prefix(short)?,
    };
    let value = value.trim();
    let quoted = |mark| value.strip_prefix(mark).and_then(|rest| rest.strip_suffix(mark));
    Some(quoted('"').or_else(|| quoted('\'')).unwrap_or(value))
}

fn is_ours(line: &str) -> bool {
    let name = line
        .split(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c))
        .next()
        .unwrap_or_default();
    OURS.contains(&name.to_ascii_lowercase().replace(['_', '.'], "-").as_str())
}

/// Removes the extras from a name: `./package[fast]` becomes `./package`.
fn without_extras(name: &str) -> &str {
    name.strip_suffix(']').and_then(|rest| rest.rsplit_once('[')).map_or(name, |(path, _)| path)
}

/// Returns the path in a requirement. Returns `None` if there is none, or if it is written as a URL
/// is.
fn local(line: &str) -> Option<&str> {
    let whole = line.split(" --").next().unwrap_or(line);
    if let Some((before, path)) = whole.split_once("file:") {
        let path = path.split([' ', '\t', ';', '#']).next().unwrap_or(path);
        let path =
            path.strip_prefix("//localhost").or_else(|| path.strip_prefix("//")).unwrap_or(path);
        return (!before.ends_with('+') && !path.contains('%')).then_some(path);
    }
    if whole.contains("://") {
        return None;
    }
    let name = without_extras(whole.split([';', '#']).next().unwrap_or(whole).trim());
    let is_archive = ARCHIVES.iter().any(|ending| name.to_ascii_lowercase().ends_with(ending));
    (name.starts_with('.') || name.contains('/') || is_archive).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_as_pip_reads_it() {
        for (line, read) in [
            ("", Line::Empty),
            ("six==1.16.0", Line::Package),
            ("six[a,b]>=1; python_version < '4'", Line::Package),
            ("cbs-sdk[fast]>=1", Line::Ours),
            ("CBS_sdk", Line::Ours),
            ("msgspec==0.18", Line::Ours),
            ("msgspec-more", Line::Package),
            ("-r base.txt", Line::Requirements("base.txt")),
            ("-rbase.txt", Line::Requirements("base.txt")),
            ("--requirement=base.txt", Line::Requirements("base.txt")),
            ("--requirement 'my base.txt'", Line::Requirements("my base.txt")),
            ("-c  limits.txt", Line::Constraints("limits.txt")),
            ("--constraint\tlimits.txt", Line::Constraints("limits.txt")),
            ("-f wheels", Line::Links("wheels")),
            ("--find-links=wheels", Line::Links("wheels")),
            ("--require-hashes", Line::Option),
            ("--index-url https://example.org/simple", Line::Option),
            ("-e ./x[fast]", Line::Editable("./x")),
            ("--editable=.", Line::Editable(".")),
            ("-e package[fast]", Line::Editable("package")),
            ("-e git+https://example.org/x.git#egg=x", Line::Package),
            ("./pkg ; python_version < '4'", Line::Local("./pkg")),
            ("../pkg --config-settings x=y", Line::Local("../pkg")),
            ("wheels/six.whl", Line::Local("wheels/six.whl")),
            ("six.TAR.GZ", Line::Local("six.TAR.GZ")),
            ("file:./pkg", Line::Local("./pkg")),
            (
                "six @ file:///opt/six.whl#sha256=00 ; python_version < '4'",
                Line::Local("/opt/six.whl"),
            ),
            ("six @ file://localhost/opt/six.whl", Line::Local("/opt/six.whl")),
            ("six @ git+file:///opt/six", Line::Package),
            ("https://example.org/six.whl", Line::Package),
        ] {
            assert_eq!(Line::read(line), read, "{line}");
        }
    }
}
