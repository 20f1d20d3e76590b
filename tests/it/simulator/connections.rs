//! Connections and framing.

use super::*;

#[tokio::test]
async fn keeps_a_connection_after_200_and_closes_it_after_400_on_a_self_host() {
    let (addr, handle) = demo().await;
    let mut stream = TcpStream::connect(addr)
        .await
        .expect("the simulator listens");
    for target in [GET_ALL, GET_ONE_LIST, "/getfollowmes/DEMO-KEY/x?format=csv"] {
        stream
            .write_all(&raw_http::request(addr, "GET", target, &[], b""))
            .await
            .expect("it is open");
        let got = raw_http::read(&mut stream, false).await.response();
        let good = got.status() == 200;
        assert_eq!(
            got.header("keep-alive"),
            good.then_some("timeout=15,max=100")
        );
        assert_eq!(got.header("connection"), (!good).then_some("close"));
        assert_eq!(got.header("transfer-encoding"), Some("chunked"));
    }
    let end = tokio::time::timeout(PATIENCE, stream.read(&mut [0; 1])).await;
    assert_eq!(
        end.expect("it is closed in time").expect("without a reset"),
        0
    );
    let connections: Vec<u64> = handle
        .requests()
        .iter()
        .map(|request| request.connection)
        .collect();
    assert_eq!(connections, [1, 1, 1]);
}

#[tokio::test]
async fn announces_the_length_under_aspnet() {
    let options = Options {
        dialect: Dialect::AspNet,
        seed_demo: true,
        ..Options::default()
    };
    let (addr, _) = start(options).await;
    let got = get(addr, GET_ALL).await;
    assert_eq!(
        got.header("content-length"),
        Some(got.body.len().to_string().as_str())
    );
    assert_eq!(got.header("cache-control"), Some("private"));
}

#[tokio::test]
async fn stops_with_connections_and_calls_open() {
    let simulator = Simulator::bind(Options {
        seed_demo: true,
        ..Options::default()
    })
    .await
    .expect("a loopback port is free");
    let (addr, handle) = (simulator.local_addr(), simulator.handle());
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(simulator.run(async {
        let _ = stopped.await;
    }));
    handle.arm(Fault::once(FaultKind::Hold { when: When::After }));
    let call = tokio::spawn(raw_http::get(addr, GET_ALL));
    handle.wait_for_requests(1).await;
    stop.send(()).expect("it runs");
    tokio::time::timeout(PATIENCE, running)
        .await
        .expect("it stops in time")
        .expect("soundly");
    assert!(!matches!(
        call.await.expect("the call ends"),
        Ending::Response(_)
    ));
}
