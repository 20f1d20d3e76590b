//! The reasons of errors.

use strum::{Display, IntoStaticStr, VariantArray, VariantNames};

/// Why a call failed: the `reason` of the `google.rpc.ErrorInfo` that every error carries. Its text
/// form is `UPPER_SNAKE_CASE` and stable.
///
/// What each means and which gRPC code it has is in `grpc/status/reasons.rs`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, IntoStaticStr, VariantArray, VariantNames,
)]
#[strum(serialize_all = "SCREAMING_SNAKE_CASE")]
#[expect(
    missing_docs,
    reason = "documented in grpc/status/reasons.rs, and from there in docs/"
)]
pub enum Reason {
    InvalidRequest,
    NumberNotFound,
    AccountNotFound,
    RequestIdConflict,
    TooManyRequestIds,
    Unauthenticated,
    MethodDenied,
    AccountDenied,
    DestinationDenied,
    ReadOnly,
    WriteRate,
    EtagMismatch,
    NumberVanished,
    ListChanged,
    UnreadableField,
    UpstreamRefused,
    UpstreamUnavailable,
    UpstreamTimeout,
    UpstreamError,
    UpstreamDenied,
    UpstreamRouteMissing,
    UpstreamBadResponse,
    FieldsNotApplied,
    UpstreamWroteTooMuch,
    AuditUnavailable,
    JournalUnavailable,
    WriteNotDone,
    OutcomeUnknown,
    NotSent,
    WriteInProgress,
    Overloaded,
    DeadlineExceeded,
    ReplaceIncomplete,
    ServiceUnknown,
    MethodUnknown,
    UnsupportedCall,
    MalformedMessage,
    MessageTooLarge,
    InternalError,
}

impl Reason {
    /// Returns its text form.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
