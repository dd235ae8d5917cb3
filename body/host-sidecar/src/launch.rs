//! Start of a cell in processes of its own.

use std::sync::Arc;

use cbs::CellEnv;
use host::{HostError, Started};
use model::CellSpec;
use process::KILL_LIMIT;
use tokio::{sync::Mutex, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    Settings,
    cell::ProcessCell,
    instance::OUTPUT_PATIENCE,
    plan::{Launch, Plan},
    pool_supervisor::{First, PoolSupervisor},
    process_pool::ProcessPool,
    rolling_replace::Better,
    worker_status::Rows,
};

/// Starts a cell in processes of its own, and returns when the cell takes calls. That is when the
/// least number of processes is ready, or when some are ready and the others have failed once (the
/// others are started again).
///
/// `Started.ended` is done when no process is left, with the reason of the last end, such as
/// `killed by SIGKILL`. Dropping `Started.cell` kills the processes.
///
/// # Errors
/// [`HostError::Runtime`] if no process could serve: it says which program, what it did, and how to
/// mend it.
pub async fn launch(
    settings: &Settings,
    launch: Launch,
    spec: &CellSpec,
    env: &CellEnv,
) -> Result<Started, HostError> {
    launch_until(settings, (launch, None), spec, env).await
}

/// Starts a cell as [`launch`] does, in processes that are replaced by better ones as soon as there
/// are any. No call fails by that. Until then the processes are called kernels.
pub(crate) async fn launch_until(
    settings: &Settings,
    (launch, better): (Launch, Option<Better>),
    spec: &CellSpec,
    env: &CellEnv,
) -> Result<Started, HostError> {
    let at = format!(
        "the program `{}` of `{}` ({}:{})",
        launch.program(),
        spec.name,
        spec.metadata.file.display(),
        spec.metadata.line
    );
    launch.check().map_err(|reason| HostError::Runtime(format!("{at}: {reason}")))?;
    let times = &settings.times;
    // Each part of a stop has its own limit. This limit is for unforeseen cases.
    let stop_limit = times.drain + times.term + KILL_LIMIT + OUTPUT_PATIENCE * 2;
    let silence = times.ping * 2;
    let pool = ProcessPool::new();
    let rows = Rows::default();
    let stop = CancellationToken::new();
    let called = if better.is_some() { "kernel process" } else { "process" };
    let plan = Arc::new(Plan::new(settings, launch, spec, env).called(called));
    // The better program is made only after the first one serves, so that it does not slow down the
    // start.
    let opened = CancellationToken::new();
    let better = better.map(|better| -> Better { Box::pin(after(opened.clone(), better)) });
    let mut supervisor =
        PoolSupervisor::new(plan.clone(), pool.clone(), rows.clone(), stop.clone())
            .with_better(better);
    let first = supervisor.start();
    let mut task = JoinSet::new();
    task.spawn(supervisor.keep());
    // From here on, dropping `cell` ends everything.
    let cell = ProcessCell {
        env: plan.env.clone(),
        pool: pool.clone(),
        stop,
        supervisor: Mutex::new(task),
        stop_limit,
    };
    let failure = last_failure(first).await;
    if let Err(last) = pool.open() {
        let reason = match last.or(failure) {
            Some(reason) => reason,
            // A process was ready and is about to end. Its exit status gives the reason.
            None => timeout(times.term, pool.ended())
                .await
                .unwrap_or_else(|_| "ended as soon as it was ready".to_owned()),
        };
        return Err(HostError::Runtime(format!("{at} {reason}")));
    }
    opened.cancel();
    Ok(Started {
        cell: Arc::new(cell),
        ended: Box::pin(pool.ended()),
        workers: Some(rows.workers(silence)),
    })
}

async fn after(opened: CancellationToken, better: Better) -> Option<Launch> {
    opened.cancelled().await;
    better.await
}

/// Waits until each process has begun, well or not. Returns the last failure.
async fn last_failure(first: Vec<First>) -> Option<String> {
    let mut failure = None;
    for first in first {
        if let Ok(Err(reason)) = first.await {
            failure = Some(reason);
        }
    }
    failure
}
