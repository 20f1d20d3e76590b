//! Health watches and reflection: who may open them, and when they end.

use std::time::{Duration, SystemTime};

use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::{
    authentication::{ONE_CALLER, one_caller},
    support::{Facade, token_line, with_token},
};
use crate::{
    support::raw_http::PATIENCE,
    support::{channel, failure},
};

#[tokio::test]
async fn health_needs_no_authentication_and_reflection_does() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
        server_reflection_request::MessageRequest,
    };
    let facade = one_caller().await;
    let mut health = HealthClient::new(channel(facade.addr).await);
    let request = HealthCheckRequest {
        service: "porta.followme.v1.FollowMeService".to_owned(),
    };
    health.check(request).await.expect("health is open");
    let mut reflection = ServerReflectionClient::new(channel(facade.addr).await);
    let ask = || {
        tonic::codegen::tokio_stream::once(ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        })
    };
    let refused = reflection.server_reflection_info(ask()).await;
    assert_eq!(failure(refused.map(|_| ())).code, Code::Unauthenticated);
    let request = with_token(ask(), "good");
    let answer = reflection.server_reflection_info(request).await;
    answer.expect("a caller may ask");
}

#[tokio::test]
async fn a_stream_ends_with_the_credential_of_its_caller() {
    use tonic_reflection::pb::v1::{
        ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    };
    let soon = SystemTime::now() + Duration::from_secs(3);
    let facade = Facade::with(ONE_CALLER, |dir| {
        let expires = humantime::format_rfc3339_seconds(soon).to_string();
        let tokens = [
            token_line("portal", "short", &expires),
            token_line("portal", "removed", ""),
        ];
        dir.write("tokens", &tokens.concat());
    })
    .await;
    let mut health = HealthClient::new(channel(facade.addr).await);
    let request = with_token(HealthCheckRequest::default(), "short");
    let mut watch = health.watch(request).await.expect("watched").into_inner();
    let mut reflection = ServerReflectionClient::new(channel(facade.addr).await);
    let mut streams = Vec::new();
    for token in ["short", "removed"] {
        let ask = tokio_stream::StreamExt::chain(
            tokio_stream::once(ServerReflectionRequest::default()),
            tokio_stream::pending(),
        );
        let answer = reflection
            .server_reflection_info(with_token(ask, token))
            .await;
        let mut answers = answer.expect("a stream").into_inner();
        answers.message().await.expect("an answer").expect("one");
        streams.push(answers);
    }
    let refused = failure(
        timeout(PATIENCE, streams[0].message())
            .await
            .expect("in time"),
    );
    assert_eq!(refused.code, Code::Unauthenticated);
    assert_eq!(refused.status.message(), "the token has expired");
    let ended = timeout(PATIENCE, async {
        loop {
            if let Err(status) = watch.message().await {
                return status;
            }
        }
    });
    assert_eq!(ended.await.expect("in time").code(), Code::Unauthenticated);
    facade.dir.write("tokens", "");
    let refused = failure(
        timeout(PATIENCE, streams[1].message())
            .await
            .expect("in time"),
    );
    assert_eq!(refused.code, Code::Unauthenticated);
}
