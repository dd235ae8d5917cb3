use super::*;

#[test]
fn a_request_without_an_id_gets_one_of_its_own() -> Result<(), Box<dyn std::error::Error>> {
    let target: Target = "logic.greet".parse()?;
    let request = Envelope { kind: Kind::Request, payload: "{}".into(), ..Envelope::default() };
    let payload = frame::encode(&request);
    let message = || Message {
        subject: "cbs.default.cell.logic.greet".into(),
        reply: None,
        payload: payload.clone(),
        headers: None,
        status: None,
        description: None,
        length: payload.len(),
    };
    let one = read_request(message(), Form::Framed, &target)?;
    let other = read_request(message(), Form::Framed, &target)?;
    assert!(!one.id.is_nil() && one.id != other.id, "{} {}", one.id, other.id);
    Ok(())
}
