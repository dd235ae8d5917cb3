//! Reader of requirements with everything that they name: further requirements files, and packages
//! at paths.
//!
//! pip receives a copy in UTF-8, without the packages that every environment has. The copy is in
//! another folder, so its `-r` and `-c` options must name copies too. Other relative paths are
//! relative to the folder that pip runs in, as with `pip install -r requirements.txt` in the folder
//! of the cell.

use std::{
    fs,
    path::{Component, Path, PathBuf},
};

use model::folder_of;

use super::line::{Line, is_address};

/// Limit of the number of files: more files than this name each other in a circle.
const FILES_MAX: usize = 64;

/// Content of a requirements file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Asked {
    /// Texts that pip reads: the file itself, then those that it names, under the names of
    /// [`copy`].
    pub(super) texts: Vec<String>,
    /// True if there is anything to install.
    pub(super) is_any: bool,
    /// True if pip requires a hash of everything that it installs.
    pub(super) is_hashed: bool,
    /// Packages at paths, and folders of packages.
    pub(super) places: Vec<InstalledPath>,
    /// Files and folders that are named by relative paths. They are needed wherever the cell runs.
    pub(super) named: Vec<PathBuf>,
}

/// Path on this machine that is installed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct InstalledPath {
    pub(super) path: PathBuf,
    pub(super) kind: InstalledPathKind,
}

/// Kind of use that pip makes of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum InstalledPathKind {
    /// A package that is copied.
    Package,
    /// A package that is used in its place: its code may change.
    Editable,
    /// A folder of packages: pip takes the packages that it needs.
    Links,
}

/// Returns the name of a copy, by its index in [`Asked::texts`].
pub(super) fn copy(index: usize) -> String {
    if index == 0 { "requirements.txt".to_owned() } else { format!("requirements-{index}.txt") }
}

impl Asked {
    /// Reads requirements that are in this file, or were taken from it.
    ///
    /// # Errors
    /// The text for the operator names the file: it cannot be read, or it is named and is not
    /// there.
    pub(super) fn of(file: &Path, text: &str) -> Result<Self, String> {
        let mut asked = Self::default();
        let folder = folder_of(file);
        Reader { asked: &mut asked, folder, is_relative: true }.read(file, text, false)?;
        Ok(asked)
    }
}

/// Result for one line: the line of the copy, or a file that the line names.
enum CopiedLine<'a> {
    Line(String),
    File(NamedFile<'a>),
}

/// File that a line names.
struct NamedFile<'a> {
    named: &'a str,
    path: PathBuf,
    text: String,
    is_limit: bool,
}

struct Reader<'a> {
    asked: &'a mut Asked,
    /// Folder that pip runs in.
    folder: &'a Path,
    /// Set while the file that is read was named by a relative path.
    is_relative: bool,
}

impl Reader<'_> {
    /// Reads one file. Returns its index in the texts.
    fn read(&mut self, file: &Path, text: &str, is_limit: bool) -> Result<usize, String> {
        let index = self.asked.texts.len();
        if index == FILES_MAX {
            return Err(format!(
                "{}: more than {FILES_MAX} files name each other by `-r` and `-c`",
                file.display()
            ));
        }
        self.asked.texts.push(String::new());
        let mut copy = String::new();
        for logical in logical_lines(text) {
            let kept = self.line(file, &logical, is_limit).map_err(|reason| {
                // The lines of a `pyproject.toml` are not those of the list.
                let is_list = file.extension().is_some_and(|extension| extension != "toml");
                let number = if is_list { format!(":{}", logical.number) } else { String::new() };
                format!("{}{number}: {reason}", file.display())
            })?;
            match kept {
                CopiedLine::Line(line) => copy.push_str(&line),
                CopiedLine::File(further) => copy.push_str(&self.further(&further)?),
            }
            // The copy keeps the number of lines, so that line numbers in pip's messages fit the
            // file itself.
            (0..logical.count).for_each(|_| copy.push('\n'));
        }
        if let Some(text) = self.asked.texts.get_mut(index) {
            *text = copy;
        }
        Ok(index)
    }

    /// Returns the copy's line for this line, or the file that it names.
    fn line<'a>(
        &mut self,
        file: &Path,
        logical: &'a Logical,
        is_limit: bool,
    ) -> Result<CopiedLine<'a>, String> {
        let text = logical.text.as_str();
        self.asked.is_hashed |= text.contains("--hash") || text.starts_with("--require-hashes");
        let asks = match Line::read(text) {
            Line::Empty | Line::Ours => return Ok(CopiedLine::Line(String::new())),
            Line::Requirements(named) if !is_address(named) => {
                return self.open(file, named, false).map(CopiedLine::File);
            }
            Line::Constraints(named) if !is_address(named) => {
                return self.open(file, named, true).map(CopiedLine::File);
            }
            Line::Links(named) if !is_address(named) && !named.starts_with("file:") => {
                return self.links(file, named).map(CopiedLine::Line);
            }
            Line::Editable(named) => {
                self.package(named, InstalledPathKind::Editable).map(|()| !is_limit)?
            }
            Line::Local(named) => {
                self.package(named, InstalledPathKind::Package).map(|()| !is_limit)?
            }
            Line::Requirements(_) | Line::Package => !is_limit,
            Line::Constraints(_) | Line::Links(_) | Line::Option => false,
        };
        self.asked.is_any |= asks;
        Ok(CopiedLine::Line(text.to_owned()))
    }

    /// Reads another file, whose path is relative to the file that names it.
    fn open<'a>(
        &self,
        file: &Path,
        named: &'a str,
        is_limit: bool,
    ) -> Result<NamedFile<'a>, String> {
        let path = self.path(folder_of(file), named);
        let content = fs::read(&path).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("there is no file {}", path.display()),
            _ => format!("{}: {error}", path.display()),
        })?;
        let text = decode(&content).map_err(|reason| format!("{}: {reason}", path.display()))?;
        Ok(NamedFile { named, path, text, is_limit })
    }

    /// Reads another file. Returns the line that names its copy.
    fn further(&mut self, further: &NamedFile<'_>) -> Result<String, String> {
        let was_relative = self.is_relative;
        self.is_relative &= !Path::new(further.named).is_absolute();
        self.note(&further.path, further.named);
        let index = self.read(&further.path, &further.text, further.is_limit)?;
        self.is_relative = was_relative;
        Ok(format!("{} {}", if further.is_limit { "-c" } else { "-r" }, copy(index)))
    }

    /// Notes a folder of packages, relative to the file that names it or to the folder that pip
    /// runs in. Returns the line for the copy, with the absolute path.
    fn links(&mut self, file: &Path, named: &str) -> Result<String, String> {
        let places = [folder_of(file), self.folder].map(|folder| self.path(folder, named));
        let path = places
            .into_iter()
            .find(|path| path.exists())
            .ok_or_else(|| format!("there is no `{named}` in {}", self.folder.display()))?;
        let absolute = std::path::absolute(&path).map_err(|error| error.to_string())?;
        self.note(&path, named);
        self.asked.places.push(InstalledPath { path, kind: InstalledPathKind::Links });
        let quoted = absolute.display().to_string().replace('\'', "'\"'\"'");
        Ok(format!("--find-links '{quoted}'"))
    }

    /// Notes a package at a path relative to the folder that pip runs in.
    fn package(&mut self, named: &str, kind: InstalledPathKind) -> Result<(), String> {
        let path = self.path(self.folder, named);
        if !path.exists() {
            return Err(format!("there is no `{named}` in {}", self.folder.display()));
        }
        if path.is_dir()
            && !["pyproject.toml", "setup.py"].iter().any(|file| path.join(file).is_file())
        {
            return Err(format!(
                "`{named}` is no package: it has no pyproject.toml and no setup.py"
            ));
        }
        self.note(&path, named);
        self.asked.places.push(InstalledPath { path, kind });
        Ok(())
    }

    /// Joins a folder and a path. A path outside pip's folder stays relative to that folder:
    /// `cells/pay/../base.txt`.
    fn path(&self, from: &Path, named: &str) -> PathBuf {
        let whole = from.join(named);
        whole.strip_prefix(self.folder).map(|path| self.folder.join(plain(path))).unwrap_or(whole)
    }

    fn note(&mut self, path: &Path, named: &str) {
        if self.is_relative
            && !Path::new(named).is_absolute()
            && !self.asked.named.iter().any(|known| known == path)
        {
            self.asked.named.push(path.to_owned());
        }
    }
}

/// Decodes the text of a file. Accepts UTF-8 and UTF-16 with a byte order mark, as editors and
/// shells on Windows write.
///
/// # Errors
/// The file has another encoding; the text says what to do.
pub(super) fn decode(content: &[u8]) -> Result<String, &'static str> {
    let wrong = "it is not UTF-8; save it as UTF-8";
    let wide = |content: &[u8], unit: fn([u8; 2]) -> u16| {
        let (pairs, rest) = content.as_chunks::<2>();
        let text =
            char::decode_utf16(pairs.iter().map(|pair| unit(*pair))).collect::<Result<String, _>>();
        text.ok().filter(|_| rest.is_empty()).ok_or(wrong)
    };
    match content {
        [0xff, 0xfe, rest @ ..] => wide(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => wide(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => String::from_utf8(rest.to_vec()).map_err(|_| wrong),
        all => String::from_utf8(all.to_vec()).map_err(|_| wrong),
    }
}

/// Line that may continue over several lines of the file.
struct Logical {
    /// Number of its first line.
    number: usize,
    count: usize,
    /// Text without the comment and without blanks around it.
    text: String,
}

/// Joins lines as pip does: a backslash at the end of a line continues it on the next one.
fn logical_lines(text: &str) -> Vec<Logical> {
    let mut all = Vec::new();
    let mut open: Option<Logical> = None;
    for (line, number) in text.lines().zip(1..) {
        let mut logical =
            open.take().unwrap_or_else(|| Logical { number, count: 0, text: String::new() });
        logical.count += 1;
        let is_comment = line.trim_start().starts_with('#');
        match line.strip_suffix('\\') {
            Some(begun) if !is_comment => {
                logical.text.push_str(begun);
                open = Some(logical);
            }
            _ => {
                logical.text.push_str(if is_comment { " " } else { "" });
                logical.text.push_str(line);
                all.push(logical);
            }
        }
    }
    all.extend(open);
    for logical in &mut all {
        logical.text = without_comment(&logical.text).trim().to_owned();
    }
    all
}

/// Returns a line without its comment, which begins with `#` at the start of the line or after a
/// blank.
fn without_comment(line: &str) -> &str {
    let begins = |(at, _): &(usize, &str)| {
        line.get(..*at).is_some_and(|before| before.is_empty() || before.ends_with([' ', '\t']))
    };
    line.match_indices('#').find(begins).and_then(|(at, _)| line.get(..at)).unwrap_or(line)
}

/// Returns a relative path without `.`, and without `..` after a folder name.
fn plain(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir
                if matches!(plain.components().next_back(), Some(Component::Normal(_))) =>
            {
                plain.pop();
            }
            part => plain.push(part),
        }
    }
    plain
}
