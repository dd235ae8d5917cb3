//! `cbs completions`: completion in a shell of commands, options, and the names of cells and flows.
//!
//! The script of a shell asks this program at each completion. The names come from the server of
//! the folder, or from the one that the command line names. If no server answers soon, there are no
//! names. A server is never started for a completion.

use std::{
    ffi::{OsStr, OsString},
    time::Duration,
};

use cbs::Target;
use clap::{Args, CommandFactory, FromArgMatches};
use clap_complete::{
    ArgValueCompleter, CompletionCandidate,
    env::{CompleteEnv, Shells},
};

use super::{Cli, Globals, names};
use crate::{
    exit::{Failure, Outcome, Status},
    output,
};

/// The variable by which a shell's script asks this program; its value names the shell.
const VARIABLE: &str = "CBS_COMPLETE";
/// Limit of the time for one completion, because the user waits after each key.
const LIMIT: Duration = Duration::from_millis(600);

/// Prints the completions of a shell, for example for `source <(cbs completions bash)`.
#[derive(Debug, clap::Args)]
pub(crate) struct Completions {
    /// The shell
    #[arg(value_parser = ["bash", "elvish", "fish", "powershell", "zsh"])]
    shell: String,
}

impl Completions {
    pub(crate) fn run(&self) -> Outcome {
        let shells = Shells::builtins();
        let shell = shells.completer(&self.shell).ok_or_else(|| Failure::usage("unknown shell"))?;
        let mut script = Vec::new();
        shell.write_registration(VARIABLE, "cbs", "cbs", &program(), &mut script)?;
        output::print_bytes(script.trim_ascii_end())?;
        Ok(Status::Done)
    }
}

/// Returns the path by which the shell finds this program: the same as now.
fn program() -> String {
    let program = std::env::args_os().next().unwrap_or_else(|| "cbs".into());
    let is_path = program.as_encoded_bytes().contains(&b'/');
    let absolute = is_path.then(|| std::path::absolute(&program).ok()).flatten();
    absolute.map_or(program, Into::into).to_string_lossy().into_owned()
}

/// Answers a shell's script, if the script started this program. Errors are not shown, because the
/// user only pressed a key.
pub(crate) fn answer() -> Option<Status> {
    std::env::var_os(VARIABLE)?;
    let here = std::env::current_dir().ok();
    match CompleteEnv::with_factory(Cli::command)
        .var(VARIABLE)
        .try_complete(std::env::args_os(), here.as_deref())
    {
        Ok(true) => Some(Status::Done),
        Ok(false) => None,
        Err(_) => Some(Status::Failed),
    }
}

/// Completes the names of cells.
pub(super) fn cells() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        candidates(word, |target| matches!(target, Target::Cell(_)))
    })
}

/// Completes the names of flows.
pub(super) fn flows() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| {
        candidates(word, |target| matches!(target, Target::Flow(_)))
    })
}

/// Completes the names of cells and flows.
pub(super) fn targets() -> ArgValueCompleter {
    ArgValueCompleter::new(|word: &OsStr| candidates(word, |_| true))
}

fn candidates(word: &OsStr, is_wanted: fn(&Target) -> bool) -> Vec<CompletionCandidate> {
    let look = || {
        let globals = globals(std::env::args_os().skip_while(|word| word != "--").skip(1))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
        let names = runtime.block_on(async {
            let look = async {
                let namespace = globals.namespace();
                let nats = globals.nats.client(&namespace).await.ok()?;
                Some(names::known(&nats, &namespace).await)
            };
            tokio::time::timeout(LIMIT, look).await.ok().flatten()
        });
        runtime.shutdown_background();
        names
    };
    let word = word.to_string_lossy();
    let names = look().unwrap_or_default().into_iter().filter(is_wanted);
    names
        .filter(|target| target.name().starts_with(&*word))
        .map(|target| CompletionCandidate::new(target.name()))
        .collect()
}

/// Reads the options that every command has, such as the server, from the command line that is
/// being completed. Only these options are read, because the rest may be incomplete.
fn globals(mut words: impl Iterator<Item = OsString>) -> Option<Globals> {
    let mut command =
        Globals::augment_args(clap::Command::new("cbs").no_binary_name(true).ignore_errors(true));
    let takes = |word: &str| {
        let option = command.get_arguments().find(|argument| argument.get_long() == Some(word))?;
        Some(option.get_action().takes_values())
    };
    let mut options = Vec::new();
    while let Some(word) = words.next() {
        // A word that is not UTF-8 is no option: it may be the name of a file.
        let Some(name) = word.to_str().and_then(|word| word.strip_prefix("--")) else { continue };
        let (name, value) =
            name.split_once('=').map_or((name, None), |(name, value)| (name, Some(value)));
        let Some(takes_value) = takes(name) else { continue };
        let needs_more = takes_value && value.is_none();
        options.push(word);
        if needs_more {
            options.extend(words.next());
        }
    }
    Globals::from_arg_matches(&command.try_get_matches_from_mut(options).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt;

    use super::*;

    #[test]
    fn every_option_of_a_line_is_read() {
        for before in [
            "cbs call --namespace=blue --nats nats://b:1 lo",
            "cbs --namespace blue call --nats=nats://b:1 lo",
            "cbs --tls --nats nats://b:1 call --namespace blue lo",
            "cbs --namespace=blue --tls call --json --nats nats://b:1 --names",
        ] {
            let found = globals(before.split(' ').map(OsString::from)).map(|globals| {
                let (namespace, nats) =
                    (globals.namespace().to_string(), format!("{:?}", globals.nats));
                (namespace, nats.contains("nats://b:1"))
            });
            assert_eq!(found, Some(("blue".to_owned(), true)), "{before}");
        }
    }

    #[test]
    fn a_word_that_is_not_utf_8_is_passed_over() {
        let words = ["cbs", "call", "--nats", "nats://b:1"].map(OsString::from);
        let file = OsString::from_vec(b"in-\xff.json".to_vec());
        let words =
            words.into_iter().chain([file.clone(), "--namespace".into(), "blue".into(), file]);
        assert_eq!(
            globals(words).map(|globals| globals.namespace().to_string()),
            Some("blue".to_owned())
        );
    }
}
