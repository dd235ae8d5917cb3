use std::error::Error;

use cbs::{BodyId, BoxFuture, CellEnv, CellError, Console};
use sidecar::{Peer, Side, wire::Frames};

use super::*;
use crate::{desk::Desk, heartbeat::Heartbeat};

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

/// A process with room for so many calls, that nobody talks to. The engine keeps its connection open.
fn member(number: u32, room: usize) -> Result<(Arc<Member>, impl Sized), Box<dyn Error>> {
    let bus = bus::InProcess::new(bus::Settings::default());
    let env = CellEnv::new("demo.echo".parse()?, BodyId::new("web1")?, bus, Arc::new(NoConsole));
    let heartbeat = Arc::<Heartbeat>::default();
    let (desk, _) = Desk::new(Arc::new(env), heartbeat.clone(), &crate::Settings::new(cbs::Namespace::default()));
    let agreed = sidecar::Settings {
        side: Side::Body,
        frame_bytes_max: 1_000,
        credit_granted: 0,
        credit_held: 0,
        accepted_max: 0,
        sent_max: 0,
    };
    let (stream, other) = tokio::io::duplex(1_000);
    let (peer, engine) = Peer::new(Frames::new(stream, 1_000), agreed, desk.clone());
    Ok((Member::new(number, peer, heartbeat, desk, room), (engine, other)))
}

fn now(crew: &Arc<Crew>) -> Result<Lease, &'static str> {
    match crew.enter() {
        Entry::Now(lease) => Ok(lease),
        _ => Err("no place"),
    }
}

fn waits(crew: &Arc<Crew>) -> Result<oneshot::Receiver<Lease>, &'static str> {
    match crew.enter() {
        Entry::Wait(place) => Ok(place),
        _ => Err("it does not wait"),
    }
}

#[tokio::test]
async fn the_least_busy_gets_the_next_call() -> Tested {
    let crew = Crew::new();
    assert!(matches!(crew.enter(), Entry::Nobody));
    let ((one, _keep), (two, _keep_too)) = (member(0, 2)?, member(1, 2)?);
    crew.join(two);
    crew.join(one);
    let leases = [now(&crew)?, now(&crew)?, now(&crew)?, now(&crew)?];
    assert_eq!(leases.iter().map(|lease| lease.member.number).collect::<Vec<_>>(), [0, 1, 0, 1]);
    assert!(crew.is_short());
    drop(leases);
    assert!(!crew.is_short());
    Ok(())
}

#[tokio::test]
async fn who_waits_gets_the_next_place_in_turn_and_who_gave_up_gets_none() -> Tested {
    let (crew, (one, _keep)) = (Crew::new(), member(0, 1)?);
    crew.join(one);
    let lease = now(&crew)?;
    let (gave_up, mut first, mut second) = (waits(&crew)?, waits(&crew)?, waits(&crew)?);
    drop(gave_up);
    drop(lease);
    let lease = first.try_recv()?;
    assert!(second.try_recv().is_err(), "one place, one call");
    let third = waits(&crew)?;
    drop(lease);
    drop(third);
    drop(second.try_recv()?);
    // All have been served: a place is free.
    now(&crew)?;
    Ok(())
}

#[tokio::test]
async fn a_place_that_was_given_to_one_who_just_gave_up_goes_on() -> Tested {
    let (crew, (one, _keep)) = (Crew::new(), member(0, 1)?);
    crew.join(one);
    let lease = now(&crew)?;
    let (first, mut second) = (waits(&crew)?, waits(&crew)?);
    drop(lease);
    drop(first);
    drop(second.try_recv()?);
    now(&crew)?;
    Ok(())
}

#[tokio::test]
async fn a_new_process_serves_those_who_wait_and_the_last_to_leave_ends_it() -> Tested {
    let (crew, (one, _keep), (two, _keep_too)) = (Crew::new(), member(0, 1)?, member(1, 1)?);
    crew.join(one.clone());
    let _lease = now(&crew)?;
    let (mut first, mut second) = (waits(&crew)?, waits(&crew)?);
    crew.join(two.clone());
    assert_eq!(first.try_recv()?.member.number, 1);
    // Received and dropped: the second has it now.
    assert_eq!(second.try_recv()?.member.number, 1);
    crew.leave(&two);
    let mut third = waits(&crew)?;
    assert_eq!(third.try_recv().err(), Some(oneshot::error::TryRecvError::Empty));
    crew.leave(&one);
    assert_eq!(third.try_recv().err(), Some(oneshot::error::TryRecvError::Closed));
    Ok(())
}

#[tokio::test]
async fn those_who_gave_up_waiting_are_not_kept() -> Tested {
    let (crew, (one, _keep)) = (Crew::new(), member(0, 1)?);
    crew.join(one);
    let _lease = now(&crew)?;
    // The first waits on: the others stand behind it.
    let _first = waits(&crew)?;
    for _ in 0..10_000 {
        drop(waits(&crew)?);
    }
    assert!(crew.state().waiting.len() <= SWEEP_MIN, "{}", crew.state().waiting.len());
    Ok(())
}

#[tokio::test]
async fn only_the_last_in_order_leaves_when_it_is_idle_and_not_needed() -> Tested {
    let (crew, (one, _keep), (two, _keep_too)) = (Crew::new(), member(0, 1)?, member(1, 1)?);
    crew.join(one.clone());
    crew.join(two.clone());
    let long = Duration::from_secs(600);
    assert!(!crew.dismiss(&one, 1, Duration::ZERO), "not the last in order");
    assert!(!crew.dismiss(&two, 2, Duration::ZERO), "needed");
    assert!(!crew.dismiss(&two, 1, long), "not idle for so long");
    let leases = [now(&crew)?, now(&crew)?];
    assert!(!crew.dismiss(&two, 1, Duration::ZERO), "busy");
    drop(leases);
    assert!(crew.dismiss(&two, 1, Duration::ZERO));
    assert_eq!(crew.len(), 1);
    Ok(())
}

#[tokio::test]
async fn a_cell_ends_with_its_last_process_and_the_first_reason_stays() -> Tested {
    let (crew, (one, _keep)) = (Crew::new(), member(0, 1)?);
    assert!(crew.fell("at its start"), "it is not open yet");
    assert_eq!(crew.open(), Err(Some("at its start".to_owned())));
    let crew = Crew::new();
    crew.join(one.clone());
    assert_eq!(crew.open(), Ok(()));
    let ended = crew.ended();
    assert!(crew.fell("another"), "one lives");
    crew.leave(&one);
    assert!(!crew.fell("killed by SIGKILL") && !crew.fell("later"));
    assert_eq!(ended.await, "killed by SIGKILL");
    Ok(())
}
