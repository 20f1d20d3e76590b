//! Crashes: a process is killed after each step of a write, and another one opens the same journal.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{EffectKind, Fault, FaultKind, Handle, Knobs, Options, Route, Simulator, When},
};
use tokio::task::JoinSet;
use tonic::{Status, transport::Channel};

use super::add_with_id;
use crate::{
    cli::Process,
    config::file,
    support::{LICENSE, channel, demo, failure, new_number, scratch, update},
};

/// A simulator in this process, and facades in their own, one after the other, over one journal.
pub(super) struct Crash {
    pub(super) handle: Handle,
    _tasks: JoinSet<()>,
    pub(super) journal: PathBuf,
    /// Further keys of the section `upstream`.
    upstream: &'static str,
}

/// A facade.
pub(super) struct Facade {
    pub(super) process: Process,
    pub(super) addr: SocketAddr,
    pub(super) client: FollowMeServiceClient<Channel>,
}

impl Crash {
    pub(super) async fn new(name: &str, knobs: Knobs) -> Self {
        Self::with(name, knobs, "").await
    }

    /// Makes one whose facades have further keys in the section `upstream`.
    pub(super) async fn with(name: &str, knobs: Knobs, upstream: &'static str) -> Self {
        let options = Options { knobs, ..demo() };
        let simulator = Simulator::bind(options)
            .await
            .expect("a loopback port is free");
        let handle = simulator.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(simulator.run(std::future::pending()));
        let directory = scratch().join(format!("crash-{name}"));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).expect("it can be made");
        Self {
            handle,
            _tasks: tasks,
            journal: directory.join("journal"),
            upstream,
        }
    }

    pub(super) async fn start(&self) -> Facade {
        let keys = self.upstream;
        let name = self.journal.parent().and_then(Path::file_name);
        let name = name.and_then(OsStr::to_str).unwrap_or_default();
        let config = file(
            &format!("{name}.toml"),
            &format!(
                "[upstream]\n{keys}write_timeout = \"700ms\"\n[calls]\nwrite_limit = \"1s\"\n"
            ),
        );
        let config = config.to_str().expect("a path in UTF-8");
        let journal = format!("sqlite:{}", self.journal.display());
        let upstream = format!("http://{}/", self.handle.local_addr());
        let mut process = Process::start(
            &["serve", "--config", config, "--listen", "127.0.0.1:0"],
            &[
                ("FOLLOWME_LICENSE", LICENSE),
                ("FOLLOWME_UPSTREAM_URL", &upstream),
                ("FOLLOWME_JOURNAL_URL", &journal),
            ],
        );
        let addr = process.address("grpc listening on");
        Facade {
            process,
            addr,
            client: FollowMeServiceClient::new(channel(addr).await),
        }
    }

    /// Starts a facade, kills it while upstream holds a request of this add, and starts the next one.
    /// The request is the one of the route behind `skip` others.
    async fn killed_while_held(
        &self,
        route: Route,
        when: When,
        skip: u32,
        add: pb::AddRequest,
    ) -> Facade {
        let facade = self.start().await;
        self.hold(route, when, skip);
        let mut client = facade.client.clone();
        tokio::spawn(async move { client.add(add).await });
        self.restart_while_held(facade).await
    }

    /// Kills a facade while a call of it is held, and starts another one.
    pub(super) async fn restart_while_held(&self, facade: Facade) -> Facade {
        self.handle.wait_for_fired("hold", 1).await;
        self.restart(facade).await
    }

    pub(super) async fn restart(&self, mut facade: Facade) -> Facade {
        facade.process.signal("KILL");
        facade.process.end();
        self.start().await
    }

    pub(super) fn hold(&self, route: Route, when: When, skip: u32) {
        let hold = Fault::once(FaultKind::Hold { when });
        self.handle.arm(hold.on(route).after(skip));
    }

    pub(super) fn adds(&self) -> usize {
        let effects = self.handle.effects();
        let adds = effects.iter();
        adds.filter(|effect| effect.kind == EffectKind::Add).count()
    }
}

/// Runs a command of `followme journal` beside the facade.
pub(super) async fn journal_command(crash: &Crash, arguments: &[&str]) -> (bool, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_followme"));
    command
        .arg("journal")
        .args(arguments)
        .env_clear()
        .env("FOLLOWME_LICENSE", LICENSE)
        .env(
            "FOLLOWME_UPSTREAM_URL",
            format!("http://{}/", crash.handle.local_addr()),
        )
        .env(
            "FOLLOWME_JOURNAL_URL",
            format!("sqlite:{}", crash.journal.display()),
        );
    let output = tokio::task::spawn_blocking(move || command.output())
        .await
        .expect("it ends")
        .expect("it can be run");
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_cannot_settle_an_add_to_a_number_that_it_did_not_make() {
    let crash = Crash::new("operator", Knobs::default()).await;
    let facade = crash.start().await;
    let when = When::Before;
    let reset = Fault::once(FaultKind::Reset { when }).on(Route::Add);
    crash.handle.arm(reset);
    let unknown = failure(facade.add(add_with_id("id-1", "Desk")).await);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    let (_, list) = journal_command(&crash, &["list"]).await;
    let mut words = list.split_whitespace();
    let is_id = |word: &&str| word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = words
        .find(is_id)
        .unwrap_or_else(|| panic!("it lists the record: {list}"));
    for (arguments, text) in [
        (
            vec!["resolve", id, "--applied", "70001"],
            "has no number 70001",
        ),
        (vec!["resolve", id, "--applied"], "name the number"),
        (vec!["resume", id], "is no ReplaceAll"),
    ] {
        let (done, answer) = journal_command(&crash, &arguments).await;
        assert!(!done && answer.contains(text), "{arguments:?}: {answer}");
        let unknown = failure(facade.add(add_with_id("id-1", "Desk")).await);
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN", "{arguments:?}");
    }
    let (done, answer) = journal_command(&crash, &["resolve", id, "--not-applied"]).await;
    assert!(done, "{answer}");
    facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("added");
    assert_eq!(crash.adds(), 1);
}

impl Facade {
    pub(super) async fn add(&self, request: pb::AddRequest) -> Result<pb::AddResponse, Status> {
        let added = self.client.clone().add(request).await;
        added.map(tonic::Response::into_inner)
    }

    /// Sends a call without waiting for its answer.
    pub(super) fn send_replace_all(&self, request: pb::ReplaceAllRequest) {
        let mut client = self.client.clone();
        tokio::spawn(async move { client.replace_all(request).await });
    }

    pub(super) async fn replace_all(
        &self,
        request: pb::ReplaceAllRequest,
    ) -> Result<pb::ReplaceAllResponse, Status> {
        let replaced = self.client.clone().replace_all(request).await;
        replaced.map(tonic::Response::into_inner)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claimed_write_is_done_by_the_next_process() {
    let crash = Crash::new("claimed", Knobs::default()).await;
    let facade = crash
        .killed_while_held(Route::GetAll, When::Before, 0, add_with_id("id-1", "Desk"))
        .await;
    crash.handle.release();
    facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("added");
    assert_eq!(crash.adds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_add_that_was_sent_is_resolved_and_not_sent_again_by_the_next_process() {
    let crash = Crash::new("sent", Knobs::default()).await;
    let facade = crash
        .killed_while_held(Route::Add, When::Before, 0, add_with_id("id-1", "Desk"))
        .await;
    for _ in 0..2 {
        let unknown = failure(facade.add(add_with_id("id-1", "Desk")).await);
        assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    }
    crash.handle.release();
    crash.handle.wait_for_effects(1).await;
    let found = facade.add(add_with_id("id-1", "Desk")).await;
    assert_eq!(found.expect("found").number.expect("one").name, "Desk");
    // And by the one after that.
    let facade = crash.restart(facade).await;
    facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("known");
    assert_eq!(crash.adds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_applied_and_not_answered_is_ok_in_the_next_process() {
    let crash = Crash::new("applied", Knobs::default()).await;
    let facade = crash
        .killed_while_held(Route::Add, When::After, 0, add_with_id("id-1", "Desk"))
        .await;
    crash.handle.release();
    let found = facade.add(add_with_id("id-1", "Desk")).await;
    assert_eq!(found.expect("found").number.expect("one").name, "Desk");
    assert_eq!(crash.adds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_being_verified_is_ok_in_the_next_process() {
    let crash = Crash::new("verified", Knobs::default()).await;
    let facade = crash
        .killed_while_held(Route::GetAll, When::Before, 1, add_with_id("id-1", "Desk"))
        .await;
    crash.handle.release();
    facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("found");
    assert_eq!(crash.adds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repair_that_was_being_sent_is_finished_in_the_next_process() {
    for when in [When::Before, When::After] {
        let knobs = Knobs {
            query_values: false,
            ..Knobs::default()
        };
        let crash = Crash::new(&format!("repair-{when:?}"), knobs).await;
        let mut request = add_with_id("id-1", "Desk");
        request.number.as_mut().expect("a number").period = "wd{tu}".to_owned();
        let facade = crash
            .killed_while_held(Route::UpdateAll, when, 0, request.clone())
            .await;
        crash.handle.release();
        let found = facade.add(request).await.expect("found");
        assert_eq!(found.unapplied_fields, [""; 0], "{when:?}");
        assert_eq!(found.number.expect("one").period, "wd{tu}", "{when:?}");
        assert_eq!(crash.adds(), 1, "{when:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_the_same_in_the_next_process() {
    let crash = Crash::new("answered", Knobs::default()).await;
    let facade = crash.start().await;
    let added = facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("added");
    let facade = crash.restart(facade).await;
    let again = facade
        .add(add_with_id("id-1", "Desk"))
        .await
        .expect("known");
    assert_eq!(added, again);
    let conflict = failure(facade.add(add_with_id("id-1", "Van")).await);
    assert_eq!(conflict.reason, "REQUEST_ID_CONFLICT");
    assert_eq!(crash.adds(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_add_without_an_id_makes_an_equal_add_of_the_next_process_unknown() {
    let crash = Crash::new("anonymous", Knobs::default()).await;
    let facade = crash
        .killed_while_held(Route::Add, When::Before, 0, add_with_id("", "Desk"))
        .await;
    let fault = FaultKind::Reset { when: When::After };
    crash.handle.arm(Fault::once(fault).on(Route::Add));
    let unknown = failure(facade.add(add_with_id("id-2", "Desk")).await);
    assert_eq!(crash.handle.fired_count("reset"), 1);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert!(unknown.meta("candidate_number_ids").is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_update_is_sent_again_only_while_the_number_is_unchanged() {
    for changed in [false, true] {
        let crash = Crash::new(&format!("update-{changed}"), Knobs::default()).await;
        let facade = crash.start().await;
        crash.hold(Route::Update, When::Before, 0);
        let request = pb::UpdateRequest {
            request_id: "id-1".to_owned(),
            ..update(70001, &["name"], new_number("Ours", ""))
        };
        let mut client = facade.client.clone();
        let sent = request.clone();
        tokio::spawn(async move { client.update(sent).await });
        let facade = crash.restart_while_held(facade).await;
        if changed {
            let mut numbers = crash.handle.numbers(LICENSE, 1001).expect("seeded");
            numbers[0].timeout = Some(55);
            crash
                .handle
                .seed(LICENSE, 1001, numbers, Default::default());
        }
        let result = facade.client.clone().update(request).await;
        if changed {
            assert_eq!(failure(result).reason, "OUTCOME_UNKNOWN");
        } else {
            let number = result.expect("done").into_inner().number;
            assert_eq!(number.expect("one").name, "Ours");
        }
    }
}
