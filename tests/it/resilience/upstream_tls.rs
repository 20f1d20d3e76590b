//! TLS to upstream: its certificate against a given CA, and our own certificate.

use std::{net::SocketAddr, sync::Arc};

use followme::simulator::Handle;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, server::WebPkiClientVerifier},
};
use zeroize::Zeroizing;

use crate::{
    support::certificates::{Authority, Identity},
    support::{World, failure, list},
};

/// Returns the certificate and its key as one PEM.
fn pem(identity: &Identity) -> Zeroizing<Vec<u8>> {
    let pem = format!("{}\n{}", identity.certificate_pem(), identity.key_pem());
    Zeroizing::new(pem.into_bytes())
}

/// Puts TLS in front of the simulator, for clients with a certificate of the CA.
pub(crate) async fn in_front(handle: &Handle, authority: &Authority) -> SocketAddr {
    let server = authority.sign("localhost");
    let clients = WebPkiClientVerifier::builder(Arc::new(authority.roots()))
        .build()
        .expect("a verifier");
    let config = ServerConfig::builder()
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![server.der()], server.key())
        .expect("a certificate with its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("an address");
    let upstream = handle.local_addr();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let mut stream = acceptor.accept(stream).await?;
                let mut plain = TcpStream::connect(upstream).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut plain).await
            });
        }
    });
    addr
}

#[tokio::test]
async fn upstream_is_reached_over_tls_with_both_certificates_and_not_without() {
    let world = World::start().await;
    let authority = Authority::new();
    let addr = in_front(&world.handle, &authority).await;
    let ours = authority.sign("followme");
    let other = Authority::new();
    for (ca, identity, works) in [
        (Some(&authority), Some(&ours), true),
        (Some(&authority), None, false),
        (Some(&other), Some(&ours), false),
        (None, Some(&ours), false),
    ] {
        let facade = World::configured(|config| {
            let transport = &mut config.upstream.transport;
            transport.url = format!("https://localhost:{}/", addr.port())
                .parse()
                .expect("a URL");
            transport.ca = ca.map(|ca| ca.pem.clone().into_bytes());
            transport.identity = identity.map(pem);
        })
        .await;
        let answer = facade.list(list(1001)).await;
        if works {
            assert_eq!(answer.expect("read").total_size, 3);
        } else {
            assert_eq!(failure(answer).reason, "UPSTREAM_UNAVAILABLE");
        }
    }
}
