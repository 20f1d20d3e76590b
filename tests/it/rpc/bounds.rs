//! What stays bounded: small messages that would be large in memory, and writes that wait.

use bytes::Bytes;
use followme::{
    grpc::pb,
    simulator::{FaultKind, Route, When},
};
use tokio::{
    runtime::{Builder, Runtime},
    task::JoinSet,
};
use tonic::Code;

use super::errors::{HEADER, csv, failing_reads};
use crate::support::{
    World, channel, delete, failure, new_number,
    raw_h2::{Connection, framed, rpc},
    replace, update,
};

/// Puts bytes of a message behind their length.
fn framed_bytes(message: &[u8]) -> Bytes {
    let length = u32::try_from(message.len()).expect("short");
    [&[0][..], &length.to_be_bytes(), message].concat().into()
}

/// Puts a field behind its key and length; `key` is that of a field with a length.
fn field(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut bytes = key.to_vec();
    prost::encoding::encode_varint(value.len() as u64, &mut bytes);
    bytes.extend_from_slice(value);
    bytes
}

#[tokio::test]
async fn repeated_fields_are_counted_before_they_are_decoded() {
    let world = World::start().await;
    let connection = Connection::open(world.addr).await;
    let account = [0x08, 0xe9, 0x07];
    // Entries of the map `unrecognized`, field 16, each empty.
    let unrecognized = [0x82, 0x01, 0x00].repeat(100_000);
    let number_id = [0x10, 0xf1, 0xa2, 0x04];
    let of_number = [&account[..], &number_id, &unrecognized].concat();
    for (method, message, path) in [
        (
            "ReplaceAll",
            [&account[..], &[0x12, 0x00].repeat(500_000)].concat(),
            "numbers",
        ),
        (
            "ReplaceAll",
            [&account[..], &field(&[0x12], &unrecognized)].concat(),
            "numbers.unrecognized",
        ),
        (
            "Update",
            [
                field(&[0x0a], &[&account[..], &number_id].concat()),
                field(&[0x12], &[0x0a, 0x00].repeat(500_000)),
            ]
            .concat(),
            "update_mask",
        ),
        (
            "Update",
            [field(&[0x0a], &of_number), field(&[0x12], b"\x0a\x04name")].concat(),
            "number.unrecognized",
        ),
        (
            "Add",
            [&account[..], &field(&[0x12], &of_number)].concat(),
            "number.unrecognized",
        ),
    ] {
        assert!(message.len() <= 1024 * 1024);
        let body = [framed_bytes(&message)];
        let answer = connection.send(rpc(method), &body, None).await;
        let refused = failure(answer.result());
        assert_eq!(refused.code, Code::InvalidArgument, "{method} {path}");
        assert_eq!(refused.fields(), [path]);
    }
    assert!(world.handle.requests().is_empty());
}

/// Returns the peak of the memory that a request takes, in all that runs on this thread: the client,
/// the facade and the simulator.
fn peak(world: &Runtime, work: impl Future<Output = ()>) -> u64 {
    allocation_counter::measure(|| world.block_on(work)).bytes_max
}

#[test]
fn memory_is_a_small_multiple_of_the_bytes_of_a_request() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let world = runtime.block_on(World::start());
    let account = [0x08, 0xe9, 0x07];
    let long_path = field(&[0x0a], &[b'x'; 9_000]);
    for (method, message) in [
        (
            "ReplaceAll",
            [&account[..], &[0x12, 0x00].repeat(500_000)].concat(),
        ),
        (
            "ReplaceAll",
            [&account[..], &[0x12, 0x02, 0x10, 0x00].repeat(1_000)].concat(),
        ),
        ("Update", field(&[0x12], &[0x0a, 0x00].repeat(500_000))),
        ("Update", field(&[0x12], &long_path.repeat(100))),
        (
            "Add",
            field(
                &[0x12],
                &[0x82, 0x01, 0x04, 0x0a, 0x00, 0x12, 0x00].repeat(140_000),
            ),
        ),
    ] {
        let body = [framed_bytes(&message)];
        let peak = peak(&runtime, async {
            let connection = Connection::open(world.addr).await;
            let answer = connection.send(rpc(method), &body, None).await;
            assert_eq!(failure(answer.result()).code, Code::InvalidArgument);
        });
        let bytes = message.len() as u64;
        let bounds = bytes..8 * bytes + 1024 * 1024;
        assert!(bounds.contains(&peak), "{peak} bytes for {bytes}");
    }
}

#[test]
fn memory_is_a_small_multiple_of_the_bytes_of_a_list() {
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let world = runtime.block_on(World::start());
    let list = format!("{HEADER}\"[{}{{}}]\",,True,,0,\n", "{},".repeat(2_000_000));
    let bytes = list.len() as u64;
    world.arm(csv(&list), Route::GetAll);
    let peak = peak(&runtime, async {
        let failed = failure(world.list(crate::support::list(1001)).await);
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
    });
    let bounds = bytes..16 * bytes;
    assert!(bounds.contains(&peak), "{peak} bytes for {bytes}");
}

#[tokio::test]
async fn static_limits_are_checked_before_anything_waits_or_is_read() {
    let world = World::start().await;
    let long = "x".repeat(4097);
    let with = |edit: &dyn Fn(&mut pb::FollowMeNumber)| {
        let mut number = new_number("Van", "15550120");
        edit(&mut number);
        replace(1001, vec![new_number("Bus", "15550121"), number])
    };
    for (request, path) in [
        (with(&|it| it.name = long.clone()), "numbers[1].name"),
        (
            with(&|it| it.redirect_number = long.clone()),
            "numbers[1].redirect_number",
        ),
        (with(&|it| it.domain = long.clone()), "numbers[1].domain"),
        (with(&|it| it.period = long.clone()), "numbers[1].period"),
        (
            with(&|it| it.period_description = long.clone()),
            "numbers[1].period_description",
        ),
        (
            with(&|it| {
                it.number_id = 70001;
                it.etag = long.clone();
            }),
            "numbers[1].etag",
        ),
        (
            pb::ReplaceAllRequest {
                list_etag: long.clone(),
                ..with(&|_| {})
            },
            "list_etag",
        ),
    ] {
        let refused = failure(world.replace_all(request).await);
        assert_eq!(refused.code, Code::InvalidArgument, "{path}");
        assert_eq!(refused.fields(), [path]);
    }
    let refused = failure(
        world
            .delete(pb::DeleteRequest {
                etag: long.clone(),
                ..delete(70001)
            })
            .await,
    );
    assert_eq!(refused.fields(), ["etag"]);
    let mut request = update(70001, &["name"], new_number("Bus", ""));
    request.etag = long.clone();
    request.number.get_or_insert_default().etag = long;
    let refused = failure(world.update(request).await);
    assert_eq!(refused.fields(), ["etag", "number.etag"]);
    assert!(world.handle.requests().is_empty());
}

#[tokio::test]
async fn many_violations_are_counted_and_few_are_kept() {
    let world = World::configured(|config| config.operations.max_numbers = 1000).await;
    let wrong = pb::FollowMeNumber {
        account_id: 7,
        number_id: -1,
        ..new_number("Van", "15550120")
    };
    let refused = failure(world.replace_all(replace(1001, vec![wrong; 1000])).await);
    assert_eq!(refused.meta("violations"), Some("2000"));
    assert!(
        refused
            .status
            .message()
            .ends_with("(and 1999 more violations)")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_writes_that_wait_for_an_account_have_a_limit() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let mut calls = JoinSet::new();
    for _ in 0..2 {
        let channel = channel(world.addr).await;
        for _ in 0..150 {
            let channel = channel.clone();
            calls.spawn(async move {
                let mut client = pb::follow_me_service_client::FollowMeServiceClient::new(channel);
                client.delete(delete(70009)).await
            });
        }
    }
    // One holds the lock, 256 wait.
    for _ in 0..300 - 257 {
        let refused = calls.join_next().await.expect("300").expect("no panic");
        let refused = failure(refused);
        assert_eq!(refused.code, Code::ResourceExhausted);
        assert_eq!(refused.reason, "OVERLOADED");
    }
    world.handle.release();
    while let Some(call) = calls.join_next().await {
        let answered = failure(call.expect("no panic"));
        assert_eq!(answered.reason, "NUMBER_NOT_FOUND");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_writes_that_wait_count_against_the_request_memory_budget() {
    let world = World::start().await;
    world.arm(FaultKind::Hold { when: When::Before }, Route::GetAll);
    let number = pb::FollowMeNumber {
        unrecognized: [("timeout".to_owned(), "x".repeat(10_000))].into(),
        ..new_number("Van", "15550120")
    };
    let message = framed(&replace(1001, vec![number; 100]));
    let mut calls = JoinSet::new();
    for _ in 0..80 {
        let addr = world.addr;
        let message = message.clone();
        calls.spawn(async move {
            let connection = Connection::open(addr).await;
            connection.send(rpc("ReplaceAll"), &[message], None).await
        });
    }
    let refused = calls.join_next().await.expect("80").expect("no panic");
    assert_eq!(failure(refused.result()).reason, "OVERLOADED");
    calls.abort_all();
    world.handle.release();
}

#[tokio::test]
async fn a_list_of_very_many_elements_is_a_bad_response() {
    let empty = "{},".repeat(500_000);
    let numbers: String = (1..=10_001)
        .map(|id| format!("{{i_follow_me_number:{id}}},"))
        .collect();
    for elements in [empty, numbers] {
        let list = elements.trim_end_matches(',');
        let kind = csv(&format!("{HEADER}\"[{list}]\",,True,,0,\n"));
        let failed = failing_reads(&kind).await;
        assert_eq!(failed.reason, "UPSTREAM_BAD_RESPONSE");
    }
}
