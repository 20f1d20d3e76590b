//! The audit log: each write has a begin line and an end line.

use std::{
    fs,
    path::{Path, PathBuf},
};

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{FaultKind, HangAt, Knobs, Route, UpdateAll, When},
};
use serde_json::Value;
use tonic::Code;

use crate::cli::Process;
use crate::support::{
    LICENSE, SOON, World, add, channel, delete, demo, failure, new_number, replace, scratch, update,
};

/// A file that is not there yet.
pub(super) fn fresh(name: &str) -> PathBuf {
    let path = scratch().join(name);
    let _ = fs::remove_file(&path);
    path
}

/// A number of account 1001 with another destination.
pub(super) fn changed(id: i32) -> followme::grpc::pb::FollowMeNumber {
    followme::grpc::pb::FollowMeNumber {
        number_id: id,
        ..new_number("One", "15550121")
    }
}

pub(super) fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("each line is an object"))
        .collect()
}

pub(super) fn phases(lines: &[Value]) -> Vec<(&str, &str, &str)> {
    lines
        .iter()
        .map(|line| {
            (
                line["phase"].as_str().expect("a phase"),
                line["write"].as_str().expect("a write"),
                line["outcome"].as_str().unwrap_or_default(),
            )
        })
        .collect()
}

pub(super) async fn world(file: &Path) -> World {
    World::configured(|config| config.audit.file = Some(file.to_owned())).await
}

#[tokio::test]
async fn reads_plans_and_refused_requests_leave_no_line() {
    let file = fresh("audit-reads");
    let world = world(&file).await;
    world.read(1001).await;
    let mut plan = add(new_number("Van", "15550121"));
    plan.validate_only = true;
    world.add(plan).await.expect("a plan");
    world
        .add(add(new_number("Van", "/")))
        .await
        .expect_err("no number");
    world
        .delete(delete(79999))
        .await
        .expect_err("no such number");
    assert!(!file.exists());
}

#[tokio::test]
async fn every_step_of_a_replace_all_is_audited() {
    let file = fresh("audit-replace");
    let world = world(&file).await;
    let numbers = vec![new_number("One", "15550121"), new_number("Two", "15550122")];
    world
        .replace_all(replace(1002, numbers))
        .await
        .expect("it is replaced");
    world
        .replace_all(replace(1001, vec![changed(70001)]))
        .await
        .expect("it is replaced");
    let lines = lines(&file);
    let phases = phases(&lines);
    assert_eq!(
        phases,
        [
            ("begin", "update", ""),
            ("end", "update", "done"),
            ("begin", "add", ""),
            ("end", "add", "done"),
            ("begin", "update", ""),
            ("end", "update", "done"),
            ("begin", "delete", ""),
            ("end", "delete", "done"),
            ("begin", "delete", ""),
            ("end", "delete", "done"),
        ]
    );
    assert!(
        lines[3]["number_id"].is_number(),
        "an added number has its id"
    );
    assert!(lines[6]["before"]["redirect_number"].is_string());
}

#[tokio::test]
async fn a_whole_list_post_has_a_line_for_each_change() {
    let file = fresh("audit-whole");
    let mut options = demo();
    options.knobs.update_all = UpdateAll::List;
    options.knobs.reads_csv_bodies = Some(true);
    let world = World::with(options, |config| {
        config.audit.file = Some(file.clone());
        config.upstream.update_all = followme::upstream::UpdateAll::WholeList;
    })
    .await;
    let numbers = vec![changed(70001)];
    world
        .replace_all(replace(1001, numbers))
        .await
        .expect("it is replaced");
    assert_eq!(world.write_paths()[0], "POST /UpdateFollowmeAll");
    let lines = lines(&file);
    let begun: Vec<_> = phases(&lines)
        .into_iter()
        .take(3)
        .map(|(phase, write, _)| (phase, write))
        .collect();
    assert_eq!(
        begun,
        [
            ("begin", "update"),
            ("begin", "delete"),
            ("begin", "delete")
        ]
    );
    let begins = lines.iter().filter(|line| line["phase"] == "begin").count();
    assert_eq!(begins * 2, lines.len(), "{lines:?}");
}

#[tokio::test]
async fn an_unknown_outcome_has_a_later_line_once_resolved() {
    let file = fresh("audit-unknown");
    let world = World::configured(|config| {
        config.audit.file = Some(file.clone());
        config.upstream.write_timeout = SOON;
        config.upstream.read_timeout = SOON;
        config.operations.write_limit = SOON;
    })
    .await;
    let mut request = add(new_number("Van", "15550121"));
    request.request_id = "id-2".to_owned();
    world.arm(
        FaultKind::Hang {
            at: HangAt::BeforeHead,
        },
        Route::Add,
    );
    world.handle.arm(
        followme::simulator::Fault::once(FaultKind::Html { status: 503 })
            .on(Route::GetAll)
            .after(1)
            .times(50),
    );
    let failed = failure(world.add(request.clone()).await);
    assert_eq!(failed.reason, "OUTCOME_UNKNOWN");
    world.assert_fired("hang");
    {
        let lines = lines(&file);
        assert_eq!(
            phases(&lines),
            [("begin", "add", ""), ("end", "add", "unknown")]
        );
        assert_eq!(lines[1]["reason"], "OUTCOME_UNKNOWN");
    }
    world.handle.disarm_all();
    world.add(request).await.expect("it is found");
    let lines = lines(&file);
    assert_eq!(phases(&lines)[2..], [("end", "add", "done")]);
    assert_eq!(lines[2]["later"], true);
    assert_eq!(lines[2]["request_id"], "id-2");
    assert_eq!(lines[2]["after"]["redirect_number"], "15550121");
}

#[tokio::test]
async fn refused_writes_and_restored_numbers_are_audited() {
    let file = fresh("audit-refused");
    let world = world(&file).await;
    world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Delete);
    world
        .delete(delete(70001))
        .await
        .expect_err("it is refused");
    {
        let lines = lines(&file);
        assert_eq!(
            phases(&lines),
            [("begin", "delete", ""), ("end", "delete", "not_done")]
        );
        assert_eq!(lines[1]["reason"], "UPSTREAM_REFUSED");
    }

    let file = fresh("audit-touched");
    let knobs = Knobs {
        update_all: UpdateAll::Every,
        query_values: false,
        ..Knobs::default()
    };
    let world = World::with(followme::simulator::Options { knobs, ..demo() }, |config| {
        config.audit.file = Some(file.clone());
    })
    .await;
    let failed = failure(
        world
            .update(update(
                70001,
                &["period"],
                followme::grpc::pb::FollowMeNumber {
                    period: "hr{9am-5pm}".to_owned(),
                    ..new_number("", "")
                },
            ))
            .await,
    );
    assert_eq!(failed.reason, "UPSTREAM_WROTE_TOO_MUCH");
    let lines = lines(&file);
    let count = |phase: &str| {
        lines
            .iter()
            .filter(|line| line["phase"] == phase && line["write"] == "put_back")
            .count()
    };
    assert_eq!((count("begin"), count("end")), (2, 2), "{lines:?}");
}

#[tokio::test]
async fn a_write_that_cannot_be_audited_is_not_sent_unless_allowed() {
    let nowhere = scratch().join("no/such/directory/audit");
    let world = world(&nowhere).await;
    for result in [
        world
            .add(add(new_number("Van", "15550121")))
            .await
            .map(drop),
        world.delete(delete(70001)).await.map(drop),
        world
            .update(update(70001, &["name"], new_number("New", "")))
            .await
            .map(drop),
        world
            .replace_all(replace(1003, vec![new_number("Van", "15550121")]))
            .await
            .map(drop),
    ] {
        let failed = failure(result);
        assert_eq!(failed.code, Code::Unavailable);
        assert_eq!(failed.reason, "AUDIT_UNAVAILABLE");
    }
    assert!(world.writes().is_empty());
    world.read(1001).await;

    let world = World::configured(|config| {
        config.audit.file = Some(nowhere.clone());
        config.audit.required = false;
    })
    .await;
    world.delete(delete(70001)).await.expect("it is deleted");
}

#[tokio::test]
async fn a_replace_all_stops_where_the_audit_log_fails() {
    let directory = scratch().join("audit-goes");
    let _ = fs::remove_dir_all(&directory);
    fs::create_dir(&directory).expect("it can be made");
    let file = directory.join("audit");
    let world = world(&file).await;
    world.handle.arm(
        followme::simulator::Fault::once(FaultKind::Hold { when: When::After }).on(Route::Add),
    );
    let numbers = vec![new_number("One", "15550121"), new_number("Two", "15550122")];
    let replacing = world.replace_all(replace(1003, numbers));
    let breaking = async {
        while world.handle.fired_count("hold") == 0 {
            tokio::task::yield_now().await;
        }
        fs::remove_dir_all(&directory).expect("it can be removed");
        world.handle.release();
    };
    let (result, ()) = tokio::join!(replacing, breaking);
    let failed = failure(result);
    assert_eq!(failed.reason, "REPLACE_INCOMPLETE");
    let reasons: Vec<String> = failed
        .incomplete()
        .steps
        .into_iter()
        .map(|step| step.reason)
        .filter(|reason| !reason.is_empty())
        .collect();
    assert_eq!(reasons, ["AUDIT_UNAVAILABLE"]);
    assert_eq!(world.writes().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writes_and_leaves_no_half_a_line() {
    let upstream = super::receiver::upstream(LICENSE).await;
    let file = fresh("audit-full");
    let url = format!("http://{}/", upstream.local_addr());
    // A limit on the size of files fails as a full disk does: in the middle of a line.
    let limited = "trap '' XFSZ; ulimit -f 2; exec \"$0\" serve --listen 127.0.0.1:0";
    let mut command = std::process::Command::new("sh");
    command
        .args(["-c", limited, env!("CARGO_BIN_EXE_followme")])
        .env_clear()
        .env("FOLLOWME_UPSTREAM_URL", &url)
        .env("FOLLOWME_LICENSE", LICENSE)
        .env("FOLLOWME_JOURNAL_URL", "sqlite::memory:")
        .env("FOLLOWME_TELEMETRY_AUDIT_FILE", &file);
    let mut process = Process::of(command);
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let mut done = 0;
    let refused = loop {
        let number = new_number(&format!("Van {done}"), "15550121");
        match client.add(add(number)).await {
            Ok(_) => done += 1,
            Err(status) => break failure::<()>(Err(status)),
        }
        assert!(done < 20, "the limit is in force");
    };
    assert_eq!(refused.reason, "AUDIT_UNAVAILABLE");
    assert!(done > 0);
    let text = fs::read_to_string(&file).expect("it was written");
    assert!(text.ends_with('\n'), "{text}");
    let begun = lines(&file)
        .iter()
        .filter(|line| line["phase"] == "begin")
        .count();
    assert!(begun == done || begun == done + 1, "{text}");
    // What was not begun has no end either.
    let entries = |phase: &str| -> Vec<String> {
        let lines = lines(&file);
        let of_phase = lines.iter().filter(|line| line["phase"] == phase);
        of_phase.map(|line| line["entry"].to_string()).collect()
    };
    let begins = entries("begin");
    assert!(
        entries("end").iter().all(|end| begins.contains(end)),
        "{text}"
    );
    // Once there is space again, writes are accepted.
    fs::rename(&file, fresh("audit-full.1")).expect("it can be moved away");
    client
        .add(add(new_number("Bus", "15550122")))
        .await
        .expect("it is added");
    assert_eq!(
        phases(&lines(&file)),
        [("begin", "add", ""), ("end", "add", "done")]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_refused_for_a_failed_audit_log_has_no_end_line() {
    let upstream = super::receiver::upstream(LICENSE).await;
    let environment = [
        ("FOLLOWME_LICENSE", LICENSE),
        ("FOLLOWME_TELEMETRY_AUDIT_FILE", "/dev/full"),
    ];
    let mut process = super::receiver::serve("full", "", upstream.local_addr(), &environment);
    let addr = process.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    let refused = failure(client.add(add(new_number("Van", "15550121"))).await);
    assert_eq!(refused.reason, "AUDIT_UNAVAILABLE");
    drop(client);
    process.signal("TERM");
    let log = process.end().1;
    let tries = log
        .lines()
        .filter(|line| line.contains("followme::telemetry::audit"));
    assert_eq!(tries.count(), 1, "{log}");
}
