//! The environment of a process: few variables of the body's own, so that no secret is inherited.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
    path::Path,
};

/// Variable that gives a process the path of the socket that it is to connect to.
pub const SOCKET_VARIABLE: &str = "CBS_SIDECAR_SOCKET";

/// Variables that a program needs to find other programs, its user's files, language and clock.
const INHERITED: &[&str] = &["PATH", "HOME", "USER", "LANG", "TZ", "TMPDIR"];

/// Prefix of the other variables of the language: `LC_ALL`, `LC_TIME`, ….
const INHERITED_PREFIX: &str = "LC_";

/// Returns the environment of a process: the common variables of the body, then those of the spec,
/// then the socket.
pub(crate) fn environment(
    body: impl IntoIterator<Item = (OsString, OsString)>,
    own: &BTreeMap<String, String>,
    socket: &Path,
) -> BTreeMap<OsString, OsString> {
    let mut all: BTreeMap<OsString, OsString> =
        body.into_iter().filter(|(name, _)| is_inherited(name)).collect();
    all.extend(own.iter().map(|(name, value)| (name.into(), value.into())));
    all.insert(SOCKET_VARIABLE.into(), socket.into());
    all
}

fn is_inherited(name: &OsStr) -> bool {
    name.to_str()
        .is_some_and(|name| INHERITED.contains(&name) || name.starts_with(INHERITED_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(all: &BTreeMap<OsString, OsString>) -> Vec<(&str, &str)> {
        all.iter().filter_map(|(name, value)| Some((name.to_str()?, value.to_str()?))).collect()
    }

    #[test]
    fn of_the_bodys_variables_only_those_that_hold_no_secrets_are_inherited() {
        let body = [
            ("PATH", "/bin"),
            ("LC_TIME", "C"),
            ("NATS_URL", "nats://ada:secret@host"),
            ("LCX", "1"),
        ]
        .map(|(name, value)| (name.into(), value.into()));
        let own = BTreeMap::from([("MODE".to_owned(), "quick".to_owned())]);
        let all = environment(body, &own, Path::new("/run/s"));
        let expected = [
            ("CBS_SIDECAR_SOCKET", "/run/s"),
            ("LC_TIME", "C"),
            ("MODE", "quick"),
            ("PATH", "/bin"),
        ];
        assert_eq!(texts(&all), expected);
    }

    #[test]
    fn the_specs_own_wins_over_the_bodys_and_the_socket_over_both() {
        let body = [("PATH".into(), "/bin".into())];
        let own = BTreeMap::from(
            [("PATH", "/opt/bin"), (SOCKET_VARIABLE, "/elsewhere")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        let all = environment(body, &own, Path::new("/run/s"));
        assert_eq!(texts(&all), [("CBS_SIDECAR_SOCKET", "/run/s"), ("PATH", "/opt/bin")]);
    }
}
