//! A target that is served in this body, and the end of serving it.

use std::sync::Arc;

use cbs::{BoxFuture, Serving, Target};

use crate::registry::{Member, Registry};

/// A target that is served here. Dropping it withdraws the target at once. Calls that run go on to
/// their end on their callers' tasks.
pub(crate) struct Registered {
    pub(crate) registry: Arc<Registry>,
    pub(crate) target: Target,
    pub(crate) member: Arc<Member>,
}

impl Registered {
    /// Withdraws the target. Calls that were taken go on.
    pub(crate) fn withdraw(&self) {
        self.registry.remove(&self.target, &self.member);
        self.member.gate.close();
    }

    /// Waits until it is withdrawn and the last call has been answered.
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
