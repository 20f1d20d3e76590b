//! Connections that are idle, silent, slow or reset many calls.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
    time::Instant,
};

use super::{percentile, resident_kib};
use crate::{
    resilience::{
        connections::cancel_calls,
        deadlines::{http2, list_on},
    },
    support::{World, list, raw_http::PATIENCE},
};

const BEGIN: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn idle_silent_and_slow_connections() {
    let world = World::configured(|config| {
        config.server.accept.handshake_timeout = Duration::from_secs(2);
    })
    .await;
    // Both ends are in this process: the limit of open files allows for about half as many.
    let limit = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let files: usize = limit
        .lines()
        .find_map(|line| {
            line.strip_prefix("Max open files")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(1024);
    let count = 10_000.min((files - 500) / 2);
    let before = resident_kib();
    let mut idle = Vec::with_capacity(count);
    for _ in 0..count {
        let mut stream = TcpStream::connect(world.addr).await.expect("accepted");
        stream.write_all(BEGIN).await.expect("sent");
        idle.push(stream);
    }
    let start = Instant::now();
    world.list(list(1001)).await.expect("read");
    println!(
        "{count} idle connections: {} KiB each with both ends, a call beside them {:?}",
        (resident_kib() - before) / count,
        start.elapsed()
    );
    drop(idle);
    let (mut silent, mut slow) = (Vec::new(), JoinSet::new());
    for _ in 0..500 {
        let mut stream = TcpStream::connect(world.addr).await.expect("accepted");
        stream.write_all(&BEGIN[..24]).await.expect("sent");
        silent.push(stream);
        let mut stream = TcpStream::connect(world.addr).await.expect("accepted");
        slow.spawn(async move {
            for byte in BEGIN {
                if stream.write_all(&[*byte]).await.is_err() {
                    return;
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }
    let start = Instant::now();
    for mut stream in silent {
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    slow.join_all().await;
    println!(
        "500 connections with a preface only and 500 of a byte a second: all closed after {:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn cancelled_calls_and_a_flood_of_resets_on_one_connection() {
    for (name, count) in [("cancelled calls", 10_000), ("a flood", 200_000)] {
        let world = World::start().await;
        let (client, connection) = http2(world.addr).await;
        let before = resident_kib();
        let start = Instant::now();
        let flood = tokio::spawn(async move {
            let sent = cancel_calls(&client, count).await;
            (sent, list_on(&client, true, PATIENCE).await)
        });
        let mut beside = Vec::new();
        while !flood.is_finished() {
            let start = Instant::now();
            world.list(list(1001)).await.expect("read");
            beside.push(start.elapsed());
        }
        let (sent, last) = flood.await.expect("no panic");
        println!(
            "{name}: {sent} sent in {:?}, which made {} upstream requests, then a call on that \
             connection: {last:?}; beside it {} calls, 99th percentile {:?}; memory {} -> {} KiB \
             with both ends",
            start.elapsed(),
            world.handle.requests().len() - beside.len(),
            beside.len(),
            percentile(&mut beside, 0.99),
            before,
            resident_kib(),
        );
        connection.abort();
    }
}
