//! Programs that are started, and programs that cannot be.

use std::num::NonZeroU32;

use super::*;

fn launch(command: &[&str]) -> Launch {
    Launch {
        command: command.iter().map(OsString::from).collect(),
        folder: None,
        env: BTreeMap::new(),
        limits: Limits::default(),
        instances: Workers { min: NonZeroU32::MIN, max: NonZeroU32::MIN },
    }
}

#[test]
fn a_script_whose_interpreter_is_not_there_is_told_as_such() -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("x.sh");
    for (text, reason) in [
        ("#!/bin/sh\nexit 0\n", None),
        ("#!/usr/bin/env python3\n", None),
        ("echo", None),
        ("#!/bin/sh\r\nexit 0\r\n", Some("carriage return")),
        (
            "#!/no/such/shell -e\n",
            Some("its first line names `/no/such/shell`, which is not there"),
        ),
    ] {
        fs::write(&script, text)?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
        let checked = launch(&[&script.to_string_lossy()]).check();
        match reason {
            None => assert_eq!(checked, Ok(()), "{text:?}"),
            Some(reason) => {
                assert!(checked.as_ref().is_err_and(|error| error.contains(reason)), "{checked:?}");
            }
        }
    }
    Ok(())
}

#[test]
fn a_program_that_is_not_there_or_cannot_be_run_is_told_with_what_to_do() -> std::io::Result<()> {
    let file = tempfile::NamedTempFile::new()?;
    let plain = file.path().display().to_string();
    for (command, said) in [
        (vec![], "names no program".to_owned()),
        (vec!["./nowhere"], "there is no program `./nowhere`".to_owned()),
        (vec![plain.as_str()], format!("`{plain}` cannot be run: `chmod +x` it")),
        (
            vec!["cbs-no-such-program"],
            "no program `cbs-no-such-program` in PATH: install it".to_owned(),
        ),
        (vec!["/bin"], "there is no program `/bin`".to_owned()),
    ] {
        let error = launch(&command).check().err().unwrap_or_default();
        assert!(error.contains(&said), "{command:?}: {error}");
    }
    assert_eq!(launch(&["sh"]).check(), Ok(()));
    assert_eq!(launch(&["/bin/sh"]).check(), Ok(()));
    let elsewhere =
        Launch { env: BTreeMap::from([("PATH".into(), "/nowhere".into())]), ..launch(&["sh"]) };
    assert!(elsewhere.check().is_err(), "it would not be found");
    Ok(())
}

#[test]
fn what_is_relative_to_the_body_stays_so_in_the_folder_of_the_process()
-> Result<(), Box<dyn std::error::Error>> {
    let in_folder = |command| Launch { folder: Some("src".into()), ..launch(command) };
    let command = in_folder(&["tests/run.sh", "tests/a"]).command(Path::new("/run/s"))?;
    assert_eq!(command.get_program(), env::current_dir()?.join("tests/run.sh"));
    assert_eq!(command.get_args().collect::<Vec<_>>(), ["tests/a"], "the process's own matter");
    assert_eq!(command.get_current_dir(), Some(Path::new("src")));
    assert_eq!(in_folder(&["sh"]).command(Path::new("/run/s"))?.get_program(), "sh");
    let nowhere = Launch { folder: Some("nowhere".into()), ..launch(&["sh"]) };
    assert_eq!(nowhere.command(Path::new("/run/s"))?.get_current_dir(), None);
    Ok(())
}
