//! The flows of a body.

use std::sync::Arc;

use cbs::{About, Home, Namespace, Serving, Target};
use futures::future::join_all;
use host::{FlowHandler, Limits, StepObserver};
use spec::FlowSpec;

use super::Standing;

/// All flows that a body was given, served or not.
pub(super) struct Flows(Vec<Flow>);

struct Flow {
    spec: Arc<FlowSpec>,
    serving: Result<Box<dyn Serving>, String>,
}

impl Flows {
    /// Serves them all; done when calls reach those that can be served.
    pub(super) async fn start<'a>(
        specs: impl Iterator<Item = &'a Arc<FlowSpec>>,
        home: impl Fn(Target) -> Home,
        observer: Option<&Arc<dyn StepObserver>>,
    ) -> Self {
        let served = specs.map(|spec| {
            let home = home(spec.name.clone().into())
                .with_spec(spec.metadata.revision.as_str().into(), serde_json::Value::Null);
            let observer = observer.cloned();
            async move {
                let home = Arc::new(home);
                let bus = home.bus.clone();
                let handler = FlowHandler::new(spec.plan.clone(), home, Limits::from(&**spec), observer);
                let serving =
                    bus.serve(handler.service(Arc::new(about(spec)))).await.map_err(|error| error.to_string());
                if let Err(reason) = &serving {
                    tracing::error!(flow = %spec.name, "the flow cannot be served: {reason}");
                }
                Flow { spec: spec.clone(), serving }
            }
        });
        Self(join_all(served).await)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes no new runs, and finishes those that run.
    pub(super) async fn stop(self) {
        join_all(self.0.into_iter().filter_map(|flow| flow.serving.ok()).map(Serving::stop)).await;
    }

    pub(super) fn standings(&self, namespace: &Namespace) -> impl Iterator<Item = Standing> {
        let of = |flow: &Flow| Standing::of_flow(namespace, &flow.spec, flow.serving.as_ref().err());
        self.0.iter().map(of)
    }
}

/// What discovery tells about a flow.
fn about(spec: &FlowSpec) -> About {
    About {
        language: "yaml".into(),
        revision: spec.metadata.revision.as_str().into(),
        description: spec.metadata.description.as_deref().unwrap_or_default().into(),
        ..About::default()
    }
}
