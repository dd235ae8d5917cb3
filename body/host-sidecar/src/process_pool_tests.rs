use std::error::Error;

use cbs::{BodyId, BoxFuture, CellEnv, CellError, Console};
use sidecar::{Peer, Role, wire::Frames};

use super::*;
use crate::{heartbeat::Heartbeat, inbound_handler::InboundHandler};

type Tested = Result<(), Box<dyn Error>>;

struct NoConsole;

impl Console for NoConsole {
    fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async { Ok(()) })
    }
    fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async { Ok(None) })
    }
}

/// Returns a process with room for `room` calls, which nobody talks to. The engine keeps its
/// connection open.
fn pooled(
    number: u32,
    capacity: usize,
) -> Result<(Arc<PooledProcess>, impl Sized), Box<dyn Error>> {
    let bus = bus::InProcess::new(bus::Settings::default());
    let env = CellEnv::new("demo.echo".parse()?, BodyId::new("web1")?, bus, Arc::new(NoConsole));
    let heartbeat = Arc::<Heartbeat>::default();
    let (inbound, _) = InboundHandler::new(
        Arc::new(env),
        heartbeat.clone(),
        &crate::Settings::new(cbs::Namespace::default()),
    );
    let agreed = sidecar::Settings {
        side: Role::Body,
        frame_bytes_max: 1_000,
        credit_granted: 0,
        credit_held: 0,
        accepted_max: 0,
        sent_max: 0,
    };
    let (stream, other) = tokio::io::duplex(1_000);
    let (peer, engine) = Peer::new(Frames::new(stream, 1_000), agreed, inbound.clone());
    Ok((PooledProcess::new(number, peer, heartbeat, inbound, capacity), (engine, other)))
}

fn now(pool: &Arc<ProcessPool>) -> Result<Lease, &'static str> {
    match pool.enter() {
        Entry::Now(lease) => Ok(lease),
        _ => Err("no place"),
    }
}

fn waits(pool: &Arc<ProcessPool>) -> Result<oneshot::Receiver<Lease>, &'static str> {
    match pool.enter() {
        Entry::Wait(place) => Ok(place),
        _ => Err("it does not wait"),
    }
}

#[tokio::test]
async fn the_least_busy_gets_the_next_call() -> Tested {
    let pool = ProcessPool::new();
    assert!(matches!(pool.enter(), Entry::Nobody));
    let (one, _keep) = pooled(0, 2)?;
    let (two, _keep_too) = pooled(1, 2)?;
    pool.join(two);
    pool.join(one);
    let leases = [now(&pool)?, now(&pool)?, now(&pool)?, now(&pool)?];
    assert_eq!(leases.iter().map(|lease| lease.pooled.number).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert!(pool.is_short());
    drop(leases);
    assert!(!pool.is_short());
    Ok(())
}

#[tokio::test]
async fn who_waits_gets_the_next_place_in_turn_and_who_gave_up_gets_none() -> Tested {
    let pool = ProcessPool::new();
    let (one, _keep) = pooled(0, 1)?;
    pool.join(one);
    let lease = now(&pool)?;
    let gave_up = waits(&pool)?;
    let mut first = waits(&pool)?;
    let mut second = waits(&pool)?;
    drop(gave_up);
    drop(lease);
    let lease = first.try_recv()?;
    assert!(second.try_recv().is_err(), "one place, one call");
    let third = waits(&pool)?;
    drop(lease);
    drop(third);
    drop(second.try_recv()?);
    // All have been served: a slot is free.
    now(&pool)?;
    Ok(())
}

#[tokio::test]
async fn a_place_that_was_given_to_one_who_just_gave_up_goes_on() -> Tested {
    let pool = ProcessPool::new();
    let (one, _keep) = pooled(0, 1)?;
    pool.join(one);
    let lease = now(&pool)?;
    let first = waits(&pool)?;
    let mut second = waits(&pool)?;
    drop(lease);
    drop(first);
    drop(second.try_recv()?);
    now(&pool)?;
    Ok(())
}

#[tokio::test]
async fn a_new_process_serves_those_who_wait_and_the_last_to_leave_ends_it() -> Tested {
    let pool = ProcessPool::new();
    let (one, _keep) = pooled(0, 1)?;
    let (two, _keep_too) = pooled(1, 1)?;
    pool.join(one.clone());
    let _lease = now(&pool)?;
    let mut first = waits(&pool)?;
    let mut second = waits(&pool)?;
    pool.join(two.clone());
    assert_eq!(first.try_recv()?.pooled.number, 1);
    // Received and dropped: the second has it now.
    assert_eq!(second.try_recv()?.pooled.number, 1);
    pool.leave(&two);
    let mut third = waits(&pool)?;
    assert_eq!(third.try_recv().err(), Some(oneshot::error::TryRecvError::Empty));
    pool.leave(&one);
    assert_eq!(third.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
    Ok(())
}

#[tokio::test]
async fn those_who_gave_up_waiting_are_not_kept() -> Tested {
    let pool = ProcessPool::new();
    let (one, _keep) = pooled(0, 1)?;
    pool.join(one);
    let _lease = now(&pool)?;
    // The first call still waits, and the others wait behind it.
    let _first = waits(&pool)?;
    for _ in 0..10_000 {
        drop(waits(&pool)?);
    }
    assert!(pool.state().waiting.len() <= SWEEP_MIN, "{}", pool.state().waiting.len());
    Ok(())
}

#[tokio::test]
async fn only_the_last_in_order_leaves_when_it_is_idle_and_not_needed() -> Tested {
    let pool = ProcessPool::new();
    let (one, _keep) = pooled(0, 1)?;
    let (two, _keep_too) = pooled(1, 1)?;
    pool.join(one.clone());
    pool.join(two.clone());
    let long = Duration::from_secs(600);
    assert!(!pool.dismiss(&one, 1, Duration::ZERO), "not the last in order");
    assert!(!pool.dismiss(&two, 2, Duration::ZERO), "needed");
    assert!(!pool.dismiss(&two, 1, long), "not idle for so long");
    let leases = [now(&pool)?, now(&pool)?];
    assert!(!pool.dismiss(&two, 1, Duration::ZERO), "busy");
    drop(leases);
    assert!(pool.dismiss(&two, 1, Duration::ZERO));
    assert_eq!(pool.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_cell_ends_with_its_last_process_and_the_first_reason_stays() -> Tested {
    let pool = ProcessPool::new();
    let (one, _keep) = pooled(0, 1)?;
    assert!(pool.one_exited("at its start"), "it is not open yet");
    assert_eq!(pool.open(), Err(Some("at its start".to_owned())));
    let pool = ProcessPool::new();
    pool.join(one.clone());
    assert_eq!(pool.open(), Ok(()));
    let ended = pool.ended();
    assert!(pool.one_exited("another"), "one lives");
    pool.leave(&one);
    assert!(!pool.one_exited("killed by SIGKILL") && !pool.one_exited("later"));
    assert_eq!(ended.await, "killed by SIGKILL");
    Ok(())
}
