//! Time from a save until the new version serves: in a body that watches its files, and by
//! `cbs deploy`.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use async_nats::Client;
use cbs::{Namespace, Subject, Target};
use tempfile::TempDir;

use crate::{
    fleet::Fleet,
    guests,
    program::Program,
    report::Line,
    stage::{self, Bench},
};

/// Limit of a new version. A compiler may be at work.
const LIMIT: Duration = Duration::from_secs(60);
const CELL: &str = "bench.says";
const NOTE: &str = "from the write of the file to the first answer of the new version; asked all the time by a raw client";

/// Cell that is edited.
struct Edited {
    what: &'static str,
    /// The file that is saved, in the folder of specs.
    file: &'static str,
    spec: &'static str,
    /// The file's text for a number, which the cell then answers with.
    text: fn(u32) -> String,
    /// The goal for a body that watches, in milliseconds.
    goal: Option<f64>,
    /// True if it is a Dart cell, whose folder has more files.
    dart: bool,
}

const EDITED: [Edited; 3] = [
    Edited {
        what: "a setting of a Python cell",
        file: "says.yaml",
        spec: "",
        text: setting,
        goal: Some(200.0),
        dart: false,
    },
    Edited {
        what: "Python",
        file: "says.py",
        spec: PYTHON,
        text: python,
        goal: Some(200.0),
        dart: false,
    },
    Edited {
        what: "Dart",
        file: "says/bin/main.dart",
        spec: DART,
        text: dart,
        goal: Some(1_500.0),
        dart: true,
    },
];
const PYTHON: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: bench.says }\n\
    spec: { runtime: python, source: 'says.py:say' }\n";
const DART: &str = "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: { name: bench.says }\n\
    spec: { runtime: dart, source: says/bin/main.dart }\n";

/// Returns the text of a spec whose setting the cell answers with.
fn setting(number: u32) -> String {
    format!(
        "apiVersion: cbs/v1alpha1\nkind: Cell\nmetadata: {{ name: {CELL} }}\n\
         spec: {{ runtime: python, source: 'says.py:say', config: {{ number: {number} }} }}\n"
    )
}

fn python(number: u32) -> String {
    format!("async def say(input: dict) -> dict:\n    return {{'number': {number}}}\n")
}

fn dart(number: u32) -> String {
    format!(
        "import 'package:cbs/cbs.dart';\n\n\
         Future<void> main() => serve([cell('{CELL}', (ctx, input) => {{'number': {number}}})]);\n"
    )
}

pub(super) async fn measure(bench: &Bench) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for edited in EDITED {
        let what = format!("from a save of {} to the new version", edited.what);
        lines.push(match watched(bench, &edited).await {
            Ok(took) => {
                let line = Line::new(format!("{what}, `cbs up --watch`"), "ms", took).note(NOTE);
                if let Some(goal) = edited.goal { line.at_most(goal) } else { line }
            }
            Err(error) => Line::failed(format!("{what}, `cbs up --watch`"), &error),
        });
        lines.push(match deployed(bench, &edited).await {
            Ok(took) => Line::new(format!("{what}, `cbs deploy`"), "ms", took)
                .note("the same, with the start of the command; two bodies, one of which runs it"),
            Err(error) => Line::failed(format!("{what}, `cbs deploy`"), &error),
        });
    }
    Ok(lines)
}

/// Makes the cell's folder, with its first version.
fn folder(edited: &Edited) -> anyhow::Result<TempDir> {
    let folder = tempfile::tempdir()?;
    if edited.dart {
        fs::create_dir_all(folder.path().join("says/bin"))?;
        for file in ["pubspec.yaml", "pubspec_overrides.yaml"] {
            let from = guests::folder("echo_dart").join(file);
            if from.is_file() {
                fs::copy(from, folder.path().join("says").join(file))?;
            }
        }
    }
    if edited.spec.is_empty() {
        let tells = "from cbs import Context\n\n\n\
                     async def say(input: dict, ctx: Context) -> dict:\n    \
                     return {'number': ctx.config['number']}\n";
        fs::write(folder.path().join("says.py"), tells)?;
    } else {
        fs::write(folder.path().join("says.yaml"), edited.spec)?;
    }
    fs::write(folder.path().join(edited.file), (edited.text)(0))?;
    Ok(folder)
}

async fn watched(bench: &Bench, edited: &Edited) -> anyhow::Result<Vec<f64>> {
    let (folder, namespace) = (folder(edited)?, stage::namespace()?);
    let client = async_nats::connect(&bench.url).await?;
    let mut up = Program::cbs()?.up_with(folder.path(), &bench.url, &namespace, &["--watch"])?;
    let asking = Asking { client, subject: subject(&namespace)? };
    up.answered(&asking.client, asking.subject.as_str(), "{}").await?;
    let mut took = Vec::new();
    for number in 1..=u32::try_from(bench.rounds)? {
        let began = Instant::now();
        save(&folder.path().join(edited.file), &(edited.text)(number))?;
        asking.until(number, began).await.context("`cbs up --watch`")?;
        took.push(began.elapsed().as_secs_f64() * 1e3);
    }
    up.stop().await?;
    Ok(took)
}

async fn deployed(bench: &Bench, edited: &Edited) -> anyhow::Result<Vec<f64>> {
    let (folder, fleet) = (folder(edited)?, Fleet::start(&Program::cbs()?, 2).await?);
    fleet.deploy(folder.path()).await?;
    let asking = Asking { client: fleet.client.clone(), subject: subject(&Namespace::default())? };
    let mut took = Vec::new();
    for number in 1..=u32::try_from(bench.rounds)? {
        let began = Instant::now();
        save(&folder.path().join(edited.file), &(edited.text)(number))?;
        let (done, seen) = tokio::join!(fleet.deploy(folder.path()), asking.until(number, began));
        done?;
        took.push(seen?.as_secs_f64() * 1e3);
    }
    fleet.stop().await?;
    Ok(took)
}

/// Saves a file as editors do: whole or not at all.
fn save(file: &Path, text: &str) -> anyhow::Result<()> {
    let beside: PathBuf = file.with_extension("saved");
    fs::write(&beside, text)?;
    Ok(fs::rename(beside, file)?)
}

fn subject(namespace: &Namespace) -> anyhow::Result<Subject> {
    Ok(Subject::of(namespace, &CELL.parse::<Target>()?))
}

struct Asking {
    client: Client,
    subject: Subject,
}

impl Asking {
    /// Calls the cell until it answers with a number; returns the time since `began`.
    async fn until(&self, number: u32, began: Instant) -> anyhow::Result<Duration> {
        let wanted = format!("{{\"number\":{number}}}");
        loop {
            let reply = self.client.request(self.subject.as_str().to_owned(), "{}".into()).await?;
            ensure!(reply.headers.is_none(), "an error: {:?} {:?}", reply.headers, reply.payload);
            if reply.payload == wanted {
                return Ok(began.elapsed());
            }
            ensure!(began.elapsed() < LIMIT, "the new version does not serve within {LIMIT:?}");
        }
    }
}
