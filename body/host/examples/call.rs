//! Prints what one call of a Rust cell costs in its own body, all that a body does included:
//! router, room, deadline, numbers, containment of panics, context.
//!
//! ```text
//! cargo run --release -p host --example call
//! ```
#![allow(clippy::print_stdout, reason = "a program that prints its result")]

use std::{
    error::Error,
    sync::Arc,
    time::{Duration, Instant},
};

use bus::{InProcess, Router, Settings};
use cbs::{
    BodyBus, BodyId, BoxFuture, Bytes, Cell, CellContext, CellError, Console, Envelope, Home, NativeCell, Target,
};
use host::{Endpoint, Limits, Schemas};

const BATCHES: usize = 200;
const CALLS: u32 = 5_000;

/// Gives back what it gets, byte for byte.
struct Echo;

impl Cell for Echo {
    async fn call(&self, _: &CellContext, request: Envelope) -> Result<Envelope, CellError> {
        Ok(Envelope::reply(request.payload))
    }
}

/// Typed JSON in and out.
async fn length(_: &CellContext, text: String) -> Result<usize, CellError> {
    Ok(text.len())
}

/// A program without a terminal.
struct NoConsole;

impl Console for NoConsole {
    fn print(&self, _: String) -> BoxFuture<'_, Result<(), CellError>> {
        Box::pin(async { Ok(()) })
    }
    fn ask(&self, _: String) -> BoxFuture<'_, Result<Option<String>, CellError>> {
        Box::pin(async { Ok(None) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus: Arc<dyn BodyBus> = Arc::new(Router::new(InProcess::new(Settings::default()), None));
    let raw = NativeCell::new("demo.echo", Echo);
    let typed = cbs::cell("demo.length", length);
    for (cell, size) in [(&raw, 128), (&raw, 4096), (&typed, 128)] {
        let target: Target = cell.name().parse()?;
        let home = Home::new(target.clone(), BodyId::new("bench")?, bus.clone(), Arc::new(NoConsole));
        let endpoint = Endpoint::new(Arc::new(home), cell.cell(), Limits::default(), Schemas::default());
        let serving = bus.serve(endpoint.service(Arc::default())).await?;
        let payload = Bytes::from(format!("\"{}\"", "x".repeat(size - 2)));
        let mut batches = Vec::with_capacity(BATCHES);
        for _ in 0..BATCHES {
            let began = Instant::now();
            for _ in 0..CALLS {
                bus.call(Envelope::request(target.clone(), payload.clone())).await?;
            }
            batches.push(began.elapsed() / CALLS);
        }
        batches.sort_unstable();
        let at = |share: usize| batches.get(BATCHES * share / 100).map_or(0, Duration::as_nanos);
        println!("{} {size} B: median {} ns a call ({} to {})", cell.name(), at(50), at(5), at(95));
        serving.stop().await;
    }
    Ok(())
}
