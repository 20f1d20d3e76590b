//! The failures that the framework reports itself, and the status of an exception
//! (docs/upstream/wire.md 8).

use super::{options::Dialect, value::Value};

/// A failure that the framework reports as a `ResponseStatus`.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) status: u16,
    error_code: String,
    message: String,
    stack_trace: Option<String>,
    /// The fields that v4 could not bind.
    errors: Option<Vec<Value>>,
}

/// Why a request body could not be read: a .NET exception.
#[derive(Clone, Debug)]
pub(crate) struct BodyError {
    pub(crate) exception: &'static str,
    pub(crate) message: String,
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
    pub(crate) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self {
            status,
            error_code: code.to_owned(),
            message: message.into(),
            stack_trace: None,
            errors: None,
        }
    }

    /// Returns the `ResponseStatus`, its members in their order.
    pub(crate) fn response_status(&self) -> Value {
        Value::Object(vec![
            ("ErrorCode", self.error_code.as_str().into()),
            ("Message", self.message.as_str().into()),
            ("StackTrace", self.stack_trace.as_deref().into()),
            ("Errors", self.errors.clone().into()),
        ])
    }

    /// Makes the failure that an exception of the service becomes where the framework does not find
    /// the response class.
    pub(crate) fn thrown(error_code: &str, message: String, dialect: Dialect) -> Self {
        Self {
            errors: Some(Vec::new()),
            ..Self::new(exception_status(error_code, dialect), error_code, message)
        }
    }

    /// Makes the answer of v3 to anything that cannot be bound on a route.
    pub(crate) fn unable_to_bind() -> Self {
        Self::new(400, "RequestBindingException", "Unable to bind request")
    }

    /// Makes the answer to the 8-value add, whose last placeholder names no property.
    pub(crate) fn misspelt(dialect: Dialect) -> Self {
        match dialect {
            Dialect::V4 => Self::new(
                400,
                "ArgumentException",
                "Could not find property KeepupdateAccountsOriginalCld on PortaFollowMe",
            ),
            Dialect::V3 | Dialect::AspNet => Self::unable_to_bind(),
        }
    }

    /// Makes the answer to values that cannot be bound, as v4 names them: `(name, text)`.
    pub(crate) fn invalid_values(values: &[(String, String)]) -> Self {
        let code = "SerializationException";
        let mut failure = Self::new(400, code, "Unable to bind to request 'PortaFollowMe'");
        failure.errors = Some(
            values
                .iter()
                .map(|(name, text)| {
                    let message = format!("'{text}' is an Invalid value for '{name}'");
                    Value::Object(vec![
                        ("ErrorCode", code.into()),
                        ("FieldName", name.as_str().into()),
                        ("Message", message.into()),
                    ])
                })
                .collect(),
        );
        failure
    }

    /// Makes the answer to values of a query or form on a predefined path that v3 cannot bind; it
    /// echoes them.
    pub(crate) fn unreadable_values(text: &str) -> Self {
        Self::new(
            400,
            "SerializationException",
            format!(
                "Could not deserialize 'Porta.PortaFollowMe' request using \
                 KeyValueDataContractDeserializer: '{text}'.\nError: \
                 'System.Runtime.Serialization.SerializationException: \
                 KeyValueDataContractDeserializer: Error converting to type: Input string was not \
                 in a correct format.\n  at ServiceStack.ServiceModel.Serialization.\
                 StringMapTypeDeserializer.PopulateFromMap (System.Object instance)'"
            ),
        )
    }

    /// Makes the answer to a body that its reader refused, with the many-line trace that the
    /// framework prints.
    pub(crate) fn unreadable_body(content_type: &str, error: &BodyError) -> Self {
        Self::new(
            400,
            "SerializationException",
            format!(
                "Could not deserialize '{content_type}' request using Porta.PortaFollowMe'\nError: \
                 {}: {}\n  at ServiceStack.Text.CsvSerializer.DeserializeFromStream (System.Type \
                 type, System.IO.Stream stream) [0x00001] in <simulated>:0 \n",
                error.exception, error.message
            ),
        )
    }

    /// Makes the answer to a verb for which the service has no method, on a route that
    /// matched all the same.
    pub(crate) fn no_method(method: &str) -> Self {
        let mut name = method.to_ascii_lowercase();
        if let Some(first) = name.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        Self::new(
            405,
            "NotImplementedException",
            format!(
                "Could not find method named {name}(PortaFollowMe) or Any(PortaFollowMe) on \
                 Service PortaService"
            ),
        )
    }

    /// Makes the answer to a predefined path of an unknown operation.
    pub(crate) fn no_operation(operation: &str) -> Self {
        Self::new(
            405,
            "NotImplementedException",
            format!("The operation '{operation}' does not exist for this service"),
        )
    }

    /// Makes the answer to a malformed `%` in the path of a self-host, when a query string follows.
    pub(crate) fn malformed_escape(message: &str) -> Self {
        let mut failure = Self::new(500, "FormatException", message);
        failure.stack_trace = Some(
            "  at System.ParseNumbers.StringToInt (System.ReadOnlySpan`1[T] s) [0x00165] in \
             <simulated>:0 \n  at ServiceStack.Text.StringExtensions.UrlDecode (System.String \
             text) [0x0005d] in <simulated>:0 "
                .to_owned(),
        );
        failure
    }

    /// Makes ASP.NET's refusal of text that looks like HTML in a query or form value.
    pub(crate) fn dangerous_value(collection: &str, name: &str, value: &str) -> Self {
        Self::new(
            500,
            "HttpRequestValidationException",
            format!(
                "A potentially dangerous Request.{collection} value was detected from the client \
                 ({name}=\"{value}\")."
            ),
        )
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
