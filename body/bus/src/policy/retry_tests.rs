use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use cbs::{
    BodyBus, BoxFuture, BusError, CellError, Code, Envelope, EventStream, Outcome, Service,
    Serving, Subscription, Target,
};
use model::{CallPolicy, RetryPolicy};
use tokio::time::Instant;

use super::{Retried, RetryingBus, delay};

type Seen = (u32, Duration, Instant);

/// A bus that answers with the given answers, in order, and then with a reply.
#[derive(Default)]
struct Scripted {
    answers: Mutex<VecDeque<BusError>>,
    always: Option<BusError>,
    seen: Mutex<Vec<Seen>>,
}

impl BodyBus for Scripted {
    fn call(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move {
            // A retry is sent later than its id was made, and carries its own time.
            assert_eq!(request.time_ms > 0, request.attempt > 0);
            self.seen.lock().unwrap().push((
                request.attempt,
                request.timeout.unwrap(),
                Instant::now(),
            ));
            let next = self.answers.lock().unwrap().pop_front();
            next.or_else(|| self.always.clone())
                .map_or_else(|| Ok(Envelope::reply("done").answering(&request)), Err)
        })
    }
    fn publish(&self, _: Envelope) -> BoxFuture<'_, Result<(), BusError>> {
        Box::pin(async { Ok(()) })
    }
    fn serve(&self, _: Service) -> BoxFuture<'_, Result<Box<dyn Serving>, BusError>> {
        Box::pin(async { Err(BusError::bad_request("not here")) })
    }
    fn subscribe(&self, _: Subscription) -> BoxFuture<'_, Result<Box<dyn EventStream>, BusError>> {
        Box::pin(async { Err(BusError::bad_request("not here")) })
    }
}

fn target() -> Target {
    "demo.cell".parse().unwrap()
}

fn retries() -> RetryPolicy {
    let backoff = Duration::from_millis(100);
    RetryPolicy { max: 3, backoff, backoff_max: Duration::from_millis(150) }
}

fn policy(idempotent: bool) -> CallPolicy {
    CallPolicy { idempotent, retry: Some(retries()), ..CallPolicy::default() }
}

fn overloaded() -> BusError {
    BusError::overloaded(&target())
}

fn unknown() -> BusError {
    BusError::timeout(&target(), Duration::from_millis(1))
}

/// Makes one call over a bus with these answers. Returns its result, and the requests that the bus
/// received.
async fn play(
    answers: &[BusError],
    policy: CallPolicy,
    request: Envelope,
) -> (Result<Envelope, BusError>, Vec<Seen>) {
    let bus = Arc::new(Scripted {
        answers: Mutex::new(answers.iter().cloned().collect()),
        ..Scripted::default()
    });
    let retry = RetryingBus::new(bus.clone());
    retry.set(target(), &policy);
    let answer = retry.call(request).await;
    let seen = bus.seen.lock().unwrap().clone();
    (answer, seen)
}

fn request() -> Envelope {
    Envelope { timeout: Some(Duration::from_secs(2)), ..Envelope::request(target(), "{}") }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_did_not_run_is_tried_again_with_the_time_that_remains() {
    let sent = request();
    let (answer, seen) = play(&[overloaded(), overloaded()], policy(false), sent.clone()).await;
    assert_eq!(answer.unwrap().id, sent.id);
    let [(0, whole, first), (1, less, second), (2, least, third)] = seen.as_slice() else {
        panic!("{seen:?}")
    };
    assert_eq!(*whole, Duration::from_secs(2));
    assert_eq!((*whole - *less, *whole - *least), (*second - *first, *third - *first));
    for (wait, most) in [(*second - *first, 100), (*third - *second, 150)] {
        assert!(
            wait >= Duration::from_millis(most / 2) && wait <= Duration::from_millis(most + 1),
            "{wait:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_have_run_is_tried_again_only_where_that_is_safe() {
    assert_eq!(play(&[unknown()], policy(false), request()).await.1.len(), 1);
    assert_eq!(play(&[unknown()], policy(true), request()).await.1.len(), 2);
    let knows = Envelope { idempotent: true, ..request() };
    assert_eq!(play(&[unknown()], policy(false), knows).await.1.len(), 2);
    let said: BusError = CellError::domain("stock.locked", "later").retryable().into();
    assert_eq!(play(std::slice::from_ref(&said), policy(false), request()).await.1.len(), 1);
    assert_eq!(play(&[said], policy(true), request()).await.1.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_that_will_not_pass_is_not_tried_again() {
    let refused = BusError::new(CellError::new(Code::Refused, "no"), Outcome::NotRun);
    for error in [refused, BusError::not_found(&target()), CellError::bad_request("no").into()] {
        let (answer, seen) = play(std::slice::from_ref(&error), policy(true), request()).await;
        assert_eq!((answer, seen.len()), (Err(error), 1));
    }
}

#[tokio::test(start_paused = true)]
async fn after_the_last_attempt_the_error_is_the_callers() {
    let answers = vec![overloaded(); 9];
    let (answer, seen) = play(&answers, policy(false), request()).await;
    assert_eq!((answer, seen.len()), (Err(overloaded()), 4));
}

#[tokio::test(start_paused = true)]
async fn no_retry_begins_that_would_have_no_time() {
    let short = Envelope { timeout: Some(Duration::from_millis(40)), ..request() };
    let began = Instant::now();
    let (answer, seen) = play(&[overloaded()], policy(false), short).await;
    assert_eq!((answer, seen.len(), began.elapsed()), (Err(overloaded()), 1, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_not_hammered() {
    let bus = Arc::new(Scripted { always: Some(overloaded()), ..Scripted::default() });
    let retry = RetryingBus::new(bus.clone());
    let eager = RetryPolicy { backoff: Duration::ZERO, ..retries() };
    let eager = CallPolicy { retry: Some(eager), ..CallPolicy::default() };
    retry.set(target(), &eager);
    for _ in 0..1_000 {
        assert!(retry.call(request()).await.is_err());
    }
    // 1,000 calls, a tenth of that in retries, and the ten at the start.
    let calls = bus.seen.lock().unwrap().len();
    assert_eq!(calls, 1_110);
    // A second later there is one more.
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(retry.call(request()).await.is_err());
    assert_eq!(bus.seen.lock().unwrap().len(), calls + 2);
    // All but the three calls that have used all of their retries.
    assert_eq!(retry.retried(), [(target(), Retried { again: 111, denied: 998 })]);
}

#[tokio::test(start_paused = true)]
async fn retries_are_counted_as_long_as_there_is_a_policy() {
    let bus = Arc::new(Scripted {
        answers: Mutex::new(vec![overloaded(); 2].into()),
        ..Scripted::default()
    });
    let retry = RetryingBus::new(bus);
    retry.set_all([(target(), &policy(false))]);
    assert_eq!(retry.retried(), [(target(), Retried::default())]);
    assert!(retry.call(request()).await.is_ok());
    let counted = [(target(), Retried { again: 2, denied: 0 })];
    assert_eq!(retry.retried(), counted);
    retry.set_all([
        (target(), &policy(true)),
        ("demo.other".parse().unwrap(), &CallPolicy::default()),
    ]);
    assert_eq!(retry.retried(), counted, "another policy of the same target counts on");
    retry.set(target(), &policy(false));
    assert_eq!(retry.retried(), counted);
    retry.set_all([("demo.other".parse().unwrap(), &CallPolicy::default())]);
    assert_eq!(retry.retried(), [], "what is never tried again has no count");
}

#[tokio::test(start_paused = true)]
async fn a_target_without_a_policy_is_called_once() {
    let bus = Arc::new(Scripted { always: Some(overloaded()), ..Scripted::default() });
    let retry = RetryingBus::new(bus.clone());
    retry.set(target(), &policy(true));
    retry.set(target(), &CallPolicy::default());
    assert!(retry.call(request()).await.is_err());
    assert_eq!(bus.seen.lock().unwrap().len(), 1);
}

#[test]
fn waits_of_many_callers_are_spread() {
    let policy = retries();
    let waits: Vec<_> = (0..1_000).map(|_| delay(&policy, 0, request().id).as_millis()).collect();
    let quarter = |from| waits.iter().filter(|wait| (from..from + 13).contains(*wait)).count();
    for from in [50, 62, 75, 87] {
        assert!(
            quarter(from) > 150,
            "{} of 1000 waits between {from} and {} ms",
            quarter(from),
            from + 13
        );
    }
}
