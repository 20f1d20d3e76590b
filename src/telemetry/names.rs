//! The keys of attributes and labels: OpenTelemetry's semantic conventions, and our own under
//! `porta.`.
//!
//! The macros of tracing need literal names, so spans repeat some of them.

use std::sync::LazyLock;

use strum::VariantArray as _;

use crate::domain::Method;

/// The name of the service.
pub(crate) const SERVICE_NAME: &str = "service.name";
/// Its version.
pub(crate) const SERVICE_VERSION: &str = "service.version";
/// `grpc`.
pub(crate) const RPC_SYSTEM_NAME: &str = "rpc.system.name";
/// `{service}/{method}`.
pub(crate) const RPC_METHOD: &str = "rpc.method";
/// The name of the gRPC code: `OK`, `NOT_FOUND`.
pub(crate) const RPC_RESPONSE_STATUS_CODE: &str = "rpc.response.status_code";
/// The class of the error that a span or a request ended with.
pub(crate) const ERROR_TYPE: &str = "error.type";
/// `GET` or `POST`.
pub(crate) const HTTP_REQUEST_METHOD: &str = "http.request.method";
/// The route as the metadata page writes it; the URL would reveal the License.
pub(crate) const URL_TEMPLATE: &str = "url.template";
/// The HTTP status.
pub(crate) const HTTP_RESPONSE_STATUS_CODE: &str = "http.response.status_code";
/// The host of the upstream.
pub(crate) const SERVER_ADDRESS: &str = "server.address";
/// Its port.
pub(crate) const SERVER_PORT: &str = "server.port";
/// `receive` or `transmit`, from the point of view of this process.
pub(crate) const NETWORK_IO_DIRECTION: &str = "network.io.direction";
/// `user` or `system`.
pub(crate) const CPU_MODE: &str = "cpu.mode";

/// The state of a write record.
pub(crate) const STATE: &str = "porta.state";
/// The outcome, by meaning.
pub(crate) const OUTCOME: &str = "porta.outcome";
/// The reason of an error.
pub(crate) const REASON: &str = "porta.reason";
/// What a file is for.
pub(crate) const FILE: &str = "porta.file";
/// A configured caller.
pub(crate) const CALLER: &str = "porta.caller";
/// `add`, `update`, `delete`, `replace_all`.
pub(crate) const WRITE: &str = "porta.write";
/// A field of a number.
pub(crate) const FIELD: &str = "porta.field";
/// The peer: `caller` or `upstream`.
pub(crate) const PEER: &str = "porta.peer";

/// The name of every method that is not served, so that callers cannot create label values.
pub(crate) const OTHER: &str = "_OTHER";

/// The service of the contract.
const SERVICE: &str = "porta.followme.v1.FollowMeService";

/// The RPCs that are served, as `{service}/{method}`.
static METHODS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let ours = Method::VARIANTS
        .iter()
        .map(|method| format!("{SERVICE}/{method}"));
    let others = [
        "grpc.health.v1.Health/Check",
        "grpc.health.v1.Health/Watch",
        "grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    ];
    ours.chain(others.map(str::to_owned)).collect()
});

/// Returns the RPC of a request path, or [`OTHER`].
pub(crate) fn method(path: &str) -> &'static str {
    let name = path.strip_prefix('/').unwrap_or(path);
    METHODS
        .iter()
        .find(|method| *method == name)
        .map_or(OTHER, String::as_str)
}

/// Returns the name of a gRPC code.
pub(crate) fn code(code: tonic::Code) -> &'static str {
    use tonic::Code;
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}

/// Returns whether a code is the server's failure, by the conventions for gRPC spans of servers.
pub(crate) fn is_server_error(code: tonic::Code) -> bool {
    use tonic::Code;
    matches!(
        code,
        Code::Unknown
            | Code::DeadlineExceeded
            | Code::Unimplemented
            | Code::Internal
            | Code::Unavailable
            | Code::DataLoss
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_a_caller_made_up_is_no_name() {
        assert_eq!(
            method("/porta.followme.v1.FollowMeService/List"),
            "porta.followme.v1.FollowMeService/List"
        );
        for path in [
            "/porta.followme.v1.FollowMeService/Steal",
            "",
            "/",
            "/15550100",
        ] {
            assert_eq!(method(path), OTHER);
        }
    }
}
