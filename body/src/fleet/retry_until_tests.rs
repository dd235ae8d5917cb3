use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bus_nats::Options;
use testkit::{NatsServer, eventually};

use super::*;

type Checked = Result<(), Box<dyn std::error::Error>>;

const LONG: Duration = Duration::from_secs(30);

fn away() -> anyhow::Error {
    StoreError::Unavailable { bucket: "desired".to_owned(), reason: "timed out".to_owned() }.into()
}

async fn nats(server: &NatsServer) -> anyhow::Result<Nats> {
    Ok(Nats::connect_client(Options::new(server.url(), "deployer".parse()?)).await?)
}

#[tokio::test]
async fn silence_is_waited_out_and_told_once() -> Checked {
    static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
    let server = NatsServer::with_jetstream().await;
    let report = |line: &str| {
        TOLD.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(line.to_owned());
    };
    let retry = RetryUntil::new(nats(&server).await?, LONG, report);
    let tries = AtomicUsize::new(0);
    let step = async || match tries.fetch_add(1, Ordering::Relaxed) {
        0 | 1 => Err(away().context("what it was about")),
        done => Ok(done),
    };
    assert_eq!(retry.with(DeployStage::Content, step).await?, 2);
    let reported = TOLD.lock().map_err(|_| "poisoned")?.clone();
    assert_eq!(reported.len(), 1, "{reported:?}");
    assert!(
        reported[0].starts_with("NATS does not answer; trying again, nothing is changed yet: "),
        "{reported:?}"
    );
    Ok(())
}

#[tokio::test]
async fn a_step_on_a_connection_that_is_lost_is_tried_again_on_the_next() -> Checked {
    let mut server = NatsServer::with_jetstream().await;
    let retry = RetryUntil::new(nats(&server).await?, LONG, |_| {});
    let tries = AtomicUsize::new(0);
    let step = async || match tries.fetch_add(1, Ordering::Relaxed) {
        0 => std::future::pending().await,
        _ => Ok(()),
    };
    let outage = async {
        eventually("the first try", LONG, async || tries.load(Ordering::Relaxed) == 1).await;
        server.kill().await;
        server.restart().await;
    };
    let (done, ()) = tokio::join!(retry.with(DeployStage::Content, step), outage);
    done?;
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    Ok(())
}

#[tokio::test]
async fn what_time_does_not_mend_ends_at_once_and_when_time_is_up_it_says_what_is_known() -> Checked
{
    let server = NatsServer::with_jetstream().await;
    let retry = RetryUntil::new(nats(&server).await?, Duration::from_millis(1), |_| {});
    let mut ends = Vec::new();
    let refused =
        || StoreError::Refused { bucket: "desired".to_owned(), reason: "full".to_owned() };
    for (stage, error) in [
        (DeployStage::Content, away()),
        (DeployStage::Head(7), away()),
        (DeployStage::Content, refused().into()),
        (DeployStage::Content, anyhow!("a mistake")),
    ] {
        let error = Mutex::new(Some(error));
        let step = async || match error.lock().map(|mut error| error.take()) {
            Ok(Some(error)) => Err::<(), _>(error),
            _ => Err(anyhow!("it was tried twice")),
        };
        ends.push(retry.with(stage, step).await.err().ok_or("an error")?.to_string());
    }
    assert_eq!(
        ends,
        [
            "NATS did not answer within 1ms: desired: timed out; nothing was changed, and `cbs deploy` again is safe",
            "NATS did not answer within 1ms: desired: timed out; it is not known whether generation 7 was written: `cbs history` \
             shows it, and `cbs deploy` again is safe",
            "desired: the server refuses: full; nothing was changed, and `cbs deploy` again is safe",
            "a mistake",
        ]
    );
    Ok(())
}

#[tokio::test]
async fn what_the_server_does_not_permit_ends_at_once_and_says_what_it_was() -> Checked {
    let folder = tempfile::tempdir()?;
    for (denied, why, hint) in [
        (
            "publish: { deny: \"$JS.API.STREAM.CREATE.>\" }",
            "for Publish to \"$JS.API.STREAM.CREATE.KV_cbs_default_",
            "permissions of a deployer",
        ),
        (
            "subscribe: { deny: \"_INBOX.>\" }",
            "for Subscription to \"_INBOX.deployer.",
            "--inbox-prefix",
        ),
    ] {
        let config = format!(
            "jetstream {{ store_dir: \"{}\" }}\nauthorization {{ users: [{{ user: ada, password: ada, permissions: {{ \
             {denied} }} }}] }}",
            folder.path().display()
        );
        let server = NatsServer::with_config(&config).await;
        let mut options = Options::new(server.url(), "deployer".parse()?);
        (options.credentials.user, options.credentials.password) =
            (Some("ada".to_owned()), Some("ada".to_owned()));
        let nats = Nats::connect_client(options).await?;
        let retry = RetryUntil::new(nats.clone(), LONG, |_| {});
        let open =
            async || Ok(super::super::Store::open(nats.clone(), cbs::Namespace::default()).await?);
        let began = Instant::now();
        let error =
            retry.with(DeployStage::Content, open).await.err().ok_or("an error")?.to_string();
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}: {error}", began.elapsed());
        let reported = format!("the NATS server does not permit it: Permissions Violation {why}");
        assert!(
            error.starts_with(&reported)
                && error.contains(hint)
                && error.ends_with("nothing was changed, and `cbs deploy` again is safe"),
            "{error}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_denial_that_does_no_harm_does_not_end_the_retries() -> Checked {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "jetstream {{ store_dir: \"{}\" }}\nauthorization {{ users: [{{ user: ada, password: ada, permissions: {{ \
         publish: {{ deny: \"$JS.API.CONSUMER.DELETE.>\" }} }} }}] }}",
        folder.path().display()
    );
    let server = NatsServer::with_config(&config).await;
    let mut options = Options::new(server.url(), "deployer".parse()?);
    options.credentials.user = Some("ada".to_owned());
    options.credentials.password = Some("ada".to_owned());
    let nats = Nats::connect_client(options).await?;
    let store = super::super::Store::open(nats.clone(), cbs::Namespace::default()).await?;
    let retry = RetryUntil::new(nats.clone(), LONG, |_| {});
    let tries = AtomicUsize::new(0);
    let step = async || {
        if tries.fetch_add(1, Ordering::Relaxed) > 0 {
            return Ok(());
        }
        let is_denied = eventually("the denial", LONG, async || nats.counters().server_errors > 0);
        // Its last request removes a consumer.
        tokio::select! {
            _ = store.desired().list(">") => {}
            () = is_denied => {}
        }
        Err(away())
    };
    retry.with(DeployStage::Content, step).await?;
    assert_eq!(tries.load(Ordering::Relaxed), 2);
    Ok(())
}
