use bus_nats::{Options, store::Bucket};
use fleet::Moment;
use testkit::{NatsServer, within};

use super::*;
use crate::{app::hosts, console::Terminal, fleet::store::presence_settings, health::BodyStatus};

type Checked = Result<(), Box<dyn std::error::Error>>;

/// Time longer than any step here takes.
const LONG: Duration = Duration::from_secs(20);

/// A body that has joined, its server, and the bucket of leases.
async fn joined() -> Result<(NatsServer, Driver, Bucket), Box<dyn std::error::Error>> {
    let server = NatsServer::with_jetstream().await;
    let nats = Nats::connect_client(Options::new(server.url(), "one".parse()?)).await?;
    let body: BodyId = "one".parse()?;
    let namespace = Namespace::default();
    let failed = |_: Failure| "no driver";
    let hosts = hosts(Vec::new(), &namespace, Some(&nats), false).map_err(failed)?;
    let status = BodyStatus::new(body.clone(), namespace.clone());
    let console = Arc::new(Terminal::silent()?);
    let instances =
        Instances::new(&hosts, status, model::Route::LocalFirst, console, nats.clone(), None);
    let leases = nats.bucket(&presence_settings(&namespace)).await?;
    let labels = BTreeMap::new();
    let natives = BTreeSet::new();
    let joining = Joining { body, namespace, labels, natives, drain: Duration::ZERO };
    let mut driver = Driver::new(joining, instances, nats).map_err(failed)?;
    within(LONG, "a body that joins", driver.join()).await;
    Ok((server, driver, leases))
}

/// Runs the driver until a condition is true.
async fn until(driver: &mut Driver, what: &str, is_so: impl Fn(&Driver) -> bool) {
    let work = async {
        while !is_so(driver) {
            driver.next().await;
            driver.turn();
        }
    };
    within(LONG, what, work).await;
}

#[tokio::test]
async fn who_slept_while_the_connection_was_away_for_a_moment_follows_again() -> Checked {
    let (_server, mut driver, _leases) = joined().await?;
    // Lost and back before the driver had its turn: it sees the end alone.
    driver.link();
    driver.clock.miss_turns();
    driver.turn();
    assert!(!driver.reconciler.is_connected());
    until(&mut driver, "the connection", |driver| driver.reconciler.is_connected()).await;
    Ok(())
}

#[tokio::test]
async fn leases_are_heard_when_the_server_is_back_within_a_moment_and_counts_from_one() -> Checked {
    let (mut server, mut driver, leases) = joined().await?;
    let mut facts = driver.reconciler.clone().presence().facts;
    facts.body = "other".parse()?;
    let mut other = Body::new(facts, BTreeSet::new(), Timing::default());
    other.connected(Moment(0));
    for _ in 0..100 {
        leases.put("other", other.presence().encode().into()).await?;
    }
    let beat =
        |driver: &Driver| driver.reconciler.fleet().peers().next().map(|peer| peer.presence.beat);
    until(&mut driver, "the other body", |driver| beat(driver) == Some(100)).await;
    server.restart().await;
    let lease = other.presence().encode();
    let report = async {
        // The driver makes the bucket anew.
        while leases.put("other", lease.clone().into()).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    let receive = until(&mut driver, "the other body again", |driver| beat(driver) == Some(101));
    tokio::join!(report, receive).1;
    Ok(())
}
