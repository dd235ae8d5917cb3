//! The flows of a body.

use std::{collections::BTreeMap, sync::Arc};

use cbs::{BoxFuture, FlowName, Namespace, Serving, TargetInfo};
use futures::future::join_all;
use host::{CallLimits, FlowHandler, StepObserver};
use spec::{FlowSpec, Specs};

use super::{
    Change, TargetStatus,
    cells::{Changed, MakeEnv},
};
use crate::metrics::{MetricsRegistry, Registration};

/// All flows of a body's specs, served or not.
pub(super) struct Flows {
    env: MakeEnv,
    observer: Option<Arc<dyn StepObserver>>,
    registry: Arc<MetricsRegistry>,
    flows: BTreeMap<FlowName, Flow>,
}

/// Flow with its service, or with the reason why it is not served.
pub(super) struct Flow {
    spec: Arc<FlowSpec>,
    pub(super) serving: Result<Box<dyn Serving>, String>,
}

impl Flows {
    pub(super) fn new(
        env: MakeEnv,
        observer: Option<Arc<dyn StepObserver>>,
        registry: Arc<MetricsRegistry>,
    ) -> Self {
        Self { env, observer, registry, flows: BTreeMap::new() }
    }

    /// Makes the flows match these specs: the new version takes runs before the old one finishes
    /// its own. Returns when calls reach the flows that can be served.
    pub(super) async fn apply(&mut self, specs: &Specs) -> Vec<Change> {
        let same = |spec: &FlowSpec| {
            let now = self.flows.get(&spec.name);
            now.is_some_and(|flow| {
                flow.spec.metadata.revision == spec.metadata.revision && flow.serving.is_ok()
            })
        };
        let coming =
            specs.flows().filter(|spec| spec.deployment.enabled && !same(spec)).map(|spec| {
                Flow::serve(&self.env, &self.registry, self.observer.clone(), spec.clone())
            });
        let coming = join_all(coming).await;
        let wanted = |name: &FlowName| specs.flow(name).is_some_and(|spec| spec.deployment.enabled);
        let gone: Vec<_> = self.flows.keys().filter(|name| !wanted(name)).cloned().collect();
        let mut changes = Vec::new();
        let mut leaving = Vec::new();
        for name in gone {
            leaving.extend(self.flows.remove(&name));
            changes.push(Change { target: name.into(), what: Changed::Removed });
        }
        for flow in coming {
            let name = flow.spec.name.clone();
            let failed = flow.serving.as_ref().err().cloned();
            let what = match (failed, self.flows.contains_key(&name)) {
                (Some(reason), true) => Changed::Kept(reason),
                (None, true) => Changed::Replaced,
                (Some(reason), false) => Changed::Refused(reason),
                (None, false) => Changed::Added,
            };
            if !matches!(what, Changed::Kept(_)) {
                leaving.extend(self.flows.insert(name.clone(), flow));
            }
            changes.push(Change { target: name.into(), what });
        }
        join_all(leaving.into_iter().map(Flow::stop)).await;
        changes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.flows.is_empty()
    }

    /// Takes no new runs, and finishes those that run.
    pub(super) async fn stop(self) {
        join_all(self.flows.into_values().map(Flow::stop)).await;
    }

    pub(super) fn statuses(&self, namespace: &Namespace) -> impl Iterator<Item = TargetStatus> {
        let of =
            |flow: &Flow| TargetStatus::of_flow(namespace, &flow.spec, flow.serving.as_ref().err());
        self.flows.values().map(of)
    }
}

impl Flow {
    /// Serves a flow. Returns when calls reach it.
    pub(super) async fn serve(
        env: &MakeEnv,
        registry: &Arc<MetricsRegistry>,
        observer: Option<Arc<dyn StepObserver>>,
        spec: Arc<FlowSpec>,
    ) -> Self {
        let env = env(spec.name.clone().into());
        let env = Arc::new(
            env.with_spec(spec.metadata.revision.as_str().into(), serde_json::Value::Null),
        );
        let bus = env.bus.clone();
        let handler = FlowHandler::new(
            spec.plan.clone(),
            env,
            CallLimits { timeout: spec.timeout, ..CallLimits::default() },
            observer,
        );
        let service = handler.service(Arc::new(about(&spec)));
        let listed = registry.list(&service);
        let serving = bus.serve(service).await.map_err(|error| error.to_string());
        let serving =
            serving.map(|serving| -> Box<dyn Serving> { Box::new(Counted { serving, listed }) });
        if let Err(reason) = &serving {
            tracing::error!(flow = %spec.name, "the flow cannot be served: {reason}");
        }
        Self { spec, serving }
    }

    pub(super) async fn stop(self) {
        if let Ok(serving) = self.serving {
            serving.stop().await;
        }
    }
}

/// Served flow that is counted while it is served.
struct Counted {
    serving: Box<dyn Serving>,
    listed: Registration,
}

impl Serving for Counted {
    fn stop(self: Box<Self>) -> BoxFuture<'static, ()> {
        let Self { serving, listed } = *self;
        Box::pin(async move {
            serving.stop().await;
            drop(listed);
        })
    }
}

/// Returns the data on a flow for discovery.
fn about(spec: &FlowSpec) -> TargetInfo {
    TargetInfo {
        language: "yaml".into(),
        revision: spec.metadata.revision.as_str().into(),
        description: spec.metadata.description.as_deref().unwrap_or_default().into(),
        ..TargetInfo::default()
    }
}
