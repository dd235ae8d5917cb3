//! The thread that takes Python's lock so that no other thread has to wait for it. It finds the
//! place in the code at which a lane is, and the time to wait for the lock.

use std::{
    sync::{
        OnceLock,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread,
    time::Duration,
};

use pyo3::prelude::*;

use crate::{interpreter, lane::now_us};

/// Time to wait for Python's lock before another thread is reported to keep it. It is far above
/// Python's switch interval of 5 ms.
const LOCK_WAIT_MAX: Duration = Duration::from_millis(500);

/// Time that the last request waited for the lock, in microseconds.
static LAST_US: AtomicU64 = AtomicU64::new(0);
/// Time of the request that waits for the lock now; 0 if there is none.
static ASKED_AT: AtomicU64 = AtomicU64::new(0);

struct Question {
    thread: u64,
    folder: String,
    reply: SyncSender<Option<String>>,
}

/// Returns the time that a thread waited, or waits, for Python's lock, in microseconds.
pub(crate) fn lock_wait_us() -> u64 {
    match ASKED_AT.load(Ordering::Relaxed) {
        0 => LAST_US.load(Ordering::Relaxed),
        since => LAST_US.load(Ordering::Relaxed).max(now_us().saturating_sub(since)),
    }
}

/// Measures that time again, unless the last measurement still waits.
pub(crate) fn sample() {
    if let Some(questions) = questions() {
        // If the channel is full, a measurement is running, and its time counts on.
        _ = questions.try_send(None);
    }
}

/// Returns the place in the code at which a Python thread is, as text for operators.
pub(crate) fn place(thread: u64, folder: String) -> String {
    let (reply, answer) = sync_channel(1);
    let asked = questions().is_some_and(|questions| {
        let question = Some(Question { thread, folder, reply });
        questions.try_send(question).is_ok()
    });
    match answer.recv_timeout(LOCK_WAIT_MAX) {
        Ok(Some(place)) => place,
        Ok(None) => "an unknown place".to_owned(),
        Err(_) if asked || ASKED_AT.load(Ordering::Relaxed) != 0 => {
            "an unknown place: code that is not Python keeps Python's lock, and all Python cells of the body wait"
                .to_owned()
        }
        Err(_) => "an unknown place".to_owned(),
    }
}

fn questions() -> Option<&'static SyncSender<Option<Question>>> {
    static QUESTIONS: OnceLock<Option<SyncSender<Option<Question>>>> = OnceLock::new();
    let begin = || {
        let (ask, asked) = sync_channel(2);
        let spawned =
            thread::Builder::new().name("cbs-probe".to_owned()).spawn(move || live(&asked));
        spawned.is_ok().then_some(ask)
    };
    QUESTIONS.get_or_init(begin).as_ref()
}

fn live(asked: &Receiver<Option<Question>>) {
    while let Ok(question) = asked.recv() {
        let began = now_us();
        ASKED_AT.store(began, Ordering::Relaxed);
        Python::attach(|py| {
            LAST_US.store(now_us().saturating_sub(began), Ordering::Relaxed);
            ASKED_AT.store(0, Ordering::Relaxed);
            if let Some(question) = question {
                let place = interpreter::process(py)
                    .and_then(|process| {
                        process.call_method1("places", (question.thread, question.folder))
                    })
                    .and_then(|place| place.extract())
                    .unwrap_or(None);
                _ = question.reply.try_send(place);
            }
        });
    }
}
