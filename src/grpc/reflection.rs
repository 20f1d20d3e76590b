//! Reflection, v1 and v1alpha.
//!
//! tonic-reflection's own ends the stream at the first unknown symbol, where the protocol asks for
//! an `error_response`, and names the values of an enum inside the enum, where protobuf has them
//! beside it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use prost::{DecodeError, Message as _};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto,
};
use tokio_stream::{Stream, StreamExt as _};
use tonic::{Code, Request, Response, Status, Streaming, body::Body, server::NamedService};
use tonic_reflection::{
    pb::v1::{
        ErrorResponse, ExtensionNumberResponse, FileDescriptorResponse, ListServiceResponse,
        ServerReflectionRequest, ServerReflectionResponse, ServiceResponse,
        server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
    },
    server::v1::{ServerReflection, ServerReflectionServer},
};
use tower::Service;

use super::{pb, status};

/// The descriptor sets that are served. Without those of google.rpc, clients print error details as
/// base64.
const SETS: [&[u8]; 5] = [
    pb::FILE_DESCRIPTOR_SET,
    tonic_health::pb::FILE_DESCRIPTOR_SET,
    tonic_types::pb::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
    tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
];

/// A `FileDescriptorSet` whose files stay as they are: prost would drop options that it does not
/// know.
#[derive(prost::Message)]
struct RawSet {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    file: Vec<Bytes>,
}

/// The reflection service.
#[derive(Debug, Clone)]
pub(super) struct Reflection(Arc<Index>);

impl Reflection {
    /// Makes the services of v1 and of v1alpha, which differ in their name only.
    ///
    /// # Errors
    /// Fails if a descriptor set cannot be decoded.
    pub(super) fn services() -> Result<
        (
            ServerReflectionServer<Self>,
            V1Alpha<ServerReflectionServer<Self>>,
        ),
        DecodeError,
    > {
        let mut index = Index::default();
        for set in SETS {
            for file in RawSet::decode(set)?.file {
                index.add_file(file)?;
            }
        }
        let v1 = ServerReflectionServer::new(Self(Arc::new(index)));
        Ok((v1.clone(), V1Alpha(v1)))
    }
}

#[tonic::async_trait]
impl ServerReflection for Reflection {
    type ServerReflectionInfoStream =
        Pin<Box<dyn Stream<Item = Result<ServerReflectionResponse, Status>> + Send>>;

    async fn server_reflection_info(
        &self,
        request: Request<Streaming<ServerReflectionRequest>>,
    ) -> Result<Response<Self::ServerReflectionInfoStream>, Status> {
        let index = Arc::clone(&self.0);
        let answers = request.into_inner().map(move |request| match request {
            Ok(request) => Ok(index.answer(request)),
            Err(status) => Err(status::of_library(&status)),
        });
        Ok(Response::new(Box::pin(answers)))
    }
}

/// Where each symbol is defined.
#[derive(Debug, Default)]
struct Index {
    files: HashMap<String, Bytes>,
    symbols: HashMap<String, Bytes>,
    messages: BTreeSet<String>,
    services: BTreeSet<String>,
    /// The extensions of each message, by their number.
    extensions: HashMap<String, BTreeMap<i32, Bytes>>,
}

impl Index {
    fn add_file(&mut self, bytes: Bytes) -> Result<(), DecodeError> {
        let file = FileDescriptorProto::decode(bytes.clone())?;
        if self.files.contains_key(file.name()) {
            return Ok(());
        }
        self.files.insert(file.name().to_owned(), bytes.clone());
        let package = file.package();
        for message in &file.message_type {
            self.add_message(package, message, &bytes);
        }
        for of_enum in &file.enum_type {
            self.add_enum(package, of_enum, &bytes);
        }
        for extension in &file.extension {
            self.add_extension(package, extension, &bytes);
        }
        for service in &file.service {
            let name = self.add(package, service.name(), &bytes);
            for method in &service.method {
                self.add(&name, method.name(), &bytes);
            }
            self.services.insert(name);
        }
        Ok(())
    }

    /// Adds a symbol. Returns its full name.
    fn add(&mut self, scope: &str, name: &str, file: &Bytes) -> String {
        let full = match scope {
            "" => name.to_owned(),
            scope => format!("{scope}.{name}"),
        };
        self.symbols.insert(full.clone(), file.clone());
        full
    }

    fn add_message(&mut self, scope: &str, message: &DescriptorProto, file: &Bytes) {
        let name = self.add(scope, message.name(), file);
        for nested in &message.nested_type {
            self.add_message(&name, nested, file);
        }
        for of_enum in &message.enum_type {
            self.add_enum(&name, of_enum, file);
        }
        for extension in &message.extension {
            self.add_extension(&name, extension, file);
        }
        for field in &message.field {
            self.add(&name, field.name(), file);
        }
        for oneof in &message.oneof_decl {
            self.add(&name, oneof.name(), file);
        }
        self.messages.insert(name);
    }

    /// Adds an enum, and its values, which are in the scope of the enum itself.
    fn add_enum(&mut self, scope: &str, of_enum: &EnumDescriptorProto, file: &Bytes) {
        self.add(scope, of_enum.name(), file);
        for value in &of_enum.value {
            self.add(scope, value.name(), file);
        }
    }

    fn add_extension(&mut self, scope: &str, extension: &FieldDescriptorProto, file: &Bytes) {
        self.add(scope, extension.name(), file);
        let extended = without_dot(extension.extendee()).to_owned();
        let numbers = self.extensions.entry(extended).or_default();
        numbers.insert(extension.number(), file.clone());
    }

    fn answer(&self, request: ServerReflectionRequest) -> ServerReflectionResponse {
        let answer = match &request.message_request {
            Some(request) => self.find(request),
            None => Err((Code::InvalidArgument, "message_request must be set")),
        };
        ServerReflectionResponse {
            valid_host: request.host.clone(),
            original_request: Some(request),
            message_response: Some(answer.unwrap_or_else(|(code, text)| {
                MessageResponse::ErrorResponse(ErrorResponse {
                    error_code: code.into(),
                    error_message: text.to_owned(),
                })
            })),
        }
    }

    fn find(&self, request: &MessageRequest) -> Result<MessageResponse, (Code, &'static str)> {
        let found = match request {
            MessageRequest::FileByFilename(name) => {
                let file = self.files.get(name);
                file.ok_or("no file of this name is served")
            }
            MessageRequest::FileContainingSymbol(name) => {
                let file = self.symbols.get(without_dot(name));
                file.ok_or("no symbol of this name is served")
            }
            MessageRequest::FileContainingExtension(extension) => {
                let extended = without_dot(&extension.containing_type);
                let numbers = self.extensions.get(extended);
                let file = numbers.and_then(|files| files.get(&extension.extension_number));
                file.ok_or("no such extension is served")
            }
            MessageRequest::AllExtensionNumbersOfType(name) => {
                let name = without_dot(name);
                if !self.messages.contains(name) {
                    return Err((Code::NotFound, "no message of this name is served"));
                }
                let numbers = self.extensions.get(name);
                return Ok(MessageResponse::AllExtensionNumbersResponse(
                    ExtensionNumberResponse {
                        base_type_name: name.to_owned(),
                        extension_number: numbers
                            .map(|files| files.keys().copied().collect())
                            .unwrap_or_default(),
                    },
                ));
            }
            MessageRequest::ListServices(_) => {
                let services = self
                    .services
                    .iter()
                    .map(|name| ServiceResponse { name: name.clone() });
                return Ok(MessageResponse::ListServicesResponse(ListServiceResponse {
                    service: services.collect(),
                }));
            }
        };
        let file = found.map_err(|text| (Code::NotFound, text))?;
        Ok(MessageResponse::FileDescriptorResponse(
            FileDescriptorResponse {
                file_descriptor_proto: vec![file.to_vec()],
            },
        ))
    }
}

/// Returns a full name as descriptors of other files refer to it, without its leading dot.
fn without_dot(name: &str) -> &str {
    name.strip_prefix('.').unwrap_or(name)
}

/// The service of v1alpha: that of v1 under its older name. Their messages are the same.
#[derive(Debug, Clone)]
pub(super) struct V1Alpha<S>(S);

impl<S> NamedService for V1Alpha<S> {
    const NAME: &'static str = "grpc.reflection.v1alpha.ServerReflection";
}

impl<S> Service<http::Request<Body>> for V1Alpha<S>
where
    S: Service<http::Request<Body>, Error = Infallible>,
{
    type Response = S::Response;
    type Error = Infallible;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, mut request: http::Request<Body>) -> S::Future {
        let path = request.uri().path().replace(".v1alpha.", ".v1.");
        // A part of a valid path is replaced by a valid one.
        if let Ok(uri) = path.parse() {
            *request.uri_mut() = uri;
        }
        self.0.call(request)
    }
}
