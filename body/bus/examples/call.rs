//! Prints what one call costs that never leaves its body: through the router, over the
//! in-process bus, to a handler that answers at once.
//!
//! ```text
//! cargo run --release -p bus --example call
//! ```
#![allow(clippy::print_stdout, reason = "a program that prints its result")]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use bus::{InProcess, Router, Settings};
use cbs::{BodyBus, BoxFuture, BusError, Bytes, Envelope, Handler, Service, Target};

const BATCHES: usize = 200;
const CALLS: u32 = 5_000;

/// Counts allocations.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are the same.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// Gives back what it gets.
struct Echo;

impl Handler for Echo {
    fn handle(&self, request: Envelope) -> BoxFuture<'_, Result<Envelope, BusError>> {
        Box::pin(async move { Ok(Envelope::reply(request.payload)) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let bus: Arc<dyn BodyBus> = Arc::new(Router::new(InProcess::new(Settings::default()), None));
    let target: Target = "demo.echo".parse()?;
    let handler = Arc::new(Echo);
    let service = Service { target: target.clone(), handler, about: Arc::default(), numbers: Arc::default() };
    let _serving = bus.serve(service).await?;
    for size in [128, 4096] {
        let payload = Bytes::from(vec![b'x'; size]);
        let mut batches = Vec::with_capacity(BATCHES);
        let mut allocations = 0;
        for _ in 0..BATCHES {
            let (before, began) = (ALLOCATIONS.load(Ordering::Relaxed), Instant::now());
            for _ in 0..CALLS {
                let request = Envelope::request(target.clone(), payload.clone());
                let reply = bus.call(request).await?;
                assert!(reply.payload.as_ptr() == payload.as_ptr(), "the payload was copied");
            }
            batches.push(began.elapsed() / CALLS);
            allocations = (ALLOCATIONS.load(Ordering::Relaxed) - before) / u64::from(CALLS);
        }
        batches.sort_unstable();
        let at = |share: usize| batches.get(BATCHES * share / 100).map_or(0, std::time::Duration::as_nanos);
        println!("{size} B: median {} ns a call ({} to {}), {allocations} allocations", at(50), at(5), at(95));
    }
    let began = Instant::now();
    for _ in 0..1_000_000 {
        std::hint::black_box(Envelope::request(target.clone(), Bytes::new()));
    }
    println!("of which {} ns make the request", began.elapsed().as_nanos() / 1_000_000);
    Ok(())
}
