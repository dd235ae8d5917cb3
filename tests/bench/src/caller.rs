//! Caller in place of a cell of another body: it has a connection of its own and is in the middle
//! of a call, so that its calls carry all headers of a cell's calls.

use std::{sync::Arc, time::Duration};

use anyhow::ensure;
use bus_nats::Nats;
use bytes::Bytes;
use cbs::{BodyBus, BodyId, CellContext, CellEnv, Envelope, Namespace, Target, Transport};

use crate::{cells::Silent, hosting};

/// Timeout of the call that the caller itself answers: it must not pass during a measurement.
const TIME: Duration = Duration::from_secs(3600);
/// Text of a note: the difference between these calls and raw ones.
pub(crate) const FULL: &str = "as a cell of another body calls: envelope with id, correlation, causation, source (body, \
                               cell), deadline; answered with limit, queue, deadline, panic guard, numbers";

/// A caller of cells that other bodies host.
pub(crate) struct Caller {
    client: Nats,
    context: CellContext,
}

impl Caller {
    pub(crate) async fn connect(url: &str, namespace: &Namespace) -> anyhow::Result<Self> {
        let client = hosting::client(url, namespace).await?;
        let target: Target = "bench.caller".parse()?;
        let env = CellEnv::new(
            target.clone(),
            BodyId::new("bench-client")?,
            client.bus(),
            Arc::new(Silent),
        );
        let request = Envelope { timeout: Some(TIME), ..Envelope::request(target, Bytes::new()) };
        Ok(Self { client, context: CellContext::new(Arc::new(env), &request) })
    }

    /// The bus below, for calls that come from no cell.
    pub(crate) fn bus(&self) -> Arc<dyn BodyBus> {
        self.client.bus()
    }

    /// Returns the answer of a cell over NATS.
    pub(crate) async fn ask(&self, target: &Target, payload: &Bytes) -> anyhow::Result<Envelope> {
        Ok(self.context.send(self.context.request(target.clone(), payload.clone())).await?)
    }

    /// Calls a cell that returns as many bytes.
    pub(crate) async fn call(&self, target: &Target, payload: &Bytes) -> anyhow::Result<()> {
        check(&self.ask(target, payload).await?, payload)
    }

    pub(crate) async fn close(self) {
        self.client.close().await;
    }
}

/// Checks that a reply came over NATS, with as many bytes as the request.
pub(crate) fn check(reply: &Envelope, payload: &Bytes) -> anyhow::Result<()> {
    ensure!(
        reply.payload.len() == payload.len(),
        "the cell answers with {} bytes",
        reply.payload.len()
    );
    ensure!(reply.via == Transport::Nats, "the cell was called at the distance {}", reply.via);
    Ok(())
}
