use super::*;

fn status() -> Arc<BodyStatus> {
    BodyStatus::new(crate::identity::body(), Namespace::default())
}

#[test]
fn a_body_is_of_use_from_its_start_until_it_drains() {
    let status = status();
    let asked = status.readiness();
    assert!(
        !asked.ready && asked.text().starts_with("not ready\nstarted: not ok: "),
        "{}",
        asked.text()
    );
    status.started();
    assert_eq!(
        status.readiness().text(),
        "ready\nstarted: ok\ncells and flows: 0 of 0 take calls\n"
    );
    status.draining();
    status.started();
    assert!(!status.readiness().ready);
}

#[test]
fn a_cell_that_cannot_run_is_told_and_takes_nobody_else_out_of_service()
-> Result<(), cbs::NameError> {
    let status = status();
    status.started();
    let mut listed = Vec::new();
    for number in 0..60 {
        let target: Target = format!("demo.cell{number:02}").parse()?;
        listed.push(status.registry().unsupported(
            &target,
            cbs::TargetInfo::default(),
            "no\nPython",
        ));
    }
    let asked = status.readiness();
    let text = asked.text();
    assert!(asked.ready && text.contains("\ndemo.cell00: cannot run: no Python\n"), "{text}");
    assert!(text.ends_with("and 10 more\n") && text.contains("0 of 60 take calls"), "{text}");
    drop(listed);
    assert_eq!(status.readiness().cells, 0);
    Ok(())
}

#[test]
fn a_fleet_that_cannot_be_followed_is_told_and_decides_nothing() {
    let status = status();
    status.started();
    let reason = Some("another body goes by its name".to_owned());
    let (_sender, following) = watch::channel(Following { reason, ..Following::default() });
    status.joined(following);
    let asked = status.readiness();
    let text = asked.text();
    assert!(
        asked.ready && text.contains("\nfleet: not ok: another body goes by its name\n"),
        "{text}"
    );
}
