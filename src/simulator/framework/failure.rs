//! The failures that the framework reports itself, and the status of an exception
//! (docs/upstream/wire.md 8).

use super::Value;
use crate::simulator::Dialect;

/// A failure that the framework reports as a `ResponseStatus`; its text is the `Message` there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// v3 on anything that cannot be bound on a route.
    #[error("Unable to bind request")]
    UnableToBind,
    /// v4 on the 8-value add, whose last placeholder names no property.
    #[error("Could not find property KeepupdateAccountsOriginalCld on PortaFollowMe")]
    Misspelt,
    /// v4 on values that cannot be bound: `(name, text)`.
    #[error("Unable to bind to request 'PortaFollowMe'")]
    InvalidValues(Vec<(String, String)>),
    /// v3 on values of a query or form on a predefined path that cannot be bound; it echoes them.
    #[error(
        "Could not deserialize 'Porta.PortaFollowMe' request using \
         KeyValueDataContractDeserializer: '{0}'.\nError: \
         'System.Runtime.Serialization.SerializationException: \
         KeyValueDataContractDeserializer: Error converting to type: Input string was not in a \
         correct format.\n  at ServiceStack.ServiceModel.Serialization.StringMapTypeDeserializer.\
         PopulateFromMap (System.Object instance)'"
    )]
    UnreadableValues(String),
    /// A body that its reader refused, with the many-line trace that the framework prints.
    #[error(
        "Could not deserialize '{0}' request using Porta.PortaFollowMe'\nError: {1}\n  at \
         ServiceStack.Text.CsvSerializer.DeserializeFromStream (System.Type type, System.IO.Stream \
         stream) [0x00001] in <simulated>:0 \n"
    )]
    UnreadableBody(&'static str, BodyError),
    /// A verb for which the service has no method, on a route that matched all the same.
    #[error(
        "Could not find method named {0}(PortaFollowMe) or Any(PortaFollowMe) on Service \
         PortaService"
    )]
    NoMethod(String),
    /// A predefined path of an unknown operation.
    #[error("The operation '{0}' does not exist for this service")]
    NoOperation(String),
    /// A malformed `%` in the path of a self-host, when a query string follows.
    #[error("{0}")]
    MalformedEscape(&'static str),
    /// ASP.NET on text that looks like HTML in a query or form value.
    #[error(
        "A potentially dangerous Request.{collection} value was detected from the client \
         ({name}=\"{value}\")."
    )]
    DangerousValue {
        collection: &'static str,
        name: String,
        value: String,
    },
    /// An exception of the service, if the framework does not find the response class.
    #[error("{message}")]
    Thrown { type_name: String, message: String },
}

/// Why a request body could not be read: a .NET exception.
#[derive(Debug, thiserror::Error)]
#[error("{exception}: {message}")]
pub(crate) struct BodyError {
    exception: &'static str,
    message: String,
}

impl BodyError {
    pub(crate) fn new(exception: &'static str, message: impl Into<String>) -> Self {
        Self {
            exception,
            message: message.into(),
        }
    }
}

impl Failure {
    pub(crate) fn status(&self, dialect: Dialect) -> u16 {
        match self {
            Self::UnableToBind => 400,
            Self::MalformedEscape(_) => 500,
            _ => exception_status(self.code(), dialect),
        }
    }

    fn code(&self) -> &str {
        match self {
            Self::UnableToBind => "RequestBindingException",
            Self::Misspelt => "ArgumentException",
            Self::InvalidValues(_) | Self::UnreadableValues(_) | Self::UnreadableBody(..) => {
                "SerializationException"
            }
            Self::NoMethod(_) | Self::NoOperation(_) => "NotImplementedException",
            Self::MalformedEscape(_) => "FormatException",
            Self::DangerousValue { .. } => "HttpRequestValidationException",
            Self::Thrown { type_name, .. } => type_name,
        }
    }

    /// Returns the `ResponseStatus`, its members in their order.
    pub(crate) fn response_status(&self) -> Value {
        let stack_trace = matches!(self, Self::MalformedEscape(_)).then_some(
            "  at System.ParseNumbers.StringToInt (System.ReadOnlySpan`1[T] s) [0x00165] in \
             <simulated>:0 \n  at ServiceStack.Text.StringExtensions.UrlDecode (System.String \
             text) [0x0005d] in <simulated>:0 ",
        );
        let invalid = |(name, text): &(String, String)| {
            let message = format!("'{text}' is an Invalid value for '{name}'");
            Value::Object(vec![
                ("ErrorCode", self.code().into()),
                ("FieldName", name.as_str().into()),
                ("Message", message.into()),
            ])
        };
        let errors = match self {
            Self::InvalidValues(values) => Value::List(values.iter().map(invalid).collect()),
            Self::Thrown { .. } => Value::List(Vec::new()),
            _ => Value::Null,
        };
        Value::Object(vec![
            ("ErrorCode", self.code().into()),
            ("Message", self.to_string().into()),
            ("StackTrace", stack_trace.into()),
            ("Errors", errors),
        ])
    }
}

/// Returns the status with which the framework answers an exception of the service.
pub(crate) fn exception_status(type_name: &str, dialect: Dialect) -> u16 {
    match type_name {
        "ArgumentException"
        | "ArgumentNullException"
        | "ArgumentOutOfRangeException"
        | "SerializationException" => 400,
        "FormatException" if dialect == Dialect::V4 => 400,
        "UnauthorizedAccessException" => 403,
        "NotImplementedException" | "NotSupportedException" => 405,
        _ => 500,
    }
}
