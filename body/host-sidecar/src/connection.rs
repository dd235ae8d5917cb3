//! The connection of a welcomed process: ready, calls, health checks, drain.

use std::{pin::pin, sync::Arc, time::Instant};

use process::Process;
use sidecar::{End, Engine, Peer, Role, proto, wire::Frames};
use tokio::{
    net::UnixStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

use crate::{
    heartbeat::Heartbeat,
    inbound_handler::InboundHandler,
    instance::{EXIT_PATIENCE, ExitReason, Instance, ProcessStage},
    pooled_process::PooledProcess,
};

/// The connection of a welcomed process, with its engine and its printer.
pub(crate) struct Connection<'a> {
    instance: &'a Instance,
    process: &'a Process,
    pooled: Arc<PooledProcess>,
    /// The task of the engine, and no other task.
    engine: JoinSet<End>,
    /// The task of the printer, which runs beside the engine.
    _printer: JoinSet<()>,
}

impl<'a> Connection<'a> {
    pub(crate) fn open(
        instance: &'a Instance,
        process: &'a Process,
        frames: Frames<UnixStream>,
        hello: &proto::Hello,
    ) -> Self {
        let plan = &instance.plan;
        let heartbeat = Arc::<Heartbeat>::default();
        let settings = &plan.settings;
        let or = |said: u32, else_: usize| if said == 0 { else_ } else { said as usize };
        let capacity = or(hello.in_flight_max, plan.concurrency);
        let (inbound, printing) =
            InboundHandler::new(plan.env.clone(), heartbeat.clone(), settings);
        let agreed = sidecar::Settings {
            side: Role::Body,
            frame_bytes_max: or(hello.frame_bytes_max, settings.frame_bytes_max),
            credit_granted: settings.credit,
            credit_held: hello.credit,
            accepted_max: settings.requests_max as usize,
            sent_max: capacity,
        };
        let (peer, engine): (_, Engine<_>) = Peer::new(frames, agreed, inbound.clone());
        let mut running = JoinSet::new();
        running.spawn(engine);
        let mut printer = JoinSet::new();
        printer.spawn(printing);
        let pooled = PooledProcess::new(instance.number, peer, heartbeat, inbound, capacity);
        Self { instance, process, pooled, engine: running, _printer: printer }
    }

    /// Waits for `ready`, and then lets the process take calls until its connection breaks or it is
    /// to end.
    pub(crate) async fn run(mut self, ready: impl FnOnce()) -> ExitReason {
        let instance = self.instance;
        let times = &instance.plan.settings.times;
        tokio::select! {
            biased;
            () = instance.stop.cancelled() => return ExitReason::Orderly,
            () = self.pooled.heartbeat.ready.notified() => {}
            end = ended(&mut self.engine) => return broke(end, ProcessStage::Ready),
            _ = self.process.ended() => return self.last_words(ProcessStage::Ready).await,
            () = sleep(times.ready) => {
                let limit = times.ready.as_secs_f64();
                self.pooled.peer.goodbye(format!("not ready within {limit} s"));
                return ExitReason::Stuck(format!("did not say ready within {limit} s: its start hook takes too long"));
            }
        }
        instance.row.ready(self.pooled.peer.clone(), self.pooled.heartbeat.clone());
        instance.pool.join(self.pooled.clone());
        ready();
        let broke = self.watch().await;
        instance.pool.leave(&self.pooled);
        match broke {
            ExitReason::Orderly => self.drain().await,
            broke => broke,
        }
    }

    /// Watches the process while it takes calls.
    async fn watch(&mut self) -> ExitReason {
        let instance = self.instance;
        let process = self.process;
        let mut tick = interval(instance.plan.settings.times.ping);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut stuck = None;
        let mut process_ended = pin!(process.ended());
        loop {
            tokio::select! {
                biased;
                () = instance.stop.cancelled() => return ExitReason::Orderly,
                end = ended(&mut self.engine) => return broke(end, ProcessStage::Serving),
                _ = &mut process_ended => {
                    instance.pool.leave(&self.pooled);
                    return self.last_words(ProcessStage::Serving).await;
                }
                _ = tick.tick() => if let Some(broke) = instance.look(&self.pooled, &mut stuck) { return broke },
            }
        }
    }

    /// Waits until the last frames of an ended process have been read. They may hold the reason of
    /// its end.
    async fn last_words(&mut self, stage: ProcessStage) -> ExitReason {
        match timeout(EXIT_PATIENCE, ended(&mut self.engine)).await {
            Ok(end) => broke(end, stage),
            Err(_) => ExitReason::CallError(stage),
        }
    }

    /// Lets the process finish its calls, and waits for its goodbye and its end.
    async fn drain(mut self) -> ExitReason {
        let limit = self.instance.plan.settings.times.drain;
        self.instance.row.draining();
        if !self.instance.stop_all.is_cancelled() {
            // The cell goes on without this process: its calls keep their full time.
            tokio::select! {
                () = self.pooled.vacant() => {}
                () = self.instance.stop_all.cancelled() => {}
                () = sleep(self.instance.plan.timeout()) => {}
            }
        }
        let goodbye = async {
            self.pooled.vacant().await;
            self.pooled.peer.drain(limit);
            ended(&mut self.engine).await;
            self.process.ended().await;
        };
        if timeout(limit, goodbye).await.is_err() {
            self.pooled.peer.goodbye("");
        }
        ExitReason::Orderly
    }
}

impl Instance {
    /// Checks the process's health, and whether it is to leave.
    fn look(&self, pooled: &Arc<PooledProcess>, stuck: &mut Option<Instant>) -> Option<ExitReason> {
        let (times, now) = (&self.plan.settings.times, Instant::now());
        let owes = pooled.heartbeat.owes(now, times.ping);
        if owes >= times.pong {
            let reason =
                format!("hangs: it has not answered a ping for {} s", times.pong.as_secs_f64());
            return Some(ExitReason::Stuck(reason));
        }
        pooled.peer.ping(pooled.heartbeat.ping(now));
        // Abandoned calls that the process does not answer still count against its limit. If they
        // fill the limit, the process is of no use.
        if pooled.peer.abandoned().count < pooled.capacity {
            *stuck = None;
        } else if now.duration_since(*stuck.get_or_insert(now)) >= times.cancel {
            let reason = format!(
                "hangs: all {} calls that it has were given up, and it answers none",
                pooled.capacity
            );
            return Some(ExitReason::Stuck(reason));
        }
        if self.pool.is_short() {
            self.pool.wants.notify_one();
        }
        let least = self.plan.launch.instances.min.get() as usize;
        self.pool.dismiss(pooled, least, times.idle).then_some(ExitReason::Orderly)
    }
}

/// Waits for the engine's end. Cancel-safe.
async fn ended(engine: &mut JoinSet<End>) -> End {
    match engine.join_next().await {
        Some(Ok(end)) => end,
        Some(Err(error)) => End::Io(format!("its connection's task ended: {error}")),
        None => End::Closed,
    }
}

fn broke(end: End, stage: ProcessStage) -> ExitReason {
    match end {
        End::Protocol(reason) => ExitReason::Fault(format!("protocol: {reason}")),
        End::Goodbye(reason) if !reason.is_empty() => {
            ExitReason::Fault(format!("said goodbye: {reason}"))
        }
        _ => ExitReason::CallError(stage),
    }
}
