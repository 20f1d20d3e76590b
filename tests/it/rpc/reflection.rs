//! Reflection, v1 and v1alpha.

use crate::support::{World, channel};

/// Makes the tests of a version.
macro_rules! in_version {
    ($version:ident) => {
        mod $version {
            use prost::Message as _;
            use prost_types::FileDescriptorProto;
            use tokio_stream::wrappers::ReceiverStream;
            use tonic_reflection::pb::$version::{
                ExtensionRequest, ServerReflectionRequest, ServerReflectionResponse,
                server_reflection_client::ServerReflectionClient,
                server_reflection_request::MessageRequest,
                server_reflection_response::MessageResponse,
            };

            use super::*;

            /// Sends requests on one stream, each after the answer to the one before.
            async fn ask(
                world: &World,
                requests: Vec<Option<MessageRequest>>,
            ) -> Vec<MessageResponse> {
                let mut client = ServerReflectionClient::new(channel(world.addr).await);
                let (sender, receiver) = tokio::sync::mpsc::channel(1);
                let stream = client
                    .server_reflection_info(ReceiverStream::new(receiver))
                    .await;
                let mut answers = stream.expect("a stream").into_inner();
                let mut found = Vec::new();
                for message_request in requests {
                    let request = ServerReflectionRequest {
                        host: "here".to_owned(),
                        message_request,
                    };
                    sender.send(request.clone()).await.expect("it is open");
                    let answer: ServerReflectionResponse = answers
                        .message()
                        .await
                        .expect("the stream goes on")
                        .expect("an answer");
                    assert_eq!(answer.valid_host, "here");
                    assert_eq!(answer.original_request, Some(request));
                    found.push(answer.message_response.expect("a response"));
                }
                drop(sender);
                assert_eq!(answers.message().await.expect("it ends well"), None);
                found
            }

            fn symbol(name: &str) -> Option<MessageRequest> {
                Some(MessageRequest::FileContainingSymbol(name.to_owned()))
            }

            #[tokio::test]
            async fn what_is_unknown_is_an_error_response_and_the_stream_goes_on() {
                let world = World::start().await;
                let extension = |containing_type: &str| {
                    Some(MessageRequest::FileContainingExtension(ExtensionRequest {
                        containing_type: containing_type.to_owned(),
                        extension_number: 7,
                    }))
                };
                let numbers_of =
                    |name: &str| Some(MessageRequest::AllExtensionNumbersOfType(name.to_owned()));
                let file = |name: &str| Some(MessageRequest::FileByFilename(name.to_owned()));
                let unknown = vec![
                    (symbol("porta.followme.v1.Nothing"), 5),
                    (symbol("porta.followme.v1"), 5),
                    (symbol(""), 5),
                    (file("nothing.proto"), 5),
                    (file(""), 5),
                    (extension("porta.followme.v1.ListRequest"), 5),
                    (extension("porta.followme.v1.Nothing"), 5),
                    (numbers_of("porta.followme.v1.Nothing"), 5),
                    (numbers_of("porta.followme.v1.Sequence"), 5),
                    (None, 3),
                ];
                let (requests, codes): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
                let answers = ask(&world, requests).await;
                for (answer, code) in answers.into_iter().zip(codes) {
                    let MessageResponse::ErrorResponse(error) = answer else {
                        panic!("{answer:?}");
                    };
                    assert_eq!(error.error_code, code);
                    assert!(!error.error_message.is_empty());
                }
                let answers = ask(&world, vec![numbers_of("porta.followme.v1.ListRequest")]).await;
                let MessageResponse::AllExtensionNumbersResponse(none) = &answers[0] else {
                    panic!("{answers:?}");
                };
                assert_eq!(none.base_type_name, "porta.followme.v1.ListRequest");
                assert!(none.extension_number.is_empty());
            }

            #[tokio::test]
            async fn a_symbol_is_found_in_the_scope_that_protobuf_gives_it() {
                let world = World::start().await;
                let answers = ask(
                    &world,
                    [
                        "porta.followme.v1.FollowMeService",
                        "porta.followme.v1.FollowMeService.List",
                        "porta.followme.v1.FollowMeNumber",
                        ".porta.followme.v1.FollowMeNumber",
                        "porta.followme.v1.FollowMeNumber.period",
                        "porta.followme.v1.Sequence",
                        // A value is beside its enum, not inside it.
                        "porta.followme.v1.SEQUENCE_RANDOM",
                        "porta.followme.v1.ReplaceStep.Outcome",
                        "porta.followme.v1.ReplaceStep.OUTCOME_DONE",
                    ]
                    .map(symbol)
                    .to_vec(),
                )
                .await;
                for answer in answers {
                    let MessageResponse::FileDescriptorResponse(files) = answer else {
                        panic!("{answer:?}");
                    };
                    let file = FileDescriptorProto::decode(&*files.file_descriptor_proto[0]);
                    let file = file.expect("a descriptor");
                    assert_eq!(file.name(), "porta/followme/v1/follow_me.proto");
                    assert!(file.source_code_info.is_some());
                }
                let wrong = [
                    "porta.followme.v1.Sequence.SEQUENCE_RANDOM",
                    "porta.followme.v1.ReplaceStep.Outcome.OUTCOME_DONE",
                ];
                for answer in ask(&world, wrong.map(symbol).to_vec()).await {
                    assert!(matches!(answer, MessageResponse::ErrorResponse(_)));
                }
            }

            #[tokio::test]
            async fn every_import_of_a_served_file_is_served() {
                let world = World::start().await;
                let services = Some(MessageRequest::ListServices(String::new()));
                let answers = ask(&world, vec![services]).await;
                let MessageResponse::ListServicesResponse(services) = &answers[0] else {
                    panic!("{answers:?}");
                };
                let names: Vec<_> = services.service.iter().map(|it| it.name.as_str()).collect();
                assert_eq!(
                    names,
                    [
                        "grpc.health.v1.Health",
                        "grpc.reflection.v1.ServerReflection",
                        "grpc.reflection.v1alpha.ServerReflection",
                        "porta.followme.v1.FollowMeService",
                    ]
                );
                let mut wanted: Vec<_> = names.iter().map(|name| symbol(name)).collect();
                wanted.push(symbol("google.rpc.ErrorInfo"));
                while !wanted.is_empty() {
                    let mut next = Vec::new();
                    for answer in ask(&world, std::mem::take(&mut wanted)).await {
                        let MessageResponse::FileDescriptorResponse(files) = answer else {
                            panic!("{answer:?}");
                        };
                        for file in files.file_descriptor_proto {
                            let file = FileDescriptorProto::decode(&*file).expect("a descriptor");
                            next.extend(file.dependency);
                        }
                    }
                    let files = next.into_iter().map(MessageRequest::FileByFilename);
                    wanted = files.map(Some).collect();
                }
            }
        }
    };
}

in_version!(v1);
in_version!(v1alpha);
