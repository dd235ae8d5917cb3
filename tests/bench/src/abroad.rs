//! A body that is a process of its own (`cbs up`), and calls of its cells from other processes.

use std::{fs, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use cbs::{Namespace, Subject, Target};
use tempfile::TempDir;

use crate::{
    caller::Caller,
    driver::{DRIVER, Order},
    load::Sample,
    program::{Program, Up},
    stage::{self, Bench},
};

/// A body in a process of its own; killed when dropped.
pub(crate) struct Abroad {
    pub(crate) up: Up,
    pub(crate) caller: Caller,
    pub(crate) namespace: Namespace,
    /// Time from the start of the process until each of the cells had answered.
    pub(crate) ready: Duration,
    _specs: TempDir,
}

impl Abroad {
    /// Runs a program on specs, and waits until each of these cells has answered a call with its
    /// input.
    pub(crate) async fn start(
        bench: &Bench,
        program: &Program,
        specs: &str,
        cells: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        fs::write(folder.path().join("cells.yaml"), specs)?;
        let namespace = stage::namespace()?;
        let asking = async_nats::connect(&bench.url).await?;
        let caller = Caller::connect(&bench.url, &namespace).await?;
        let mut up = program.up(folder.path(), &bench.url, &namespace)?;
        let mut ready = Duration::ZERO;
        for (cell, input) in cells {
            let subject = Subject::of(&namespace, &cell.parse::<Target>()?);
            ready = up
                .answered(&asking, subject.as_str(), input)
                .await
                .with_context(|| format!("cell {cell}"))?;
        }
        Ok(Self { up, caller, namespace, ready, _specs: folder })
    }

    /// Measures calls of one of its cells within the body, made by its driver.
    pub(crate) async fn within(
        &self,
        cell: &str,
        size: usize,
        callers: usize,
        length: Duration,
    ) -> anyhow::Result<Sample> {
        let milliseconds = u64::try_from(length.as_millis())?;
        let order = Order { cell: cell.to_owned(), size, callers, milliseconds };
        let payload = Bytes::from(serde_json::to_vec(&order)?);
        let reply = self.caller.ask(&DRIVER.parse()?, &payload).await?;
        Ok(serde_json::from_slice(&reply.payload)?)
    }

    /// Stops the body in order.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.caller.close().await;
        self.up.stop().await
    }
}
