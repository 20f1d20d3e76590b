//! A receiver of OTLP over gRPC, as a collector is one; and the facade as a process that exports to
//! it.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};

use followme::simulator::{Handle, Options, Settings, Simulator};
use opentelemetry_proto::tonic::{
    collector::{
        metrics::v1::{
            ExportMetricsServiceRequest, ExportMetricsServiceResponse,
            metrics_service_server::{MetricsService, MetricsServiceServer},
        },
        trace::v1::{
            ExportTraceServiceRequest, ExportTraceServiceResponse,
            trace_service_server::{TraceService, TraceServiceServer},
        },
    },
    common::v1::{KeyValue, any_value::Value},
    trace::v1::Span,
};
use prost::Message as _;
use tokio::{net::TcpListener, task::JoinHandle};
use tonic::{Request, Response, Status, codegen::tokio_stream, transport::Server};

use crate::{cli::Process, config::file, support::stored_number};

/// What was received.
#[derive(Clone, Default)]
pub(crate) struct Received(Arc<Mutex<Store>>);

#[derive(Default)]
struct Store {
    spans: Vec<Span>,
    metrics: Vec<String>,
    /// Every message, as it was sent.
    bytes: Vec<u8>,
}

impl Received {
    fn store(&self) -> std::sync::MutexGuard<'_, Store> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn spans(&self) -> Vec<Span> {
        self.store().spans.clone()
    }

    /// Returns the names of the metrics.
    pub(crate) fn metrics(&self) -> Vec<String> {
        self.store().metrics.clone()
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.store().bytes.clone()
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let request = request.into_inner();
        let mut store = self.store();
        store.bytes.extend(request.encode_to_vec());
        for resource in request.resource_spans {
            for scope in resource.scope_spans {
                store.spans.extend(scope.spans);
            }
        }
        Ok(Response::new(Default::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let request = request.into_inner();
        let mut store = self.store();
        store.bytes.extend(request.encode_to_vec());
        for resource in request.resource_metrics {
            for scope in resource.scope_metrics {
                let names = scope.metrics.into_iter().map(|metric| metric.name);
                store.metrics.extend(names);
            }
        }
        Ok(Response::new(Default::default()))
    }
}

/// Serves a receiver on a port of its own.
pub(crate) async fn receive() -> (Received, SocketAddr, JoinHandle<()>) {
    let received = Received::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("it is bound");
    let server = Server::builder()
        .add_service(TraceServiceServer::new(received.clone()))
        .add_service(MetricsServiceServer::new(received.clone()))
        .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener));
    let task = tokio::spawn(async move {
        server.await.expect("the receiver runs");
    });
    (received, addr, task)
}

/// Returns the text of an attribute; an integer in digits.
pub(crate) fn attribute(attributes: &[KeyValue], key: &str) -> Option<String> {
    let value = attributes.iter().find(|attribute| attribute.key == key)?;
    match value.value.as_ref()?.value.as_ref()? {
        Value::StringValue(text) => Some(text.clone()),
        Value::IntValue(number) => Some(number.to_string()),
        other => panic!("{key} is a text or an integer: {other:?}"),
    }
}

/// Starts a simulator that knows a License with account 1001, which has a number.
pub(crate) async fn upstream(license: &str) -> Handle {
    let simulator = Simulator::bind(Options::default())
        .await
        .expect("a free port");
    let handle = simulator.handle();
    tokio::spawn(simulator.run(std::future::pending()));
    seed(&handle, license);
    handle
}

/// Puts account 1001 as it was at first.
pub(crate) fn seed(handle: &Handle, license: &str) {
    handle.seed(
        license,
        1001,
        vec![
            stored_number("Desk", "15550101", 1),
            stored_number("Mobile", "15550102", 2),
        ],
        Settings::default(),
    );
}

/// Starts `followme serve`, with a configuration and an environment.
pub(crate) fn serve(
    name: &str,
    toml: &str,
    upstream: SocketAddr,
    environment: &[(&str, &str)],
) -> Process {
    let mut process = serve_stalled(name, toml, upstream, environment);
    process.read_stderr();
    process
}

/// As [`serve`], but nobody reads its standard error yet.
pub(crate) fn serve_stalled(
    name: &str,
    toml: &str,
    upstream: SocketAddr,
    environment: &[(&str, &str)],
) -> Process {
    let url = format!("http://{upstream}/");
    let toml = file(
        &format!("{name}.toml"),
        &format!("{toml}\n[server]\ndrain_delay = \"0s\"\n"),
    );
    let toml = toml.to_str().expect("a path in UTF-8");
    let args = [
        "serve",
        "--config",
        toml,
        "--listen",
        "127.0.0.1:0",
        "--upstream-url",
        &url,
    ];
    Process::stalled(&args, environment)
}
