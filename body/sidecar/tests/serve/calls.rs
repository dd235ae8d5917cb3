//! The calls of a cell in a process of its own, and the errors that its callers see.

use std::time::Duration;

use cbs::{Cell, CellContext, CellError, Code, Envelope, Outcome, frame};
use sidecar::{Notice, proto};

use crate::{
    body::{Fails, request, world},
    pair::Script,
};

/// A cell whose payload is its command.
struct Doer;

impl Cell for Doer {
    async fn call(&self, context: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        match &request.payload[..] {
            b"call" => {
                let answer: String = context.call("other.cell", "hi").await?;
                Ok(Envelope::reply(answer))
            }
            b"publish" => {
                context.publish("order.placed", &7).await.map(|()| Envelope::reply("published"))
            }
            b"serve" => {
                let wanted = cbs::Subscription { filter: "order.*".parse().unwrap(), group: None };
                Ok(Envelope::reply(match context.env().bus.subscribe(wanted).await {
                    Ok(_) => "subscribed".to_owned(),
                    Err(error) => error.to_string(),
                }))
            }
            b"say" => {
                context.log().warn(format_args!("a log line"));
                context.print("a printed line").await?;
                let name = context.ask("your name?").await?;
                Ok(Envelope::reply(name.unwrap_or_else(|| "nobody".into())))
            }
            b"hang" => std::future::pending().await,
            b"panic" => panic!("a secret"),
            b"config" => {
                let env = context.env();
                Ok(Envelope::reply(format!("{} {} {}", env.body, env.revision, env.config)))
            }
            _ => Err(CellError::domain("tea.empty", "no more tea")),
        }
    }
}

/// Returns a body whose bus answers in the way that the target's name says.
fn bus() -> (std::sync::Arc<Script>, tokio::sync::mpsc::Receiver<(Notice, sidecar::Hold)>) {
    Script::new(|_, request, context| {
        let envelope = frame::decode(request.envelope).unwrap();
        let within = context.map(|context| context.id());
        let answer = format!(
            "\"{} within {} {within:?}\"",
            envelope.target.as_ref().unwrap(),
            request.within
        );
        assert!(envelope.causation_id.is_some(), "whose handling sent it");
        Box::pin(std::future::ready(answer.into()))
    })
}

#[tokio::test]
async fn side_11_a_bare_reply_to_a_cells_own_call_is_its_payload() -> Fails<()> {
    let (script, notices) = bus();
    let mut world = world(Doer, script, notices).await?;
    world.ready().await?;
    assert_eq!(world.call("call").await??, "cell other.cell within 1 None");
    assert_eq!(world.call("publish").await??, "published");
    Ok(())
}

#[tokio::test]
async fn side_16_calls_lines_and_questions_are_sent_within_the_request_that_they_are_made_for()
-> Fails<()> {
    let (script, notices) = bus();
    let mut world = world(Doer, script, notices).await?;
    world.ready().await?;
    let hang = Box::pin(world.body.request(frame::encode(&request("hang")), 0, None));
    let mut hang = hang;
    assert!(futures::poll!(&mut hang).is_pending());
    assert_eq!(world.call("call").await??, "cell other.cell within 2 None", "beside another one");
    assert_eq!(world.call("say").await??, "no idea: your name?");
    let Notice::Log(line, None) = world.notice().await? else { panic!("no log line") };
    assert_eq!((line.message.as_str(), line.within), ("a log line", 3));
    assert_eq!(line.level(), proto::Level::Warn);
    assert!(line.fields.is_empty() && line.logger.is_empty(), "the body knows the rest: {line:?}");
    let Notice::Print(line, None) = world.notice().await? else { panic!("no printed line") };
    assert_eq!((line.line.as_str(), line.within), ("a printed line", 3));
    Ok(())
}

#[tokio::test]
async fn a_cell_has_its_config_and_cannot_subscribe_and_its_errors_arrive_as_they_are() -> Fails<()>
{
    let (script, notices) = bus();
    let mut world = world(Doer, script, notices).await?;
    world.ready().await?;
    assert_eq!(world.call("config").await??, "body-1 r1 {\"tea\":\"green\"}");
    let refused = world.call("serve").await??;
    assert!(refused.starts_with(b"refused: "), "{refused:?}");
    let error = world.call("tea").await?.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::Domain("tea.empty".into()), Outcome::Ran));
    let other = Envelope { target: Some("other.cell".parse()?), ..request("tea") };
    let error = world.send(other).await?.into_result().unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::NotFound, Outcome::NotRun));
    let reply = world.body.request("{}".into(), 0, None).await?;
    let error = frame::decode(reply)?.into_result().unwrap_err();
    assert_eq!(error.code(), &Code::BadRequest);
    Ok(())
}

#[tokio::test]
async fn side_13_at_the_deadline_the_answer_is_timeout() -> Fails<()> {
    let (script, notices) = bus();
    let mut world = world(Doer, script, notices).await?;
    world.ready().await?;
    let short = Envelope { timeout: Some(Duration::from_millis(30)), ..request("hang") };
    let error = world.send(short).await?.into_result().unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::Timeout, Outcome::Unknown));
    assert!(error.to_string().contains("30 ms"), "{error}");
    Ok(())
}

#[tokio::test]
async fn side_14_a_panic_is_cell_failed_and_what_it_says_stays_in_the_log() -> Fails<()> {
    let (script, notices) = bus();
    let mut world = world(Doer, script, notices).await?;
    world.ready().await?;
    let error = world.call("panic").await?.unwrap_err();
    assert_eq!((error.code(), error.outcome()), (&Code::CellFailed, Outcome::Ran));
    assert!(!error.to_string().contains("secret"), "{error}");
    let Notice::Log(line, _) = world.notice().await? else { panic!("no log line") };
    assert!(line.message.contains("a secret") && line.level() == proto::Level::Error, "{line:?}");
    assert_eq!(world.call("config").await?.map(|_| ()), Ok(()), "and the next call is served");
    Ok(())
}

#[tokio::test]
async fn side_20_pings_are_answered_while_calls_run() -> Fails<()> {
    let (script, notices) = bus();
    let mut world = world(Doer, script, notices).await?;
    world.ready().await?;
    let mut hang = Box::pin(world.body.request(frame::encode(&request("hang")), 0, None));
    assert!(futures::poll!(&mut hang).is_pending());
    world.body.ping(11);
    let Notice::Pong(pong) = world.notice().await? else { panic!("no pong") };
    assert_eq!((pong.nonce, pong.in_flight), (11, 1));
    drop(hang);
    testkit::eventually("the cancelled call ends", crate::pair::LIMIT, async || {
        world.body.unanswered() == 0
    })
    .await;
    world.body.ping(12);
    let Notice::Pong(pong) = world.notice().await? else { panic!("no pong") };
    assert_eq!((pong.nonce, pong.in_flight), (12, 0));
    Ok(())
}
