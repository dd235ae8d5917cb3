use std::time::Duration;

use testkit::{NatsServer, eventually, within};

use super::*;
use crate::Options;

type Checked = Result<(), Box<dyn std::error::Error>>;

/// Limit that is longer than anything here takes.
const LONG: Duration = Duration::from_secs(20);

/// Checks that pieces stay if the server does not answer: it may have written the description, and
/// then these are the pieces of a listed object.
#[tokio::test]
async fn pieces_stay_where_the_object_s_description_is_not_answered() -> Checked {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "jetstream {{ store_dir: \"{}\" }}\nauthorization {{ users: [{{ user: ada, password: it, \
         permissions: {{ publish: {{ deny: [\"$O.bundles.M.>\"] }} }} }}] }}\n",
        folder.path().display()
    );
    let server = NatsServer::with_config(&config).await;
    let url = server.url().replace("://", "://ada:it@");
    let nats = Nats::connect_client(Options::new(url, "one".parse()?)).await?;
    let mut objects = nats.objects("bundles", 1).await?;
    // Nothing answers a description: that need not take the whole limit.
    objects.context.set_timeout(Duration::from_secs(2));
    let put = within(LONG, "the end of a put", objects.put("a", &[7; 300_000])).await;
    assert!(matches!(put, Err(StoreError::Unavailable { .. })), "{put:?}");
    let swept = async || objects.sweep(Duration::from_millis(1)).await == Ok(1);
    eventually("the pieces of one object", LONG, swept).await;
    Ok(())
}
