//! Refuses what is no gRPC request, before anything else sees it, and gives details to the statuses
//! that tonic makes itself.

use http::{
    HeaderMap, HeaderValue, Method, Request, Response, StatusCode,
    header::{ALLOW, CONTENT_TYPE},
};
use tonic::{Status, body::Body};
use tower::Service;

use super::status;

/// Answers a request that is not gRPC with 405 or 415, as an HTTP server does, so that nothing of
/// it runs: a foreign web page can make a browser send such requests, with the user's client
/// certificate.
pub(super) fn only_grpc<S>(
    request: Request<Body>,
    mut next: S,
) -> impl Future<Output = Result<Response<Body>, S::Error>> + use<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let refused = if request.method() != Method::POST {
        Some(StatusCode::METHOD_NOT_ALLOWED)
    } else if !is_grpc(request.headers()) {
        Some(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    } else {
        None
    };
    let response = match refused {
        Some(code) => Err(refusal(code, request.method() == Method::HEAD)),
        None => Ok(next.call(request)),
    };
    async move {
        match response {
            Ok(response) => response.await,
            Err(refused) => Ok(refused),
        }
    }
}

/// Returns whether there is one content type, and it is that of gRPC with protobuf.
fn is_grpc(headers: &HeaderMap) -> bool {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let (Some(value), None) = (
        types.next().and_then(|value| value.to_str().ok()),
        types.next(),
    ) else {
        return false;
    };
    let media_type = value.split(';').next().unwrap_or_default().trim();
    ["application/grpc", "application/grpc+proto"]
        .iter()
        .any(|known| media_type.eq_ignore_ascii_case(known))
}

fn refusal(code: StatusCode, is_head: bool) -> Response<Body> {
    tracing::debug!(code = code.as_u16(), "refused a request that is not gRPC");
    let mut response = Response::new(Body::empty());
    *response.status_mut() = code;
    if code == StatusCode::METHOD_NOT_ALLOWED {
        let only = HeaderValue::from_static("POST");
        response.headers_mut().insert(ALLOW, only);
    }
    // gRPC clients that are misconfigured show this text.
    if !is_head {
        let (status, _) = status::not_grpc().into_http::<Body>().into_parts();
        response.headers_mut().extend(status.headers);
    }
    response
}

/// Refuses a compressed request, and completes the statuses of tonic.
pub(super) fn complete_statuses<S>(
    request: Request<Body>,
    mut next: S,
) -> impl Future<Output = Result<Response<Body>, S::Error>> + use<S>
where
    S: Service<Request<Body>, Response = Response<Body>>,
{
    let mut encodings = request.headers().get_all("grpc-encoding").iter();
    let response = match encodings.find(|encoding| *encoding != "identity") {
        Some(_) => Err(status::compressed().into_http()),
        None => Ok(next.call(request)),
    };
    async move {
        let response = match response {
            Ok(response) => response.await?,
            Err(refused) => return Ok(refused),
        };
        // Statuses with messages before them are ours.
        let headers = response.headers();
        if !headers.contains_key("grpc-status") || headers.contains_key("grpc-status-details-bin") {
            return Ok(response);
        }
        Ok(match Status::from_header_map(headers) {
            Some(status) if status.code() != tonic::Code::Ok => {
                status::of_library(&status).into_http()
            }
            _ => response,
        })
    }
}
