//! A target that is served in this body, and how that ends.

use std::sync::Arc;

use cbs::{BoxFuture, Serving, Target};

use crate::registry::{Member, Registry};

/// A target that is served here. Dropping it takes the target back at once; calls that run go
/// on to their end on their callers' tasks.
pub(crate) struct Registered {
    pub(crate) registry: Arc<Registry>,
    pub(crate) target: Target,
    pub(crate) member: Arc<Member>,
}

impl Registered {
    /// Offers the target no more; what was taken goes on.
    pub(crate) fn withdraw(&self) {
        self.registry.remove(&self.target, &self.member);
        self.member.gate.close();
    }

    /// Done when it was withdrawn and the last call has been answered.
    pub(crate) async fn drained(&self) {
        self.member.gate.emptied().await;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.withdraw();
    }
}

impl Serving for Registered {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            self.withdraw();
            self.drained().await;
        })
    }
}
