//! A receiver of OTLP, in place of a collector.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use opentelemetry_proto::tonic::{
    collector::{
        logs::v1::{
            ExportLogsServiceRequest, ExportLogsServiceResponse,
            logs_service_server::{LogsService, LogsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    logs::v1::LogRecord,
    resource::v1::Resource,
    trace::v1::Span,
};
use tokio::task::JoinSet;
use tonic::{
    Request, Response, Status,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};

/// Receives all spans and log lines that are sent to it, until it is dropped.
#[derive(Debug)]
pub struct Collector {
    url: String,
    got: Arc<Mutex<Got>>,
    _server: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Got {
    spans: Vec<Span>,
    lines: Vec<LogRecord>,
    resources: Vec<BTreeMap<String, String>>,
    authorizations: Vec<String>,
}

#[derive(Clone)]
struct Taking(Arc<Mutex<Got>>);

impl Collector {
    /// Starts a receiver on a free port.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn start() -> Self {
        Self::serve("http://127.0.0.1", Server::builder())
    }

    /// Starts a receiver with TLS, for `localhost`; also returns the certificate to trust, as PEM.
    ///
    /// # Panics
    /// When it cannot listen.
    pub async fn with_tls() -> (Self, String) {
        let made =
            rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
        let pem = made.cert.pem();
        let tls = ServerTlsConfig::new()
            .identity(Identity::from_pem(&pem, made.signing_key.serialize_pem()));
        (Self::serve("https://localhost", Server::builder().tls_config(tls).expect("TLS")), pem)
    }

    fn serve(at: &str, mut server: Server) -> Self {
        let incoming =
            TcpIncoming::bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
        let url = format!("{at}:{}", incoming.local_addr().expect("an address").port());
        let got = Arc::<Mutex<Got>>::default();
        let taking = Taking(got.clone());
        let server = server
            .add_service(TraceServiceServer::new(taking.clone()))
            .add_service(LogsServiceServer::new(taking))
            .serve_with_incoming(incoming);
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { server.await.expect("a server") });
        Self { url, got, _server: tasks }
    }

    /// The receiver's address.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The spans of a trace, by its id of 32 digits.
    #[must_use]
    pub fn trace(&self, id: &str) -> Vec<Span> {
        let of = |span: &&Span| hex(&span.trace_id) == id;
        self.got().spans.iter().filter(of).cloned().collect()
    }

    /// The log lines that were received.
    #[must_use]
    pub fn lines(&self) -> Vec<LogRecord> {
        self.got().lines.clone()
    }

    /// The resource attributes of the senders, once for each batch.
    #[must_use]
    pub fn resources(&self) -> Vec<BTreeMap<String, String>> {
        self.got().resources.clone()
    }

    /// The `authorization` headers that were received.
    #[must_use]
    pub fn authorizations(&self) -> Vec<String> {
        self.got().authorizations.clone()
    }

    fn got(&self) -> MutexGuard<'_, Got> {
        self.got.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taking {
    fn take<T>(&self, request: &Request<T>, resource: Option<&Resource>) -> MutexGuard<'_, Got> {
        let mut got = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let authorization =
            request.metadata().get("authorization").and_then(|value| value.to_str().ok());
        got.authorizations.extend(authorization.map(str::to_owned));
        got.resources.extend(resource.map(|resource| attributes(&resource.attributes)));
        got
    }
}

#[tonic::async_trait]
impl TraceService for Taking {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        for batch in &request.get_ref().resource_spans {
            let mut got = self.take(&request, batch.resource.as_ref());
            got.spans
                .extend(batch.scope_spans.iter().flat_map(|scope| scope.spans.iter().cloned()));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Taking {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        for batch in &request.get_ref().resource_logs {
            let mut got = self.take(&request, batch.resource.as_ref());
            got.lines.extend(
                batch.scope_logs.iter().flat_map(|scope| scope.log_records.iter().cloned()),
            );
        }
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

/// Returns the attributes that are texts or whole numbers, as texts.
#[must_use]
pub fn attributes(all: &[KeyValue]) -> BTreeMap<String, String> {
    let text = |value: &KeyValue| match value.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    };
    all.iter().filter_map(|pair| Some((pair.key.clone(), text(pair)?))).collect()
}

/// Returns bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
