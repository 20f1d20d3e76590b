//! Authentication: tokens and client certificates.

use std::{
    net::SocketAddr,
    time::{Duration, SystemTime},
};

use followme::{
    domain::{License, Method},
    security::{Authorizer, Caller, Config, Methods, Policy, Tokens, Unauthenticated},
};
use http::HeaderMap;
use tokio_rustls::rustls::{
    HandshakeKind,
    version::{TLS12, TLS13},
};
use tonic::Code;

use super::support::{Facade, Tls, token_line, until, with_token};
use crate::{
    support::certificates::Authority,
    support::raw_h2::{Connection, framed, post, rpc},
    support::{failure, list, with_metadata},
};

pub(super) const ONE_CALLER: &str =
    "tokens_file = \"{dir}/tokens\"\n[callers.portal]\nmethods = [\"*\"]\n";

pub(super) async fn one_caller() -> Facade {
    Facade::with(ONE_CALLER, |dir| {
        let tokens = [
            token_line("portal", "good", ""),
            token_line("portal", "old", "2020-01-31T00:00:00Z"),
            token_line("portal", "new", "2999-01-31T00:00:00Z"),
        ];
        dir.write("tokens", &tokens.concat());
    })
    .await
}

#[tokio::test]
async fn a_token_authenticates_and_a_wrong_expired_or_absent_one_does_not() {
    let facade = one_caller().await;
    for token in ["good", "new"] {
        let answer = facade.list_with(token).await.expect("a list");
        assert_eq!(answer.numbers.len(), 3);
    }
    let asked = facade.handle.requests().len();
    let client = facade.client().await;
    for (authorization, message) in [
        (
            None,
            "the call has no credential: send a client certificate, or a bearer token in authorization",
        ),
        (Some("Bearer wrong"), "the token is unknown"),
        (Some("Bearer old"), "the token has expired"),
        (
            Some("Basic good"),
            "authorization must be sent once, as `Bearer` and a token",
        ),
        (
            Some("Bearer "),
            "authorization must be sent once, as `Bearer` and a token",
        ),
        (
            Some("good"),
            "authorization must be sent once, as `Bearer` and a token",
        ),
    ] {
        let metadata = authorization.map(|text| ("authorization", text));
        let request = with_metadata(list(1001), metadata.as_slice());
        let refused = failure(client.clone().list(request).await);
        assert_eq!(refused.code, Code::Unauthenticated, "{authorization:?}");
        assert_eq!(refused.reason, "UNAUTHENTICATED");
        assert_eq!(refused.status.message(), message);
    }
    let mut twice = with_token(list(1001), "good");
    let again = "Bearer good".parse().expect("a value");
    twice.metadata_mut().append("authorization", again);
    let refused = failure(client.clone().list(twice).await);
    assert_eq!(refused.code, Code::Unauthenticated);
    assert_eq!(facade.handle.requests().len(), asked);
}

#[tokio::test]
async fn the_scheme_of_a_token_may_be_in_any_case() {
    let facade = one_caller().await;
    let request = with_metadata(list(1001), &[("authorization", "bearer good")]);
    assert!(facade.client().await.list(request).await.is_ok());
}

#[tokio::test]
async fn a_token_removed_from_its_file_is_refused() {
    let facade = one_caller().await;
    let mut client = facade.client().await;
    let request = || with_token(list(1001), "good");
    client.list(request()).await.expect("a list");
    facade
        .dir
        .write("tokens", &token_line("portal", "other", ""));
    let refused = until("the token is refused", || {
        let answer = client.clone();
        async move { { answer }.list(request()).await.err() }
    })
    .await;
    assert_eq!(refused.message(), "the token is unknown");
    facade.list_with("other").await.expect("a list");
}

#[tokio::test]
async fn an_invalid_token_file_keeps_the_loaded_tokens() {
    let facade = one_caller().await;
    facade
        .dir
        .write("tokens", "portal no-hash\n# the rest is gone\n");
    // Another file, which is read after it, shows that it was read.
    facade
        .dir
        .configure(&format!("{ONE_CALLER}accounts = [1002]\n"));
    let refused = until("the account is refused", || async {
        facade.list_with("good").await.err()
    })
    .await;
    assert_eq!(refused.code(), Code::PermissionDenied);
}

#[tokio::test]
async fn a_removed_caller_is_refused_even_if_it_was_the_last() {
    let facade = one_caller().await;
    facade.list_with("good").await.expect("a list");
    facade.dir.configure("");
    let refused = until("the caller is refused", || async {
        facade.list_with("good").await.err()
    })
    .await;
    assert_eq!(refused.code(), Code::Unauthenticated);
    let refused = failure(facade.client().await.list(list(1001)).await);
    assert_eq!(refused.code, Code::Unauthenticated);
}

/// Makes a authorizer that knows one token, and one caller.
fn authorizer() -> Authorizer {
    let caller = Caller {
        name: "portal".into(),
        methods: Methods::These(vec![Method::List]),
        ..Caller::anonymous(License::new("KEY").ok())
    };
    Authorizer::new(Config {
        tls: None,
        policy: Policy {
            callers_only: true,
            read_only: false,
            anonymous: Caller::anonymous(None),
            callers: vec![caller.into()],
            tokens: Tokens::parse(&token_line("portal", "good", "")).expect("a token"),
        },
    })
}

#[test]
fn a_token_over_plaintext_is_accepted_from_loopback_only() {
    let authorizer = authorizer();
    let mut headers = HeaderMap::new();
    headers.insert("authorization", "Bearer good".parse().expect("a value"));
    for (remote, taken) in [
        ("127.0.0.1:1", true),
        ("127.1.2.3:1", true),
        ("[::1]:1", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("192.0.2.1:1", false),
        ("[2001:db8::1]:1", false),
        ("[::ffff:192.0.2.1]:1", false),
    ] {
        let remote: SocketAddr = remote.parse().expect("an address");
        let answer = authorizer.authenticate(remote, None, &headers);
        assert_eq!(answer.is_ok(), taken, "{remote}");
        if !taken {
            assert_eq!(answer.err(), Some(Unauthenticated::Plaintext));
        }
    }
}

const CERTIFICATES: &str = "[tls]\n\
     certificate_file = \"{dir}/server.pem\"\n\
     key_file = \"{dir}/server.key\"\n\
     client_ca_file = \"{dir}/callers.pem\"\n\
     [callers.portal]\n\
     certificate_names = [\"spiffe://example.com/portal\", \"Portal.example.com\"]\n\
     methods = [\"*\"]\n";

async fn certificates(authority: &Authority, callers: &Authority) -> Facade {
    Facade::with(CERTIFICATES, |dir| {
        dir.identity("server", &authority.sign("localhost"));
        dir.write("callers.pem", &callers.pem);
    })
    .await
}

#[tokio::test]
async fn a_client_certificate_authenticates_by_its_spiffe_id_or_dns_name() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let facade = certificates(&authority, &callers).await;
    for (name, message) in [
        ("spiffe://example.com/portal", None),
        ("portal.example.com", None),
        ("spiffe://example.com/Portal", Some("names")),
        ("spiffe://example.com/portal/x", Some("names")),
        ("x.portal.example.com", Some("names")),
        ("*.example.com", Some("names")),
    ] {
        let identity = callers.sign(name);
        let tls = Tls::new(&authority, Some(&identity));
        let mut client = tls.connect(facade.addr).await.expect("a connection");
        match (client.list(list(1001)).await, message) {
            (Ok(answer), None) => assert_eq!(answer.get_ref().numbers.len(), 3),
            (answer, Some(_)) => {
                let refused = failure(answer);
                assert_eq!(refused.code, Code::Unauthenticated, "{name}");
                assert_eq!(
                    refused.status.message(),
                    "the names of the client certificate belong to no caller"
                );
            }
            (Err(status), None) => panic!("{name}: {status:?}"),
        }
    }
    let tls = Tls::new(&authority, None);
    let mut client = tls.connect(facade.addr).await.expect("a connection");
    let refused = failure(client.list(list(1001)).await);
    assert_eq!(refused.code, Code::Unauthenticated);
}

#[tokio::test]
async fn a_client_certificate_of_another_ca_or_an_expired_one_is_refused() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let facade = certificates(&authority, &callers).await;
    let name = "portal.example.com";
    for identity in [authority.sign(name), callers.sign_expired(name)] {
        let tls = Tls::new(&authority, Some(&identity));
        // With TLS 1.3 a client learns of the refusal when it reads.
        let refused = match tls.connect(facade.addr).await {
            Err(_) => true,
            Ok(mut client) => client.list(list(1001)).await.is_err(),
        };
        assert!(refused);
    }
    assert_eq!(facade.handle.requests().len(), 0);
}

#[tokio::test]
async fn a_spiffe_id_is_the_only_uri_of_a_certificate_that_signs_no_others() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyUsagePurpose, SanType};
    let (authority, callers) = (Authority::new(), Authority::new());
    let facade = certificates(&authority, &callers).await;
    const PORTAL: &str = "spiffe://example.com/portal";
    let uri = |text: &str| SanType::URI(text.try_into().expect("ASCII"));
    let dns = |text: &str| SanType::DnsName(text.try_into().expect("ASCII"));
    type Edit = Box<dyn FnOnce(&mut CertificateParams)>;
    let names =
        |names: Vec<SanType>| -> Edit { Box::new(move |params| params.subject_alt_names = names) };
    let usage = |usage| -> Edit { Box::new(move |params| params.key_usages = vec![usage]) };
    let cases: Vec<(bool, Edit)> = vec![
        (true, names(vec![uri(PORTAL)])),
        (true, names(vec![dns("x.example.com"), uri(PORTAL)])),
        (
            false,
            names(vec![uri("spiffe://example.com/nobody"), uri(PORTAL)]),
        ),
        (
            false,
            names(vec![uri(PORTAL), uri("spiffe://example.com/nobody")]),
        ),
        (false, names(vec![uri(PORTAL), uri(PORTAL)])),
        (false, names(vec![uri(PORTAL), uri("https://example.com/")])),
        (true, usage(KeyUsagePurpose::DigitalSignature)),
        (false, usage(KeyUsagePurpose::KeyCertSign)),
        (false, usage(KeyUsagePurpose::CrlSign)),
        (
            false,
            Box::new(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained)),
        ),
        // A caller that is configured by a DNS name is found by it.
        (
            true,
            names(vec![
                uri(PORTAL),
                uri("spiffe://example.com/nobody"),
                dns("portal.example.com"),
            ]),
        ),
    ];
    for (number, (taken, edit)) in cases.into_iter().enumerate() {
        let identity = callers.sign_as(PORTAL, edit);
        for version in [&TLS12, &TLS13] {
            let tls = Tls::of_versions(&authority, Some(&identity), &[version]);
            let answered = match tls.connect(facade.addr).await {
                Err(_) => false,
                Ok(mut client) => client.list(list(1001)).await.is_ok(),
            };
            assert_eq!(answered, taken, "case {number}");
        }
    }
}

#[tokio::test]
async fn an_expired_certificate_cannot_resume_its_session() {
    let (authority, callers) = (Authority::new(), Authority::new());
    for toml in [
        CERTIFICATES.to_owned(),
        // Without callers, the handshake alone keeps others out.
        "[tls]\n\
         certificate_file = \"{dir}/server.pem\"\n\
         key_file = \"{dir}/server.key\"\n\
         client_ca_file = \"{dir}/callers.pem\"\n\
         require_client_certificate = true\n"
            .to_owned(),
    ] {
        for version in [&TLS12, &TLS13] {
            let facade = Facade::with(&toml, |dir| {
                dir.identity("server", &authority.sign("localhost"));
                dir.write("callers.pem", &callers.pem);
            })
            .await;
            let identity = callers.sign_as("portal.example.com", |params| {
                params.not_after = (SystemTime::now() + Duration::from_secs(3)).into();
            });
            let tls = Tls::of_versions(&authority, Some(&identity), &[version]);
            let mut open = tls.connect(facade.addr).await.expect("a connection");
            open.list(list(1001)).await.expect("a list");
            let again = tls.handshake(facade.addr).await.expect("a handshake");
            let kind = again.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(HandshakeKind::Resumed));
            until("the resumed session is refused", || async {
                let answered = match tls.connect(facade.addr).await {
                    Err(_) => false,
                    Ok(mut client) => client.list(list(1001)).await.is_ok(),
                };
                (!answered).then_some(())
            })
            .await;
            if toml == CERTIFICATES {
                let refused = failure(open.list(list(1001)).await);
                assert_eq!(refused.code, Code::Unauthenticated);
            }
        }
    }
}

#[tokio::test]
async fn a_path_that_is_not_served_needs_no_credential() {
    let facade = one_caller().await;
    let connection = Connection::open(facade.addr).await;
    for path in [
        "/AWS.ALB/healthcheck",
        "/porta.followme.v1.FollowMeService/Purge",
        "/porta.followme.v1.FollowMeService/%4Cist",
        "/grpc.health.v1.Health/Probe",
    ] {
        let request = post(path).header("content-type", "application/grpc");
        let answer = connection.send(request, &[framed(&list(1001))], None).await;
        let refused = failure(answer.result());
        assert_eq!(refused.reason, "METHOD_UNKNOWN", "{path}");
    }
    let answer = connection.call("List", &[], &list(1001)).await;
    assert_eq!(failure(answer.result()).reason, "UNAUTHENTICATED");
    // A credential in trailers is none.
    let mut trailers = HeaderMap::new();
    trailers.insert("authorization", "Bearer good".parse().expect("a value"));
    let body = [framed(&list(1001))];
    let answer = connection.send(rpc("List"), &body, Some(trailers)).await;
    assert_eq!(failure(answer.result()).reason, "UNAUTHENTICATED");
    assert!(facade.handle.requests().is_empty());
}

#[tokio::test]
async fn removing_a_ca_affects_open_connections_too() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let facade = certificates(&authority, &callers).await;
    let identity = callers.sign("portal.example.com");
    let tls = Tls::new(&authority, Some(&identity));
    let mut client = tls.connect(facade.addr).await.expect("a connection");
    client.list(list(1001)).await.expect("a list");
    facade.dir.write("callers.pem", &Authority::new().pem);
    let refused = until("the certificate is refused", || {
        let client = client.clone();
        async move { { client }.list(list(1001)).await.err() }
    })
    .await;
    assert_eq!(
        refused.message(),
        "the client certificate is no longer valid"
    );
}

#[tokio::test]
async fn a_token_takes_precedence_over_a_certificate() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let toml = format!(
        "tokens_file = \"{{dir}}/tokens\"\n{CERTIFICATES}[callers.batch]\nmethods = [\"Get\"]\n"
    );
    let facade = Facade::with(&toml, |dir| {
        dir.identity("server", &authority.sign("localhost"));
        dir.write("callers.pem", &callers.pem);
        dir.write("tokens", &token_line("batch", "good", ""));
    })
    .await;
    let identity = callers.sign("portal.example.com");
    let tls = Tls::new(&authority, Some(&identity));
    let mut client = tls.connect(facade.addr).await.expect("a connection");
    client.list(list(1001)).await.expect("the portal may list");
    let refused = failure(client.list(with_token(list(1001), "good")).await);
    assert_eq!(refused.reason, "METHOD_DENIED");
    let refused = failure(client.list(with_token(list(1001), "wrong")).await);
    assert_eq!(refused.reason, "UNAUTHENTICATED");
}
