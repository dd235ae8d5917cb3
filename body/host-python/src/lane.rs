//! A lane as Rust sees it: its inbox, what wakes its event loop, and how it fares. The thread itself is `lane_thread`.

use std::{
    collections::VecDeque,
    io::{self, Read, Write},
    os::{
        fd::{AsRawFd, RawFd},
        unix::net::UnixStream,
    },
    sync::{
        Arc, LazyLock, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use cbs::{Text, Worker};
use host::HostError;
use tokio::sync::watch;

use crate::{call::Call, host_call::Done};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Microseconds since the first look at this clock; never 0.
pub(crate) fn now_us() -> u64 {
    u64::try_from(BEGAN.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

/// A number that goes up and down, never below zero.
#[derive(Default)]
pub(crate) struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn take(&self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is told to a lane besides calls.
pub(crate) enum LaneEvent {
    /// The caller of this call has given up.
    Cancel(Arc<Call>),
    /// An errand is done.
    Done(Done),
    /// Run the stop hooks (or not), cancel what is left, and end.
    Stop { hooks: bool },
    /// Nothing: the answer alone tells how the loop fares.
    Ping,
}

/// How a lane stands, from its thread's start to its end.
#[derive(Clone, Debug)]
pub(crate) enum LaneStatus {
    /// Its module is loaded, its start hooks run.
    Starting,
    /// It takes calls.
    Ready,
    /// It could not be started.
    Failed(HostError),
    /// Its thread has ended; the reason where nobody asked it to.
    Ended(Option<String>),
}

#[derive(Default)]
struct Inbox {
    calls: VecDeque<Arc<Call>>,
    event: Vec<LaneEvent>,
    /// The lane has ended: nobody takes anything any more.
    closed: bool,
    /// The loop was woken and has not yet found its inbox empty: it needs no other wake-up.
    awake: bool,
}

/// One thread of Python with an event loop, as all other threads see it. Nobody here waits for Python's lock.
pub(crate) struct Lane {
    /// Which of its cell's lanes it is.
    pub(crate) number: u32,
    /// Calls that wait for it or run in it.
    pub(crate) load: Gauge,
    /// Calls that run in it.
    pub(crate) running: Gauge,
    pub(crate) health: Health,
    pub(crate) status: watch::Sender<LaneStatus>,
    inbox: Mutex<Inbox>,
    /// What the loop was handed and has perhaps not begun.
    handed: Mutex<Vec<Arc<Call>>>,
    wake_fd: (UnixStream, UnixStream),
}

/// How a lane fares.
#[derive(Default)]
pub(crate) struct Health {
    /// When the oldest item in the inbox came, by [`now_us`]; 0: it is empty.
    pub(crate) waits_since: AtomicU64,
    /// How long the last item waited for the loop, in microseconds.
    pub(crate) lag_us: AtomicU64,
    /// Python's number of the thread.
    pub(crate) ident: AtomicU64,
    /// It has been told of that it is blocked now.
    pub(crate) reported: AtomicBool,
    /// It was told to end.
    pub(crate) stopping: AtomicBool,
}

impl Lane {
    pub(crate) fn new(number: u32) -> io::Result<Arc<Self>> {
        let (ring, receive) = UnixStream::pair()?;
        ring.set_nonblocking(true)?;
        receive.set_nonblocking(true)?;
        let lane = Self {
            number,
            load: Gauge::default(),
            running: Gauge::default(),
            health: Health::default(),
            status: watch::channel(LaneStatus::Starting).0,
            inbox: Mutex::default(),
            handed: Mutex::default(),
            wake_fd: (ring, receive),
        };
        Ok(Arc::new(lane))
    }

    /// Gives it a call to run. `false` where so many wait already, of which none has been given up, or so many run.
    pub(crate) fn offer(self: &Arc<Self>, call: &Arc<Call>, bound: usize) -> bool {
        call.move_to(self);
        let mut inbox = self.inbox();
        if inbox.closed {
            drop(inbox);
            call.refuse();
            return true;
        }
        // What was given up and runs on counts too: a cell that swallows every cancellation is not to fill the memory.
        if self.running.now() >= u64::try_from(bound).unwrap_or(u64::MAX) {
            return false;
        }
        if inbox.calls.len() >= bound {
            inbox.calls.retain(|waiting| waiting.waits());
            if inbox.calls.len() >= bound {
                return false;
            }
        }
        inbox.calls.push_back(call.clone());
        self.wake(inbox);
        true
    }

    /// The caller of a call that this lane runs has given up.
    pub(crate) fn cancel(&self, call: Arc<Call>) {
        self.notify(LaneEvent::Cancel(call));
    }

    pub(crate) fn notify(&self, event: LaneEvent) {
        if matches!(event, LaneEvent::Stop { .. }) {
            self.health.stopping.store(true, Ordering::Relaxed);
        }
        let mut inbox = self.inbox();
        // A lane that does not answer needs no second question.
        if inbox.closed || (matches!(event, LaneEvent::Ping) && !inbox.event.is_empty()) {
            return;
        }
        inbox.event.push(event);
        self.wake(inbox);
    }

    /// Done when its thread has ended.
    pub(crate) async fn has_ended(&self) {
        let mut status = self.status.subscribe();
        _ = status.wait_for(|status| matches!(status, LaneStatus::Ended(_))).await;
    }

    fn wake(&self, mut inbox: MutexGuard<'_, Inbox>) {
        if self.health.waits_since.load(Ordering::Relaxed) == 0 {
            self.health.waits_since.store(now_us(), Ordering::Relaxed);
        }
        let ring = !inbox.awake;
        inbox.awake = true;
        drop(inbox);
        if ring {
            // A full socket rings already; a closed one has no one to hear it.
            _ = (&self.wake_fd.0).write(&[1]);
        }
    }

    /// What the loop listens to.
    pub(crate) fn wake_fd(&self) -> RawFd {
        self.wake_fd.1.as_raw_fd()
    }

    /// The loop has heard the bell.
    pub(crate) fn received(&self) {
        let mut rung = [0; 64];
        _ = (&self.wake_fd.1).read(&mut rung);
    }

    /// Hands over all that is in the inbox. Where there is nothing and this is the last look, the bell is rung again
    /// from now on.
    pub(crate) fn take(&self, last: bool) -> (VecDeque<Arc<Call>>, Vec<LaneEvent>) {
        let mut inbox = self.inbox();
        let taken = (std::mem::take(&mut inbox.calls), std::mem::take(&mut inbox.event));
        inbox.awake = !(last && taken.0.is_empty() && taken.1.is_empty());
        let since = self.health.waits_since.swap(0, Ordering::Relaxed);
        drop(inbox);
        if since != 0 {
            self.health.lag_us.store(now_us().saturating_sub(since), Ordering::Relaxed);
        }
        let mut handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner);
        if !handed.is_empty() {
            handed.retain(|call| call.waits());
        }
        handed.extend(taken.0.iter().cloned());
        taken
    }

    /// The calls that wait for this lane, wherever they stand.
    pub(crate) fn waiting(&self) -> Vec<Arc<Call>> {
        let handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queued = self.inbox().calls.iter().cloned().collect::<Vec<_>>();
        handed.into_iter().chain(queued).filter(|call| call.waits()).collect()
    }

    /// Answers all waiting calls, when the lane has ended.
    pub(crate) fn clear(&self) {
        let taken = std::mem::replace(&mut *self.inbox(), Inbox { closed: true, ..Inbox::default() });
        let handed = std::mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner));
        for call in taken.calls.into_iter().chain(handed) {
            call.refuse();
        }
    }

    /// Whether it has yet to hear that a call was given up.
    pub(crate) fn cancel_waits(&self) -> bool {
        self.inbox().event.iter().any(|event| matches!(event, LaneEvent::Cancel(_)))
    }

    /// How long the oldest item has waited for the loop, in microseconds.
    pub(crate) fn behind_us(&self) -> u64 {
        match self.health.waits_since.load(Ordering::Relaxed) {
            0 => 0,
            since => now_us().saturating_sub(since),
        }
    }

    /// The lane for a person.
    pub(crate) fn worker(&self, blocked_us: u64, lock_wait_us: u64) -> Worker {
        let (load, running, behind) = (self.load.now(), self.running.now(), self.behind_us());
        let state = match &*self.status.borrow() {
            LaneStatus::Starting => "starting",
            LaneStatus::Ready if behind >= blocked_us => "blocked",
            LaneStatus::Ready => "ready",
            LaneStatus::Failed(_) | LaneStatus::Ended(_) => "stopped",
        };
        Worker {
            name: Text::from(format!("lane {}", self.number)),
            state: state.into(),
            in_flight: running,
            queued: load.saturating_sub(running),
            // What was measured a while ago says nothing about a lane that rests.
            lag_us: if load == 0 { behind } else { behind.max(self.health.lag_us.load(Ordering::Relaxed)) },
            lock_wait_us,
            ..Worker::default()
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
