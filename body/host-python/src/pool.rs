//! The lanes of one cell: chooses the lane of each call, and starts and ends lanes as needed.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use cbs::{BusError, CellContext, CellEnv, CellError, Code, Envelope, Outcome, Worker};
use tokio::{
    runtime::Handle,
    sync::{Semaphore, oneshot, watch},
    time::timeout,
};

use crate::{
    call::{Answer, Call, Pending},
    host_call::HostCalls,
    lane::{Lane, LaneEvent, LaneStatus, now_us},
    lane_thread,
    log::CellLines,
    watch as sampler,
};

/// Time after which a waiting call asks for another lane, in microseconds.
const LATE_US: u64 = 20_000;
/// Time after which lanes above the least number end if they were not needed, in microseconds.
const SURPLUS_US: u64 = 10_000_000;
/// Time that no other lane is tried after one could not be started, in microseconds.
const REGROW_US: u64 = 5_000_000;
/// Limit of the calls that may wait in one lane, as a multiple of the cell's concurrency. Calls
/// that were given up count too, until the lane takes them.
const WAITING_FACTOR: usize = 4;

/// Limit of the number of lanes that end at once. Each thread that waits for Python's lock wakes
/// every 5 ms to ask for it: a thousand such threads would need more processor time than the work
/// that they wait for.
static ENDING: Semaphore = Semaphore::const_new(16);
/// Time to wait for one lane to end before the next one is asked: a slow lane runs a stop hook.
const ENDING_WAIT: Duration = Duration::from_millis(20);

/// Settings and source that the lanes of a cell are made from.
pub(crate) struct Plan {
    pub(crate) env: Arc<CellEnv>,
    /// Path of the cell's file: absolute, so that the paths in tracebacks are absolute too.
    pub(crate) file: PathBuf,
    /// Bytes of the file, read once, so that all lanes run the same code.
    pub(crate) source: Vec<u8>,
    pub(crate) function: String,
    pub(crate) lanes_min: u32,
    pub(crate) lanes_max: u32,
    pub(crate) concurrency: usize,
    pub(crate) watchdog: WatchdogSettings,
}

/// Settings of the watch on lanes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WatchdogSettings {
    /// Time after which a lane that does not answer counts as blocked.
    pub(crate) blocked_after: Duration,
    /// True if a stuck call ends the process. Only used in a process that runs one cell alone.
    pub(crate) exit_when_stuck: bool,
}

impl Default for WatchdogSettings {
    fn default() -> Self {
        Self { blocked_after: Duration::from_secs(1), exit_when_stuck: false }
    }
}

/// Lanes of one instance of a cell. Dropping it ends them without stop hooks.
pub(crate) struct Pool {
    pub(crate) plan: Plan,
    pub(crate) lines: Arc<CellLines>,
    host_calls: Arc<HostCalls>,
    lanes: RwLock<Vec<Arc<Lane>>>,
    /// Number of lanes that are starting.
    coming: AtomicU32,
    next: AtomicU32,
    /// Time at which more than the least number of lanes were last needed.
    needed_at: AtomicU64,
    /// Earliest time at which another lane is tried after one failed; 0 means at once.
    grow_from: AtomicU64,
    stopping: AtomicBool,
    ended: watch::Sender<Option<String>>,
}

impl Pool {
    /// Starts the least number of lanes, and waits until all of them take calls.
    pub(crate) async fn start(plan: Plan) -> Result<Arc<Self>, StartError> {
        let host_calls = Arc::new(HostCalls::new(Handle::current()));
        let pool = Arc::new(Self {
            lines: Arc::default(),
            host_calls,
            lanes: RwLock::default(),
            coming: AtomicU32::new(0),
            next: AtomicU32::new(0),
            needed_at: AtomicU64::new(0),
            grow_from: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            ended: watch::Sender::new(None),
            plan,
        });
        for _ in 0..pool.plan.lanes_min {
            let lane = Unready(Some(pool.launch()?));
            let mut status = lane.subscribe();
            let settled = status.wait_for(|status| !matches!(status, LaneStatus::Starting)).await;
            match settled.map(|status| status.clone()) {
                Ok(LaneStatus::Ready) => lane.put_into(&pool),
                Ok(LaneStatus::Failed(error)) => return Err(StartError::Cell(error)),
                Ok(LaneStatus::Ended(reason)) => {
                    return Err(StartError::Lane(reason.unwrap_or_default()));
                }
                Ok(LaneStatus::Starting) | Err(_) => {
                    return Err(StartError::Lane("the lane has ended".to_owned()));
                }
            }
        }
        sampler::add(&pool);
        Ok(pool)
    }

    fn launch(&self) -> Result<Arc<Lane>, StartError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let parts = lane_thread::Parts {
            env: self.plan.env.clone(),
            host_calls: self.host_calls.clone(),
            lines: self.lines.clone(),
            file: self.plan.file.clone(),
            source: self.plan.source.clone(),
            function: self.plan.function.clone(),
            exit_when_stuck: self.plan.watchdog.exit_when_stuck,
        };
        lane_thread::spawn(number, parts).map_err(StartError::Thread)
    }

    fn admit(&self, lane: Arc<Lane>) {
        self.lanes.write().unwrap_or_else(PoisonError::into_inner).push(lane);
    }

    /// Gives a call to the lane with the fewest calls. A lane that is behind comes last.
    pub(crate) fn submit<'a>(
        &self,
        context: &'a CellContext,
        request: Envelope,
    ) -> Result<(Pending<'a>, oneshot::Receiver<Answer>), BusError> {
        let (call, answer) = Call::new(&self.plan.env, request);
        let lanes = self.lanes.read().unwrap_or_else(PoisonError::into_inner);
        let least = match lanes.as_slice() {
            [only] => Some(only),
            several => {
                several.iter().min_by_key(|lane| (lane.behind_us() > LATE_US, lane.load.now()))
            }
        };
        let lane = least
            .ok_or_else(|| BusError::unavailable(&self.plan.env.target, "it is being stopped"))?;
        if !lane.offer(&call, self.plan.concurrency.saturating_mul(WAITING_FACTOR)) {
            _ = call.abandon();
            let message = "too many calls wait for the cell's lanes: it is blocked";
            return Err(BusError::new(
                CellError::new(Code::Overloaded, message).retryable(),
                Outcome::NotRun,
            ));
        }
        sampler::wake();
        Ok((Pending::new(call, context), answer))
    }

    /// Returns all lanes that take calls.
    pub(crate) fn lanes(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the status of each lane.
    pub(crate) fn workers(&self) -> Vec<Worker> {
        let blocked =
            u64::try_from(self.plan.watchdog.blocked_after.as_micros()).unwrap_or(u64::MAX);
        let lock_wait = sampler::lock_wait_us();
        self.lanes().iter().map(|lane| lane.worker(blocked, lock_wait)).collect()
    }

    /// Returns true if there can be more than one lane. Otherwise there is nothing to balance.
    pub(crate) fn varies(&self) -> bool {
        self.plan.lanes_max > 1
    }

    /// Returns true if there are more lanes than the least number.
    pub(crate) fn has_surplus(&self) -> bool {
        self.plan.lanes_min < self.plan.lanes_max
            && self.lanes().len() > self.plan.lanes_min as usize
    }

    /// Gives calls that have waited too long to lanes without calls, and starts more lanes for the
    /// rest.
    pub(crate) fn balance(self: &Arc<Self>) {
        let lanes = self.lanes();
        let now = now_us();
        let waiting = lanes.iter().flat_map(|lane| lane.waiting());
        let late: Vec<_> =
            waiting.filter(|call| now.saturating_sub(call.since_us) >= LATE_US).collect();
        if late.is_empty() {
            return;
        }
        self.needed_at.store(now, Ordering::Relaxed);
        let mut free =
            lanes.iter().filter(|lane| lane.load.now() == 0 && lane.behind_us() < LATE_US);
        let mut left = 0_u32;
        for call in late {
            match free.next() {
                Some(lane) => _ = lane.offer(&call, usize::MAX),
                None => left += 1,
            }
        }
        let there =
            u32::try_from(lanes.len()).unwrap_or(u32::MAX) + self.coming.load(Ordering::Acquire);
        if now < self.grow_from.load(Ordering::Relaxed) {
            return;
        }
        for _ in 0..left.min(self.plan.lanes_max.saturating_sub(there)) {
            self.grow();
        }
    }

    fn grow(self: &Arc<Self>) {
        if self.stopping.load(Ordering::Acquire) {
            return;
        }
        match self.launch() {
            Ok(lane) => {
                self.coming.fetch_add(1, Ordering::AcqRel);
                sampler::expect(self, lane);
            }
            Err(error) => self.not_grown(&error),
        }
    }

    /// Logs that a lane could not be started, and delays the next attempt: it may fail for the same
    /// reason.
    fn not_grown(&self, reason: &dyn std::fmt::Display) {
        self.grow_from.store(now_us().saturating_add(REGROW_US), Ordering::Relaxed);
        let cell = self.plan.env.target.name();
        tracing::warn!(
            target: "cbs::cell", %cell,
            "a further lane could not be started, and is tried again in {} s: {reason}", REGROW_US / 1_000_000
        );
    }

    /// Records that a lane has started, or has failed to start.
    pub(crate) fn arrived(&self, lane: Arc<Lane>, status: &LaneStatus) {
        self.coming.fetch_sub(1, Ordering::AcqRel);
        match status {
            LaneStatus::Ready if self.stopping.load(Ordering::Acquire) => {
                lane.notify(LaneEvent::Stop { hooks: true });
            }
            LaneStatus::Ready => self.admit(lane),
            LaneStatus::Failed(error) => self.not_grown(error),
            LaneStatus::Ended(reason) => {
                self.not_grown(&reason.as_deref().unwrap_or("its thread ended"));
            }
            LaneStatus::Starting => self.not_grown(&"it does not come"),
        }
    }

    /// Ends one lane above the least number if none of those was needed for a while.
    pub(crate) fn shrink(&self) {
        let needed = self.needed_at.load(Ordering::Relaxed);
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let running: u64 = lanes.iter().map(|lane| lane.load.now()).sum();
        if lanes.len() <= self.plan.lanes_min as usize
            || now_us().saturating_sub(needed) < SURPLUS_US
            || running >= lanes.len() as u64
        {
            return;
        }
        // Only a lane without calls is ended: no call can be given to it while this list is locked.
        if let Some(at) = lanes.iter().rposition(|lane| lane.load.now() == 0) {
            lanes.remove(at).notify(LaneEvent::Stop { hooks: true });
        }
    }

    /// Records that a lane ended. Returns true if the lane ended by itself: then the cell has ended
    /// too.
    pub(crate) fn lane_ended(&self, lane: &Lane, reason: &str) -> bool {
        let mut lanes = self.lanes.write().unwrap_or_else(PoisonError::into_inner);
        let before = lanes.len();
        lanes.retain(|other| other.number != lane.number);
        let unasked = lanes.len() < before;
        drop(lanes);
        if unasked {
            self.ended.send_replace(Some(reason.to_owned()));
        }
        unasked
    }

    /// Returns a receiver that gets the reason when a lane ended by itself.
    pub(crate) fn ended(&self) -> watch::Receiver<Option<String>> {
        self.ended.subscribe()
    }

    /// Runs the stop hooks in every lane, and waits until the lanes' threads have ended.
    pub(crate) async fn stop(&self) {
        self.stopping.store(true, Ordering::Release);
        let lanes =
            std::mem::take(&mut *self.lanes.write().unwrap_or_else(PoisonError::into_inner));
        for lane in &lanes {
            // It is never closed.
            let _turn = ENDING.acquire().await;
            lane.notify(LaneEvent::Stop { hooks: true });
            _ = timeout(ENDING_WAIT, lane.has_ended()).await;
        }
        for lane in lanes {
            lane.has_ended().await;
        }
    }
}

/// Lane that may not take calls yet. If it is dropped before it is put into the pool, it is asked
/// to end.
struct Unready(Option<Arc<Lane>>);

impl Unready {
    fn subscribe(&self) -> watch::Receiver<LaneStatus> {
        match &self.0 {
            Some(lane) => lane.status.subscribe(),
            None => watch::channel(LaneStatus::Ended(None)).1,
        }
    }

    fn put_into(mut self, pool: &Pool) {
        if let Some(lane) = self.0.take() {
            pool.admit(lane);
        }
    }
}

impl Drop for Unready {
    fn drop(&mut self) {
        if let Some(lane) = self.0.take() {
            lane.notify(LaneEvent::Stop { hooks: false });
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for lane in self.lanes() {
            lane.notify(LaneEvent::Stop { hooks: false });
        }
    }
}

/// Reason why the lanes of a cell could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// The cell's module or its start hooks returned an error.
    #[error("{0}")]
    Cell(host::HostError),
    /// A lane ended.
    #[error("{0}")]
    Lane(String),
    /// The operating system could not start a thread.
    #[error("no thread for a lane: {0}")]
    Thread(io::Error),
}
