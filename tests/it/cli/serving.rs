//! `serve` in front of `simulate`, and the health and reflection services.

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Options, Route, Settings, Simulator},
};
use tonic::{Code, codegen::tokio_stream};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::Process;
use crate::{
    config::file,
    support::{World, add_to, channel, list, new_number, stored_number, update},
};

const SERVICE: &str = "porta.followme.v1.FollowMeService";

#[tokio::test(flavor = "multi_thread")]
async fn serve_works_against_simulate() {
    let mut simulate = Process::start(
        &[
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--dialect",
            "aspnet",
            "--newline",
            "crlf",
            "--knobs",
            "{\"write_answer\": \"null\"}",
        ],
        &[],
    );
    let upstream = simulate.address("simulator listening on");
    let url = format!("http://{upstream}/");
    let key = file("serve-license", "DEMO-KEY\n");
    let key = key.to_str().expect("a path in UTF-8");
    let flags = ["serve", "--listen", "127.0.0.1:0", "--upstream-url", &url];
    let quick = "[server]\ndrain_delay = \"0s\"\n";
    let toml = file(
        "serve.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\n{quick}[upstream]\nurl = {url:?}\nlicense_file = {key:?}\n"
        ),
    );
    let toml = toml.to_str().expect("a path in UTF-8");
    let quick = file("quick.toml", quick);
    let quick = quick.to_str().expect("a path in UTF-8");
    for (args, environment) in [
        ([&flags[..], &["--license-file", key]].concat(), Vec::new()),
        (
            flags.to_vec(),
            vec![("FOLLOWME_LICENSE", "DEMO-KEY"), ("FOLLOWME_CONFIG", quick)],
        ),
        (vec!["serve", "--config", toml], Vec::new()),
        (
            vec!["serve"],
            vec![
                ("FOLLOWME_LISTEN", "127.0.0.1:0"),
                ("FOLLOWME_UPSTREAM_URL", url.as_str()),
                ("FOLLOWME_LICENSE_FILE", key),
                ("FOLLOWME_CONFIG", quick),
            ],
        ),
    ] {
        let mut serve = Process::start(&args, &environment);
        let addr = serve.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        let answer = client
            .add(add_to(1003, new_number("Van", "15550121")))
            .await;
        assert!(answer.is_ok(), "{answer:?}");
        serve.signal("TERM");
        let (status, err) = serve.end();
        assert_eq!(status.code(), Some(0), "{err}");
    }
    simulate.signal("TERM");
    assert_eq!(simulate.end().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_holds_the_license_that_upstream_echoes() {
    const KEY: &str = "k+y/9 %41\"z";
    let simulator = Simulator::bind(Options::default())
        .await
        .expect("a free port");
    let (handle, upstream) = (simulator.handle(), simulator.local_addr());
    tokio::spawn(simulator.run(std::future::pending()));
    handle.seed(
        KEY,
        1001,
        vec![stored_number("Desk", "15550101", 1)],
        Settings::default(),
    );
    let url = format!("http://{upstream}/");
    let toml = file(
        "logs.toml",
        "[server]\ndrain_delay = \"0s\"\n[upstream]\nread_retries = 0\n",
    );
    let toml = toml.to_str().expect("a path in UTF-8");
    let mut serve = Process::start(
        &[
            "serve",
            "--config",
            toml,
            "--listen",
            "127.0.0.1:0",
            "--upstream-url",
            &url,
        ],
        &[("FOLLOWME_LICENSE", KEY), ("RUST_LOG", "trace")],
    );
    let addr = serve.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    client.list(list(1001)).await.expect("a list");
    let encoded = "k%2By%2F9%20%2541%22z";
    let forms = [
        KEY.to_owned(),
        encoded.to_owned(),
        encoded.to_lowercase(),
        encoded.replace("%20", "+"),
        KEY.replace('"', "\"\""),
        KEY.replace('"', "\\\""),
        KEY.replace('"', "&quot;"),
    ];
    for form in &forms {
        for content_type in ["text/html", "text/csv"] {
            let (status, reason) = (500, Some(format!("no {form}")));
            let body = format!("ResponseStatus\nno /getfollowmes/{form}/1001?License={form}\n");
            let kind = FaultKind::Status {
                status,
                reason,
                body,
                content_type: Some(content_type.to_owned()),
            };
            handle.arm(Fault::once(kind).on(Route::GetAll));
            let failed = client.list(list(1001)).await.expect_err("it fails");
            assert_eq!(failed.code(), Code::Unavailable);
            for form in &forms {
                assert!(!format!("{failed:?}").contains(form.as_str()));
            }
        }
    }
    // By GET and by POST.
    let id = handle.numbers(KEY, 1001).expect("seeded")[0].id;
    client
        .update(update(id, &["domain"], new_number("", "")))
        .await
        .expect("it is updated");
    serve.signal("TERM");
    let (status, log) = serve.end();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("call failed"), "{log}");
    for form in forms {
        assert!(!log.contains(&form), "{form} is in {log}");
    }
}

#[tokio::test]
async fn health_covers_the_server_and_the_service() {
    let world = World::start().await;
    let mut health = HealthClient::new(channel(world.addr).await);
    for service in ["", SERVICE] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.expect("it is known");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let request = HealthCheckRequest {
        service: "porta.followme.v2.FollowMeService".to_owned(),
    };
    let unknown = health.check(request).await.expect_err("it is not known");
    assert_eq!(unknown.code(), Code::NotFound);
}

/// Asks the reflection service of a version one thing.
macro_rules! reflect {
    ($version:ident, $world:expr, $ask:ident($text:expr)) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new(channel($world.addr).await);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::$ask($text.to_owned())),
        };
        let answers = client
            .server_reflection_info(tokio_stream::once(request))
            .await
            .expect("reflection is served");
        let answer = answers.into_inner().message().await.expect("an answer");
        match answer.expect("an answer").message_response {
            Some(MessageResponse::ListServicesResponse(list)) => list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect(),
            Some(MessageResponse::FileDescriptorResponse(files)) => files
                .file_descriptor_proto
                .into_iter()
                .map(|file| String::from_utf8_lossy(&file).into_owned())
                .collect(),
            other => panic!("an answer to the question: {other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them_in_both_versions() {
    let world = World::start().await;
    let v1: Vec<String> = reflect!(v1, world, ListServices(""));
    let v1alpha: Vec<String> = reflect!(v1alpha, world, ListServices(""));
    for services in [&v1, &v1alpha] {
        for service in [SERVICE, "grpc.health.v1.Health"] {
            assert!(
                services.iter().any(|known| known == service),
                "{services:?}"
            );
        }
    }
    for symbol in [
        SERVICE,
        "porta.followme.v1.ReplaceIncomplete",
        "grpc.health.v1.Health",
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.PreconditionFailure",
        "google.protobuf.Duration",
    ] {
        let v1: Vec<String> = reflect!(v1, world, FileContainingSymbol(symbol));
        let v1alpha: Vec<String> = reflect!(v1alpha, world, FileContainingSymbol(symbol));
        assert!(!v1.is_empty() && v1 == v1alpha, "{symbol}");
    }
}
