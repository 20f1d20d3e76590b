//! TLS on the gRPC address, and certificates that change while calls go on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};
use tokio_rustls::rustls::{
    ProtocolVersion,
    version::{TLS12, TLS13},
};

use super::support::{Facade, Tls, until};
use crate::{support::certificates::Authority, support::list};

const TLS: &str =
    "[tls]\ncertificate_file = \"{dir}/server.pem\"\nkey_file = \"{dir}/server.key\"\n";

async fn over_tls(authority: &Authority) -> Facade {
    Facade::with(TLS, |dir| {
        dir.identity("server", &authority.sign("localhost"));
    })
    .await
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_accepted_with_http_2_and_plaintext_is_refused() {
    let authority = Authority::new();
    let facade = over_tls(&authority).await;
    for (version, spoken) in [
        (&TLS12, ProtocolVersion::TLSv1_2),
        (&TLS13, ProtocolVersion::TLSv1_3),
    ] {
        let tls = Tls::of_versions(&authority, None, &[version]);
        let stream = tls.handshake(facade.addr).await.expect("a handshake");
        assert_eq!(stream.get_ref().1.protocol_version(), Some(spoken));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let mut client = tls.connect(facade.addr).await.expect("a connection");
        client.list(list(1001)).await.expect("a list");
    }
    let mut plain = TcpStream::connect(facade.addr).await.expect("a port");
    plain
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await
        .expect("sent");
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = plain.read_to_end(&mut answer).await;
    assert_ne!(answer.get(3), Some(&4), "no SETTINGS come: {answer:?}");
}

#[tokio::test]
async fn a_connection_without_a_certificate_is_refused_where_one_is_required() {
    let (authority, callers) = (Authority::new(), Authority::new());
    let toml = format!(
        "{TLS}client_ca_file = \"{{dir}}/callers.pem\"\nrequire_client_certificate = true\n"
    );
    let facade = Facade::with(&toml, |dir| {
        dir.identity("server", &authority.sign("localhost"));
        dir.write("callers.pem", &callers.pem);
    })
    .await;
    let identity = callers.sign("anybody.example.com");
    for (identity, taken) in [(Some(&identity), true), (None, false)] {
        let tls = Tls::new(&authority, identity);
        let answered = match tls.connect(facade.addr).await {
            Err(_) => false,
            Ok(mut client) => client.list(list(1001)).await.is_ok(),
        };
        assert_eq!(answered, taken);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_swapped_under_load_without_a_failed_call() {
    let authority = Authority::new();
    let facade = over_tls(&authority).await;
    let tls = Tls::new(&authority, None);
    let old = tls.served(facade.addr).await;
    let (stop, calls) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let mut load = JoinSet::new();
    for kept in [true, false, true, false] {
        let (tls, stop, calls) = (tls.clone(), Arc::clone(&stop), Arc::clone(&calls));
        let addr = facade.addr;
        load.spawn(async move {
            let mut client = tls.connect(addr).await.expect("a connection");
            while !stop.load(Ordering::Relaxed) {
                if !kept {
                    client = tls.connect(addr).await.expect("a connection");
                }
                client.list(list(1001)).await.expect("no call fails");
                calls.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    for _ in 0..2 {
        let before = tls.served(facade.addr).await;
        let new = authority.sign("localhost");
        // For a moment the files hold the certificate of one and the key of the other.
        facade.dir.identity("server", &new);
        until("the new certificate is served", || async {
            (tls.served(facade.addr).await == new.der()).then_some(())
        })
        .await;
        assert_ne!(before, new.der());
        let seen = calls.load(Ordering::Relaxed);
        until("calls go on", || async {
            (calls.load(Ordering::Relaxed) > seen + 20).then_some(())
        })
        .await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(ended) = load.join_next().await {
        ended.expect("no call failed");
    }
    assert_ne!(tls.served(facade.addr).await, old);
}

#[tokio::test]
async fn an_invalid_certificate_keeps_the_loaded_one() {
    let authority = Authority::new();
    let facade = over_tls(&authority).await;
    let tls = Tls::new(&authority, None);
    let old = tls.served(facade.addr).await;
    facade.dir.write("server.pem", "no certificate\n");
    // The License, which is read after it, shows that the certificate was read.
    facade.dir.write("license", "ANOTHER-KEY");
    let mut client = tls.connect(facade.addr).await.expect("a connection");
    until("the License is turned over", || {
        let client = client.clone();
        async move { { client }.list(list(1001)).await.err() }
    })
    .await;
    assert_eq!(tls.served(facade.addr).await, old);
    let last = facade.handle.requests().pop().expect("a request");
    assert!(last.target.contains("ANOTHER-KEY"), "{}", last.target);
    facade.dir.write("license", "DEMO-KEY");
    until("the License is back", || {
        let client = client.clone();
        async move { { client }.list(list(1001)).await.ok() }
    })
    .await;
    client.list(list(1001)).await.expect("a list");
}
