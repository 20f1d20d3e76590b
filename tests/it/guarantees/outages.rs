//! A journal that another process holds, that hangs, or that cannot be written.

use std::time::Duration;

use followme::{
    journal::{Journal, Location},
    simulator::{EffectKind, Fault, FaultKind, Knobs, Route, When},
};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::task::JoinSet;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{
    add_with_id,
    crash::{Crash, Facade},
    with_deadline, without_timers,
};
use crate::{
    cli::Process,
    journal::{directory, in_file, path_of},
    support::{
        LICENSE, World, add_to, channel, failure, list, new_number, raw_http::PATIENCE, update,
    },
};

/// Waits until a facade has a status of health.
async fn wait_for_health(facade: &Facade, wanted: ServingStatus) {
    let mut health = HealthClient::new(channel(facade.addr).await);
    let request = HealthCheckRequest::default();
    let mut statuses = health
        .watch(request)
        .await
        .expect("it is watched")
        .into_inner();
    let reached = async {
        while let Some(status) = statuses.message().await.expect("it is watched") {
            if status.status() == wanted {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, reached)
        .await
        .expect("it changes in time");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_waits_for_the_journal_serves_reads_and_refuses_writes() {
    let crash = Crash::new("held", Knobs::default()).await;
    let mut config = in_file(&directory());
    config.location = Location::File(crash.journal.clone());
    let journal = Journal::open(&config).await.expect("it is free");
    let facade = crash.start().await;
    wait_for_health(&facade, ServingStatus::NotServing).await;
    let mut client = facade.client.clone();
    client.list(list(1001)).await.expect("reads are served");
    let refused = failure(facade.add(add_with_id("", "Desk")).await);
    assert_eq!(refused.code, Code::Unavailable);
    assert_eq!(refused.reason, "JOURNAL_UNAVAILABLE");
    // The process before can have done the write of an id.
    let late = with_deadline(add_with_id("id-1", "Desk"), Duration::from_millis(300));
    let waited = failure(without_timers(facade.addr).add(late).await);
    assert_eq!(waited.reason, "WRITE_IN_PROGRESS");
    assert_eq!(crash.adds(), 0);
    let add = facade.add(add_with_id("id-1", "Desk"));
    let free = async {
        drop(journal);
        wait_for_health(&facade, ServingStatus::Serving).await;
    };
    let (added, ()) = tokio::join!(add, free);
    added.expect("it is added");
    assert_eq!(crash.adds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_get_the_journal_ends_and_names_its_holder() {
    let config = in_file(&directory());
    let _journal = Journal::open(&config).await.expect("it is free");
    let drains = crate::config::file(
        "held.toml",
        "[server]\ndrain_delay = \"0s\"\ndrain_limit = \"1ms\"\n",
    );
    let url = format!("sqlite:{}", path_of(&config).display());
    let mut process = Process::start(
        &[
            "serve",
            "--config",
            drains.to_str().expect("a path in UTF-8"),
            "--listen",
            "127.0.0.1:0",
            "--upstream-url",
            "http://127.0.0.1:1/",
        ],
        &[
            ("FOLLOWME_LICENSE", LICENSE),
            ("FOLLOWME_JOURNAL_URL", &url),
        ],
    );
    process.address("grpc listening on");
    let (status, log) = process.end();
    assert_eq!(status.code(), Some(64), "{log}");
    let holder = format!("is in use by process {}", std::process::id());
    assert!(log.contains(&holder), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_are_served_while_writes_wait_for_the_journal() {
    let journal = in_file(&directory());
    let mut file = journal.clone();
    file.timeout = Duration::from_secs(60);
    let world = World::configured(|config| {
        config.journal = file;
        config.upstream.limits.requests = 2;
        config.upstream.limits.caller_share = 1.0;
    })
    .await;
    // Another process has the write lock of SQLite.
    let other = rusqlite::Connection::open(path_of(&journal)).expect("it is there");
    other.execute_batch("begin immediate").expect("it is free");
    let mut writes = JoinSet::new();
    for id in [70001, 70002] {
        let mut client = world.client();
        writes.spawn(async move {
            client
                .update(update(id, &["name"], new_number("New", "")))
                .await
        });
    }
    let mut client = world.client();
    writes.spawn(async move {
        client
            .add(add_to(1003, new_number("Desk", "15550130")))
            .await?;
        client
            .update(update(70003, &["name"], new_number("New", "")))
            .await
    });
    // Of each account one write has read its list, and is being recorded.
    world.handle.wait_for_requests(2).await;
    for _ in 0..20 {
        world.read(1001).await;
    }
    assert_eq!(world.effects().len(), 0);
    other.execute_batch("rollback").expect("it is open");
    while let Some(written) = writes.join_next().await {
        written.expect("no panic").expect("it is written");
    }
    assert_eq!(world.effects().len(), 4);
}

/// Lets no file of a process grow any more, or lets them all grow.
fn limit_files(facade: &Facade, stop: bool) {
    let maximum = getrlimit(Resource::Fsize).maximum;
    let current = if stop { Some(0) } else { maximum };
    let id = i32::try_from(facade.process.id()).expect("an id");
    let pid = Pid::from_raw(id).expect("an id");
    prlimit(Some(pid), Resource::Fsize, Rlimit { current, maximum }).expect("it is our own");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_the_disk_does_not_take_is_not_sent() {
    let crash = Crash::new("full-at-begin", Knobs::default()).await;
    let facade = crash.start().await;
    facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("it is added");
    limit_files(&facade, true);
    for _ in 0..2 {
        let refused = failure(facade.add(add_with_id("id-2", "Van")).await);
        assert_eq!(refused.code, Code::Unavailable);
        assert_eq!(refused.reason, "JOURNAL_UNAVAILABLE");
    }
    // Reads and answers that are kept are served.
    let mut client = facade.client.clone();
    client.list(list(1001)).await.expect("reads are served");
    facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("the answer is replayed");
    assert_eq!(crash.adds(), 1);
    limit_files(&facade, false);
    add_when_available(&facade, "id-2", "Van").await;
    assert_eq!(crash.adds(), 2);
    let facade = crash.restart(facade).await;
    for (id, name) in [("id-1", "Desk"), ("id-2", "Van")] {
        facade.add(add_with_id(id, name)).await.expect("replayed");
    }
    assert_eq!(crash.adds(), 2);
}

/// Adds a number as soon as the journal takes writes again.
async fn add_when_available(facade: &Facade, id: &str, name: &str) {
    let added = async {
        loop {
            match facade.add(add_with_id(id, name)).await {
                Ok(_) => return,
                result => assert_eq!(failure(result).reason, "JOURNAL_UNAVAILABLE"),
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, added)
        .await
        .expect("the journal recovers");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_the_disk_does_not_take_is_given_once_it_does() {
    for crashes in [false, true] {
        let name = format!("full-at-settle-{crashes}");
        let crash = Crash::new(&name, Knobs::default()).await;
        let facade = crash.start().await;
        let hold = Fault::once(FaultKind::Hold { when: When::After });
        crash.handle.arm(hold.on(Route::Add));
        let mut client = facade.client.clone();
        let call = tokio::spawn(async move { client.add(add_with_id("id-1", "Desk")).await });
        crash.handle.wait_for_fired("hold", 1).await;
        limit_files(&facade, true);
        let requests = crash.handle.requests().len() as u64;
        crash.handle.release();
        // The write is verified, and its answer cannot be stored.
        crash.handle.wait_for_requests(requests + 1).await;
        let facade = if crashes {
            crash.restart(facade).await
        } else {
            limit_files(&facade, false);
            let added = call.await.expect("no panic").expect("it is added");
            assert!(added.into_inner().number.is_some());
            facade
        };
        let added = facade.add(add_with_id("id-1", "Desk")).await;
        assert!(added.expect("it was added").number.is_some());
        assert_eq!(crash.adds(), 1);
        let effects = crash.handle.effects();
        assert!(effects.iter().all(|effect| effect.kind == EffectKind::Add));
    }
}
