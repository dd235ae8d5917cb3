//! Pages of metrics: one is written at a time, and all clients that wait meanwhile share one.

use std::sync::{Arc, Weak};

use bytes::Bytes;
use tokio::{sync::Mutex, time::Instant};

use crate::{
    health::BodyStatus,
    metrics::{self, Form, Lag},
};

/// Writer of pages.
pub(super) struct Scrapes {
    status: Arc<BodyStatus>,
    lag: Arc<Lag>,
    last: Arc<Mutex<Option<Last>>>,
}

/// The last page, as long as a client still reads it. To keep it longer would cost 30 MB for 10,000
/// cells.
struct Last {
    form: Form,
    /// Time when its writing began.
    at: Instant,
    page: Weak<Vec<u8>>,
}

/// A page that several clients may read.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Scrapes {
    pub(super) fn new(status: Arc<BodyStatus>, lag: Arc<Lag>) -> Self {
        Self { status, lag, last: Arc::default() }
    }

    /// Returns a page that is no older than this request. Returns `None` if writing it panicked.
    pub(super) async fn page(&self, form: Form) -> Option<Bytes> {
        let asked = Instant::now();
        // Fair: who waits is bounded by the connections, and each page serves all who waited for
        // it.
        let mut last = self.last.clone().lock_owned().await;
        let fresh = last.as_ref().filter(|last| last.form == form && last.at >= asked);
        if let Some(page) = fresh.and_then(|last| last.page.upgrade()) {
            return Some(Bytes::from_owner(Shared(page)));
        }
        let status = self.status.clone();
        let lag = self.lag.clone();
        let at = Instant::now();
        // Many cells take a while, and /proc is read: no work for a task.
        let writing = tokio::task::spawn_blocking(move || {
            let page = Arc::new(metrics::page(&status, Some(&lag), form));
            // Held until here also if the client has disconnected: else pages could be written side
            // by side.
            *last = Some(Last { form, at, page: Arc::downgrade(&page) });
            page
        });
        let page = writing
            .await
            .inspect_err(|error| tracing::error!("no page of metrics: {error}"))
            .ok()?;
        Some(Bytes::from_owner(Shared(page)))
    }
}
