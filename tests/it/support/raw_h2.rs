//! A client of HTTP/2 frames, for requests that no gRPC library sends.

use std::net::SocketAddr;

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request, StatusCode, request};
use tokio::{net::TcpStream, task::JoinSet, time::timeout};
use tonic::Status;

use super::raw_http::PATIENCE;

/// A connection of HTTP/2. Dropping it closes it.
pub(crate) struct Connection {
    client: SendRequest<Bytes>,
    _task: JoinSet<()>,
}

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) http: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Option<HeaderMap>,
}

impl Answer {
    /// Returns the gRPC status.
    pub(crate) fn status(&self) -> Option<Status> {
        let trailers = self.trailers.as_ref().and_then(Status::from_header_map);
        trailers.or_else(|| Status::from_header_map(&self.headers))
    }

    /// Returns the gRPC status as a call's result.
    pub(crate) fn result(&self) -> Result<(), Status> {
        match self.status() {
            Some(status) if status.code() == tonic::Code::Ok => Ok(()),
            Some(status) => Err(status),
            None => panic!("no gRPC status: {self:?}"),
        }
    }
}

/// Begins a gRPC request of a path.
pub(crate) fn post(path: &str) -> request::Builder {
    Request::post(format!("http://localhost{path}")).header("te", "trailers")
}

/// Begins a request of an RPC of our service.
pub(crate) fn rpc(method: &str) -> request::Builder {
    post(&format!("/porta.followme.v1.FollowMeService/{method}"))
        .header("content-type", "application/grpc")
}

/// Puts a message behind its length.
pub(crate) fn framed(message: &impl prost::Message) -> Bytes {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("short");
    [&[0][..], &length.to_be_bytes(), &message].concat().into()
}

impl Connection {
    pub(crate) async fn open(addr: SocketAddr) -> Self {
        let stream = TcpStream::connect(addr).await.expect("the facade listens");
        stream.set_nodelay(true).expect("it is open");
        let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
        let mut task = JoinSet::new();
        task.spawn(async move {
            let _ = connection.await;
        });
        Self {
            client,
            _task: task,
        }
    }

    /// Sends a request with parts of a body, each in a frame of its own, and trailers.
    pub(crate) async fn send(
        &self,
        request: request::Builder,
        body: &[Bytes],
        trailers: Option<HeaderMap>,
    ) -> Answer {
        let request = request.body(()).expect("a request");
        let ended = body.is_empty() && trailers.is_none();
        let answer = async {
            let mut client = self.client.clone().ready().await.expect("it is open");
            let (response, mut sender) = client.send_request(request, ended).expect("sent");
            for (index, part) in body.iter().enumerate() {
                let is_last = index + 1 == body.len() && trailers.is_none();
                // The facade may have answered before all has been sent.
                let _ = sender.send_data(part.clone(), is_last);
            }
            if let Some(trailers) = trailers {
                let _ = sender.send_trailers(trailers);
            }
            let response = response.await.expect("an answer");
            let (parts, mut stream) = response.into_parts();
            let mut body = Vec::new();
            while let Some(data) = stream.data().await {
                let data = data.expect("a whole body");
                stream
                    .flow_control()
                    .release_capacity(data.len())
                    .expect("it was taken");
                body.extend_from_slice(&data);
            }
            Answer {
                http: parts.status,
                headers: parts.headers,
                body,
                trailers: stream.trailers().await.expect("trailers"),
            }
        };
        timeout(PATIENCE, answer).await.expect("an answer in time")
    }

    /// Calls an RPC of our service with header fields and a message.
    pub(crate) async fn call(
        &self,
        method: &str,
        headers: &[(&str, &str)],
        message: &impl prost::Message,
    ) -> Answer {
        let headers = headers.iter();
        let request = headers.fold(rpc(method), |request, (key, value)| {
            request.header(*key, *value)
        });
        self.send(request, &[framed(message)], None).await
    }
}
