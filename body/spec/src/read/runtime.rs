//! Runtimes of cells, and the fields that only some runtimes have.

use std::{collections::BTreeMap, num::NonZeroU32, path::PathBuf};

use model::{Isolation, Limits, Program, Python, Runtime, Sidecar, Workers};

use super::{
    fields::{Fields, shown},
    item::Item,
    shape::{ISOLATIONS, LIMITS, RUNTIME_FIELDS, RUNTIMES, WORKERS},
};
use crate::{bounds, code};

/// Regular expression of the name of an environment variable.
pub(crate) const VARIABLE_PATTERN: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

/// `file.py:function`, the function as Python names it, in ASCII.
pub(crate) const PYTHON_SOURCE_PATTERN: &str = "^.+:[A-Za-z_][A-Za-z0-9_]*$";

/// Reads the fields of all runtimes, so that all mistakes are reported at once.
pub(super) fn read(fields: &Fields<'_>) -> Option<Runtime> {
    let runtime = fields
        .need("runtime", "say `runtime: rust`, `python`, `dart` or `exec`")
        .and_then(|item| item.word(RUNTIMES));
    let source = fields.get("source").and_then(Item::text);
    let command = fields.get("command").and_then(command);
    let env = fields.get("env").and_then(env).unwrap_or_default();
    let isolation = fields.get("isolation").and_then(|item| item.word(ISOLATIONS));
    let isolation =
        if isolation == Some("process") { Isolation::Process } else { Isolation::Shared };
    let workers = fields.get("workers").and_then(workers).unwrap_or(ONE_WORKER);
    let instances = fields.get("instances").and_then(Item::processes).unwrap_or(NonZeroU32::MIN);
    let limits = fields.get("limits").and_then(limits).unwrap_or_default();
    let runtime = runtime?;
    misplaced(fields, runtime);
    match runtime {
        "rust" => Some(Runtime::Rust),
        "python" => {
            let (file, function) = python_source(fields, source)?;
            own_environment(fields, isolation);
            Some(Runtime::Python(Python { file, function, isolation, workers, env }))
        }
        "dart" => {
            let program = dart_program(fields, source, command)?;
            Some(Runtime::Dart(Sidecar { program, instances, limits, env }))
        }
        _ => {
            fields.need(
                "command",
                "a cell in exec needs the program to run, for example `command: [./my-cell]`",
            )?;
            Some(Runtime::Exec(Sidecar {
                program: Program::Command(command?),
                instances,
                limits,
                env,
            }))
        }
    }
}

const ONE_WORKER: Workers = Workers { min: NonZeroU32::MIN, max: NonZeroU32::MIN };

/// Reports fields that mean nothing for this runtime.
fn misplaced(fields: &Fields<'_>, runtime: &str) {
    for (name, runtimes) in RUNTIME_FIELDS {
        if fields.has(name) && !runtimes.contains(&runtime) {
            let message = format!("`{name}` means nothing for a cell in {runtime}");
            let hint = match (*name, runtime) {
                ("source", "rust") => {
                    "cells in rust are linked into the body: take it out".to_owned()
                }
                _ => format!("it is for {}: take it out", runtimes.join(", ")),
            };
            fields.report(fields.key_span(name), code::WRONG_RUNTIME, message, Some(hint));
        }
    }
}

/// Cells in the body's interpreter share the body's environment.
fn own_environment(fields: &Fields<'_>, isolation: Isolation) {
    if fields.has("env") && isolation == Isolation::Shared {
        let message = "`env` means nothing for a cell that shares the body's process".to_owned();
        let hint = Some("say `isolation: process`, or hand values over in `config`".to_owned());
        fields.report(fields.key_span("env"), code::WRONG_RUNTIME, message, hint);
    }
}

/// `path/to/file.py:function`.
fn python_source(fields: &Fields<'_>, source: Option<&str>) -> Option<(PathBuf, String)> {
    const HINT: &str =
        "write the file and the function, for example `../../cells/logic_greet/greet.py:greet`";
    let item = fields.need("source", HINT)?;
    let source = source?;
    let split = source
        .rsplit_once(':')
        .filter(|(file, function)| !file.is_empty() && is_identifier(function));
    let Some((file, function)) = split else {
        let message = format!("`{}` names no function of a Python file", shown(source));
        return item.report(code::BAD_VALUE, message, Some(HINT.to_owned()));
    };
    Some((existing_file(item, file)?, function.to_owned()))
}

fn dart_program(
    fields: &Fields<'_>,
    source: Option<&str>,
    command: Option<Vec<String>>,
) -> Option<Program> {
    match (fields.get("source"), fields.get("command")) {
        (Some(_), Some(_)) => {
            let message = "`source` and `command` exclude each other".to_owned();
            let hint = "`source` is compiled by the body, `command` is a program that is ready to run: keep one";
            fields.report(
                fields.key_span("command"),
                code::CONFLICT,
                message,
                Some(hint.to_owned()),
            );
            None
        }
        (Some(item), None) => existing_file(item, source?).map(Program::Source),
        (None, Some(_)) => command.map(Program::Command),
        (None, None) => {
            let message = "a cell in dart needs the field `source` or `command`".to_owned();
            fields
                .miss(message, "for example `source: ../../cells/io_print_greeting/bin/main.dart`");
            None
        }
    }
}

/// Returns the path relative to the working folder. The given one is relative to the spec's file.
fn existing_file(item: Item<'_>, written: &str) -> Option<PathBuf> {
    let path = item.findings.source.folder().join(written);
    if path.is_file() {
        return Some(path);
    }
    let message = format!("there is no file `{}`", shown(written));
    let hint =
        format!("paths are relative to the file they stand in: looked for `{}`", path.display());
    item.report(code::MISSING_FILE, message, Some(hint))
}

/// A program and its arguments.
fn command(item: Item<'_>) -> Option<Vec<String>> {
    let mut command = item.texts()?;
    let mut parts = item.list("a list of texts")?;
    let Some(first) = parts.next() else {
        let hint = "name the program first, for example `command: [./my-cell, --flag]`";
        return item.report(
            code::OUT_OF_RANGE,
            "`command` is empty".to_owned(),
            Some(hint.to_owned()),
        );
    };
    let program = first.text()?;
    if program.is_empty() {
        return first.report(code::OUT_OF_RANGE, "the program has no name".to_owned(), None);
    }
    if program.contains('/') {
        let path = existing_file(first, program)?;
        if let Some(slot) = command.first_mut() {
            // A plain file name would be looked up in PATH.
            *slot = if path.components().count() == 1 {
                format!("./{}", path.display())
            } else {
                path.display().to_string()
            };
        }
    }
    Some(command)
}

fn env(item: Item<'_>) -> Option<BTreeMap<String, String>> {
    for entry in item.node.entries() {
        if !is_identifier(&entry.key) {
            let message = format!("`{}` is no name of a variable", shown(&entry.key));
            let hint = "write letters, digits and `_`, no digit first".to_owned();
            item.findings.add(entry.key_span, code::BAD_NAME, message, hint);
        }
    }
    item.text_map()
}

/// A number, or `{ min, max }`.
fn workers(item: Item<'_>) -> Option<Workers> {
    match &item.node.content {
        crate::yaml::Content::Number(_) => {
            item.processes().map(|count| Workers { min: count, max: count })
        }
        crate::yaml::Content::Map(_) => {
            let fields = Fields::open(item, &WORKERS)?;
            let [min, max] = ["min", "max"].map(|name| {
                fields
                    .need(name, "say both, for example `{ min: 1, max: 4 }`")
                    .and_then(Item::processes)
            });
            let (min, max) = min.zip(max)?;
            if max < min {
                let message = format!("`max` is less than `min`: {max} < {min}");
                fields.report(fields.key_span("max"), code::OUT_OF_RANGE, message, None);
            }
            Some(Workers { min, max })
        }
        _ => item.wrong_type("a whole number or a map `{ min, max }`"),
    }
}

fn limits(item: Item<'_>) -> Option<Limits> {
    let fields = Fields::open(item, &LIMITS)?;
    Some(Limits {
        memory: fields.get("memory").and_then(|item| item.size(&bounds::MEMORY)),
        files: fields.get("files").and_then(|item| item.count(&bounds::FILES)),
    })
}

/// `[A-Za-z_][A-Za-z0-9_]*`
fn is_identifier(text: &str) -> bool {
    let letters = text.chars().all(|c| c == '_' || c.is_ascii_alphanumeric());
    letters && text.starts_with(|c: char| !c.is_ascii_digit())
}
