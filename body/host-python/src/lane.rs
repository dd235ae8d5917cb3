//! The Rust side of a lane: its inbox, the socket that wakes its event loop, and its status. The
//! thread itself is in `lane_thread`.

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
use model::Phase;
use tokio::sync::watch;

use crate::{call::Call, host_call::Done};

static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns the microseconds since the first use of this clock; never 0.
pub(crate) fn now_us() -> u64 {
    u64::try_from(BEGAN.elapsed().as_micros()).unwrap_or(u64::MAX).saturating_add(1)
}

/// Counter that goes up and down, never below zero.
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

/// Kind of message that a lane receives besides calls.
pub(crate) enum LaneEvent {
    /// The caller of this call has given up.
    Cancel(Arc<Call>),
    /// A host call is done.
    Done(Done),
    /// Request to run the stop hooks (or not), cancel what is left, and end.
    Stop { hooks: bool },
    /// Health check without content: the time until the loop takes it is the result.
    Ping,
}

/// State of a lane, from its thread's start to its end.
#[derive(Clone, Debug)]
pub(crate) enum LaneStatus {
    /// The lane loads its module and runs its start hooks.
    Starting,
    /// The lane takes calls.
    Ready,
    /// The lane could not be started.
    Failed(HostError),
    /// The lane's thread has ended; with the reason if it ended by itself.
    Ended(Option<String>),
}

#[derive(Default)]
struct Inbox {
    calls: VecDeque<Arc<Call>>,
    events: Vec<LaneEvent>,
    /// Set when the lane has ended: then nothing is taken from the inbox any more.
    closed: bool,
    /// Set while the loop was woken and has not yet found its inbox empty: it needs no second
    /// wake-up.
    awake: bool,
}

/// Python thread with an event loop, as all other threads see it. None of these functions waits for
/// Python's lock.
pub(crate) struct Lane {
    /// Number of the lane among those of its cell.
    pub(crate) number: u32,
    /// Number of calls that wait for the lane or run in it.
    pub(crate) load: Gauge,
    /// Number of calls that run in the lane.
    pub(crate) running: Gauge,
    pub(crate) health: Health,
    pub(crate) status: watch::Sender<LaneStatus>,
    inbox: Mutex<Inbox>,
    /// Calls that the loop has taken and perhaps not begun.
    handed: Mutex<Vec<Arc<Call>>>,
    wake_fd: (UnixStream, UnixStream),
}

/// Health data of a lane.
#[derive(Default)]
pub(crate) struct Health {
    /// Time at which the oldest item in the inbox came, by [`now_us`]; 0 if the inbox is empty.
    pub(crate) waits_since: AtomicU64,
    /// Time that the last item waited for the loop, in microseconds.
    pub(crate) lag_us: AtomicU64,
    /// Python's number of the lane's thread.
    pub(crate) ident: AtomicU64,
    /// Set when the log already has a line that the lane is blocked now.
    pub(crate) reported: AtomicBool,
    /// Set when the lane was asked to end.
    pub(crate) stopping: AtomicBool,
}

impl Lane {
    pub(crate) fn new(number: u32) -> io::Result<Arc<Self>> {
        let (sender, receiver) = UnixStream::pair()?;
        sender.set_nonblocking(true)?;
        receiver.set_nonblocking(true)?;
        let lane = Self {
            number,
            load: Gauge::default(),
            running: Gauge::default(),
            health: Health::default(),
            status: watch::channel(LaneStatus::Starting).0,
            inbox: Mutex::default(),
            handed: Mutex::default(),
            wake_fd: (sender, receiver),
        };
        Ok(Arc::new(lane))
    }

    /// Gives the lane a call to run. Returns false if `bound` calls already run, or if `bound`
    /// calls wait that have not been given up.
    pub(crate) fn offer(self: &Arc<Self>, call: &Arc<Call>, bound: usize) -> bool {
        call.move_to(self);
        let mut inbox = self.inbox();
        if inbox.closed {
            drop(inbox);
            call.refuse();
            return true;
        }
        // Calls that were given up and still run count too: a cell that ignores every cancellation
        // must not fill the memory.
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

    /// Reports to the lane that the caller of a call that it runs has given up.
    pub(crate) fn cancel(&self, call: Arc<Call>) {
        self.notify(LaneEvent::Cancel(call));
    }

    pub(crate) fn notify(&self, event: LaneEvent) {
        if matches!(event, LaneEvent::Stop { .. }) {
            self.health.stopping.store(true, Ordering::Relaxed);
        }
        let mut inbox = self.inbox();
        // A lane that does not answer needs no second health check.
        if inbox.closed || (matches!(event, LaneEvent::Ping) && !inbox.events.is_empty()) {
            return;
        }
        inbox.events.push(event);
        self.wake(inbox);
    }

    /// Waits until the lane's thread has ended.
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
            // A full socket wakes the loop already; a closed one has no receiver.
            _ = (&self.wake_fd.0).write(&[1]);
        }
    }

    /// Returns the file descriptor that the event loop watches.
    pub(crate) fn wake_fd(&self) -> RawFd {
        self.wake_fd.1.as_raw_fd()
    }

    /// Empties the wake-up socket after the loop was woken.
    pub(crate) fn received(&self) {
        let mut rung = [0; 64];
        _ = (&self.wake_fd.1).read(&mut rung);
    }

    /// Returns everything in the inbox. If there is nothing and `last` is true, the next item wakes
    /// the loop again.
    pub(crate) fn take(&self, last: bool) -> (VecDeque<Arc<Call>>, Vec<LaneEvent>) {
        let mut inbox = self.inbox();
        let taken = (std::mem::take(&mut inbox.calls), std::mem::take(&mut inbox.events));
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

    /// Returns the calls that wait for this lane, in the inbox or in the loop.
    pub(crate) fn waiting(&self) -> Vec<Arc<Call>> {
        let handed = self.handed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let queued = self.inbox().calls.iter().cloned().collect::<Vec<_>>();
        handed.into_iter().chain(queued).filter(|call| call.waits()).collect()
    }

    /// Closes the inbox of a lane that has ended, and answers all waiting calls with an error.
    pub(crate) fn clear(&self) {
        let taken =
            std::mem::replace(&mut *self.inbox(), Inbox { closed: true, ..Inbox::default() });
        let handed =
            std::mem::take(&mut *self.handed.lock().unwrap_or_else(PoisonError::into_inner));
        for call in taken.calls.into_iter().chain(handed) {
            call.refuse();
        }
    }

    /// Returns true if the inbox has a cancellation that the loop has not taken yet.
    pub(crate) fn cancel_waits(&self) -> bool {
        self.inbox().events.iter().any(|event| matches!(event, LaneEvent::Cancel(_)))
    }

    /// Returns the time that the oldest item has waited for the loop, in microseconds.
    pub(crate) fn behind_us(&self) -> u64 {
        match self.health.waits_since.load(Ordering::Relaxed) {
            0 => 0,
            since => now_us().saturating_sub(since),
        }
    }

    /// Returns the status of the lane for operators.
    pub(crate) fn worker(&self, blocked_us: u64, lock_wait_us: u64) -> Worker {
        let load = self.load.now();
        let running = self.running.now();
        let behind = self.behind_us();
        let state = match &*self.status.borrow() {
            LaneStatus::Starting => Phase::Starting.as_str(),
            LaneStatus::Ready if behind >= blocked_us => "blocked",
            LaneStatus::Ready => Phase::Ready.as_str(),
            LaneStatus::Failed(_) | LaneStatus::Ended(_) => Phase::Stopped.as_str(),
        };
        Worker {
            name: Text::from(format!("lane {}", self.number)),
            state: state.into(),
            in_flight: running,
            queued: load.saturating_sub(running),
            // An old measurement says nothing about a lane that has no calls.
            lag_us: if load == 0 {
                behind
            } else {
                behind.max(self.health.lag_us.load(Ordering::Relaxed))
            },
            lock_wait_us,
            ..Worker::default()
        }
    }

    fn inbox(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
