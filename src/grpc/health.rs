//! `grpc.health.v1`: Check and Watch over [`Health`].

use std::pin::Pin;

use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};
use tonic::{Request, Response, Status};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{self, HealthServer},
};

use super::status;
use crate::health::{Health, Serving};

/// The health service.
///
/// tonic-health's own fails a Watch of an unknown service, where the protocol asks for
/// SERVICE_UNKNOWN and a Watch that continues.
#[derive(Debug, Clone)]
pub(super) struct Service(Health);

impl Service {
    pub(super) fn new(health: Health) -> HealthServer<Self> {
        HealthServer::new(Self(health))
    }
}

#[tonic::async_trait]
impl health_server::Health for Service {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        self.0
            .serving(&request.get_ref().service)
            .map(|serving| Response::new(response(Some(serving))))
            .ok_or_else(status::unknown_service)
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let service = request.into_inner().service;
        let health = self.0.clone();
        let mut last = None;
        let changes = WatchStream::new(health.changes()).filter_map(move |_| {
            let now = response(health.serving(&service));
            (last.replace(now.status) != Some(now.status)).then_some(Ok(now))
        });
        Ok(Response::new(Box::pin(changes)))
    }
}

fn response(serving: Option<Serving>) -> HealthCheckResponse {
    let status = match serving {
        Some(Serving::Yes) => ServingStatus::Serving,
        Some(Serving::No) => ServingStatus::NotServing,
        Some(Serving::Unknown) => ServingStatus::Unknown,
        None => ServingStatus::ServiceUnknown,
    };
    HealthCheckResponse {
        status: status.into(),
    }
}
