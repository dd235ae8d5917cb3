//! The thread that watches all lanes. It names those that are blocked, measures the time to wait
//! for Python's lock, and lets pools grow and shrink. It never waits for Python's lock itself: a
//! second thread takes it.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use crate::{
    lane::{Lane, LaneEvent, LaneStatus, now_us},
    pool::Pool,
    probe, worker,
};

/// Time between two looks at pools that may grow or shrink, while they have calls.
const VARYING_EVERY: Duration = Duration::from_millis(25);
/// Time between two health checks of lanes that have calls.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time between two looks at pools with surplus lanes, while there are no calls.
const IDLE_EVERY: Duration = Duration::from_secs(1);
/// Limit of the time that a cancelled call may take to end before it counts as stuck. `_body.py`
/// has the same limit for calls whose lane still answers.
const STUCK_AFTER: Duration = Duration::from_millis(250);

static WATCH: OnceLock<Watch> = OnceLock::new();

struct Watch {
    pools: Mutex<Vec<Weak<Pool>>>,
    coming: Mutex<Vec<(Weak<Pool>, Arc<Lane>)>>,
    thread: OnceLock<Thread>,
    asleep: AtomicBool,
}

/// Adds a pool to those that are watched.
pub(crate) fn add(pool: &Arc<Pool>) {
    let watch = WATCH.get_or_init(begin);
    let mut pools = lock(&watch.pools);
    pools.retain(|pool| pool.strong_count() > 0);
    pools.push(Arc::downgrade(pool));
}

/// Adds a lane that is starting. Its pool receives a report when the lane has started or failed.
pub(crate) fn expect(pool: &Arc<Pool>, lane: Arc<Lane>) {
    if let Some(watch) = WATCH.get() {
        lock(&watch.coming).push((Arc::downgrade(pool), lane));
    }
}

/// Wakes the thread after a call has come or a lane has ended. Costs one read while the thread is
/// awake.
pub(crate) fn wake() {
    if let Some(watch) = WATCH.get()
        && watch.asleep.load(Ordering::SeqCst)
        && watch.asleep.swap(false, Ordering::SeqCst)
        && let Some(thread) = watch.thread.get()
    {
        thread.unpark();
    }
}

/// Returns the time that a Python thread waited for Python's lock at the last sample, in
/// microseconds.
pub(crate) fn lock_wait_us() -> u64 {
    probe::lock_wait_us()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn begin() -> Watch {
    let spawned = thread::Builder::new().name("cbs-lanes".to_owned()).spawn(|| {
        // Parked until the static is there; `wake` wakes it.
        let watch = loop {
            match WATCH.get() {
                Some(watch) => break watch,
                None => thread::park_timeout(VARYING_EVERY),
            }
        };
        watch.live();
    });
    let watch = Watch {
        pools: Mutex::default(),
        coming: Mutex::default(),
        thread: OnceLock::new(),
        asleep: AtomicBool::new(false),
    };
    match spawned {
        Ok(thread) => _ = watch.thread.set(thread.thread().clone()),
        Err(error) => tracing::warn!("no thread looks after Python's lanes: {error}"),
    }
    watch
}

impl Watch {
    fn live(&self) {
        let mut asked_at = 0;
        loop {
            let ask = now_us().saturating_sub(asked_at) >= micros(LOOK_EVERY);
            let next = self.look(ask);
            if ask {
                asked_at = now_us();
            }
            match next {
                Some(wait) if wait < IDLE_EVERY => thread::park_timeout(wait),
                // A call that comes in the meantime must not wait so long for more lanes.
                _ => {
                    self.asleep.store(true, Ordering::SeqCst);
                    // A call may have come between the look and this flag.
                    match self.look(false) {
                        Some(wait) => thread::park_timeout(wait),
                        None => thread::park(),
                    }
                    self.asleep.store(false, Ordering::SeqCst);
                }
            }
        }
    }

    /// Looks at everything once. Returns the time until the next look, or `None` if only an event
    /// needs one.
    fn look(&self, ask: bool) -> Option<Duration> {
        self.welcome();
        let pools: Vec<_> = lock(&self.pools).iter().filter_map(Weak::upgrade).collect();
        let mut next = (!lock(&self.coming).is_empty()).then_some(VARYING_EVERY);
        let mut sooner = |wait: Duration| next = Some(next.map_or(wait, |next| next.min(wait)));
        let mut busy = false;
        for pool in pools {
            let lanes = pool.lanes();
            let works = lanes.iter().any(|lane| lane.load.now() > 0);
            if works {
                busy = true;
                sooner(if pool.varies() || pool.plan.watchdog.exit_when_stuck {
                    VARYING_EVERY
                } else {
                    LOOK_EVERY
                });
            }
            if pool.varies() {
                pool.balance();
            }
            if pool.has_surplus() {
                sooner(IDLE_EVERY);
                pool.shrink();
            }
            for lane in &lanes {
                look_at(&pool, lane, ask);
            }
            for reported in pool.lines.left_out() {
                // Not logged as a line of the cell: its limit of log lines is used up.
                tracing::warn!(target: "cbs::log", cell = %pool.plan.env.target.name(), "{reported}");
            }
            if pool.lines.has_untold() {
                sooner(IDLE_EVERY);
            }
        }
        if busy && ask {
            probe::sample();
        }
        next
    }

    /// Reports to pools the lanes that have started or failed.
    fn welcome(&self) {
        let mut came = Vec::new();
        lock(&self.coming).retain(|(pool, lane)| {
            let status = lane.status.borrow().clone();
            let settled = !matches!(status, LaneStatus::Starting);
            if settled {
                came.push((pool.upgrade(), lane.clone(), status));
            }
            !settled
        });
        for (pool, lane, status) in came {
            match pool {
                Some(pool) => pool.arrived(lane, &status),
                None => lane.notify(LaneEvent::Stop { hooks: false }),
            }
        }
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn look_at(pool: &Arc<Pool>, lane: &Arc<Lane>, ask: bool) {
    if let LaneStatus::Ended(reason) = &*lane.status.borrow() {
        let reason = format!("lane {}: {}", lane.number, reason.as_deref().unwrap_or("it ended"));
        if pool.lane_ended(lane, &reason) && pool.plan.watchdog.exit_when_stuck {
            // A process without its only lane is of no use: its supervisor starts another.
            worker::end(&reason);
        }
        return;
    }
    let watchdog = pool.plan.watchdog;
    let behind = lane.behind_us();
    if watchdog.exit_when_stuck && lane.cancel_waits() && behind >= micros(STUCK_AFTER) {
        let place = place(pool, lane);
        stuck(pool.plan.env.target.name(), &place, true);
    }
    if behind < micros(watchdog.blocked_after) {
        lane.health.reported.store(false, Ordering::Relaxed);
    } else if !lane.health.reported.swap(true, Ordering::Relaxed) {
        let (cell, place) = (pool.plan.env.target.name(), place(pool, lane));
        tracing::warn!(
            target: "cbs::cell",
            %cell,
            "the cell has blocked lane {} for more than {} ms at {place}; its other calls wait: it should await, or be \
             a `def`, which runs on a thread", lane.number, watchdog.blocked_after.as_millis()
        );
    }
    if ask && lane.load.now() > 0 {
        lane.notify(LaneEvent::Ping);
    }
}

fn place(pool: &Pool, lane: &Lane) -> String {
    let folder =
        pool.plan.file.parent().map(|folder| format!("{}/", folder.display())).unwrap_or_default();
    probe::place(lane.health.ident.load(Ordering::Relaxed), folder)
}

/// Reports a call that was cancelled and has not ended. If `exit` is true, ends the process, which
/// runs this cell alone: its supervisor starts another, and only this cell's calls are lost.
pub(crate) fn stuck(cell: &str, place: &str, exit: bool) {
    if exit {
        worker::end(&format!("a call was cancelled and has not ended: it is at {place}"));
    }
    tracing::warn!(target: "cbs::cell", %cell, "a call was cancelled and has not ended: it is at {place}");
}
