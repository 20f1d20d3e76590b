//! What operators do with `followme journal`: beside the process that has the journal, and while none
//! runs.

use std::{fs, path::Path, process::Output};

use followme::{
    domain::NumberId,
    journal::{
        Action, Body, Config, Journal, RecordId, UPDATE_ALL,
        body::Origin,
        command::{self, CommandError},
    },
    telemetry::audit::{self, Audit},
};

use super::{body, claim_new, directory, in_file, resolve_and_continue, write};

const REQUEST_ID: &str = "a-request-id-of-somebody";

/// Leaves an open write in a journal.
async fn leave_open(journal: &Journal) -> RecordId {
    let mut record = claim_new(journal, &write(REQUEST_ID)).await;
    let held = Body {
        origin: Some(Origin {
            caller: "alice".to_owned(),
            method: "Add".to_owned(),
            account: 1001,
            request_id: REQUEST_ID.to_owned(),
            ..Origin::default()
        }),
        ..body(1)
    };
    record.begin(&held).await.unwrap();
    record.id()
}

fn audit(directory: &Path) -> Audit {
    let config = audit::Config {
        file: Some(directory.join("audit.log")),
        ..audit::Config::default()
    };
    Audit::new(config).unwrap()
}

fn audited(directory: &Path) -> String {
    fs::read_to_string(directory.join("audit.log")).unwrap_or_default()
}

#[tokio::test]
async fn a_list_shows_nothing_personal_unless_it_is_asked_for() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let id = leave_open(&journal).await;
    journal
        .set_host_fact("update_all", Some("off"))
        .await
        .unwrap();
    // Beside the process that has it.
    let list = command::list(&config, false, false).unwrap();
    assert!(list.contains(&id.to_string()) && list.contains("unknown") | list.contains("begun"));
    assert!(list.contains("porta: update_all = off"), "{list}");
    let shown = command::show(&config, id, false).unwrap();
    assert!(shown.contains("method      Add"), "{shown}");
    for text in [&list, &shown] {
        assert!(
            !text.contains(REQUEST_ID) && !text.contains("alice"),
            "{text}"
        );
    }
    let list = command::list(&config, false, true).unwrap();
    let shown = command::show(&config, id, true).unwrap();
    for text in [list, shown] {
        assert!(
            text.contains(REQUEST_ID) && text.contains("alice"),
            "{text}"
        );
    }
    let other = RecordId::from_bytes([9; 16]);
    let error = command::show(&config, other, false).unwrap_err();
    assert!(matches!(error, CommandError::NoRecord(_)), "{error}");
    let missing = in_file(&directory());
    let error = command::list(&missing, false, false).unwrap_err();
    assert!(matches!(error, CommandError::Missing(_)), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_that_has_the_journal_carries_requests_out_and_answers() {
    let directory = directory();
    let config = in_file(&directory);
    let journal = Journal::open(&config).await.unwrap();
    let id = leave_open(&journal).await;
    let mut requests = journal.operator_requests().unwrap();
    assert!(journal.operator_requests().is_none());
    let number = NumberId::new(4711);
    let ask = |action| {
        let (config, audit) = (config.clone(), audit(&directory));
        tokio::task::spawn_blocking(move || command::resolve(&config, id, action, "olga", &audit))
    };
    let asked = ask(Action::Resume);
    let request = requests.next().await.unwrap();
    assert_eq!(request.action(), Action::Resume);
    request.answer(Err("it is no ReplaceAll".to_owned()));
    let refused = asked.await.unwrap().unwrap_err();
    assert_eq!(refused.to_string(), "it is no ReplaceAll");

    let asked = ask(Action::Applied(number));
    let request = requests.next().await.unwrap();
    assert_eq!(request.record(), id);
    assert_eq!(request.action(), Action::Applied(number));
    assert_eq!(request.operator(), "olga");
    let record = journal.claim_open(request.record()).unwrap().unwrap();
    record.settle(&body(4)).await.unwrap();
    request.answer(Ok("settled".to_owned()));
    assert_eq!(asked.await.unwrap().unwrap(), "settled");
    // The process that carries it out writes the audit log.
    assert_eq!(audited(&directory), "");
    let error = ask(Action::NotApplied).await.unwrap().unwrap_err();
    assert!(matches!(error, CommandError::NotOpen(_)), "{error}");
}

#[tokio::test]
async fn without_a_process_a_write_is_settled_at_once_or_by_the_next_one() {
    let directory = directory();
    let config = in_file(&directory);
    let journal = Journal::open(&config).await.unwrap();
    let id = leave_open(&journal).await;
    let audit = audit(&directory);
    drop(journal);
    drop(Journal::open(&config).await.unwrap());
    let applied = Action::Applied(None);
    let later = loop {
        // The thread of the journal that was dropped has to end first.
        match command::resolve(&config, id, applied, "olga", &audit) {
            Ok(text) => break text,
            Err(CommandError::Unanswered) => {}
            Err(error) => panic!("{error}"),
        }
    };
    assert!(later.contains("the next one"), "{later}");
    let journal = Journal::open(&config).await.unwrap();
    let mut requests = journal.operator_requests().unwrap();
    let request = requests.next().await.unwrap();
    assert_eq!((request.record(), request.action()), (id, applied));
    // Not answered, it is handed out again after a restart.
    drop((request, requests, journal));
    let journal = Journal::open(&config).await.unwrap();
    let mut requests = journal.operator_requests().unwrap();
    let request = requests.next().await.unwrap();
    request.answer(Err("no".to_owned()));
    drop((requests, journal));
    drop(Journal::open(&config).await.unwrap());

    let done =
        super::until_free(|| command::resolve(&config, id, Action::NotApplied, "olga", &audit));
    assert!(done.unwrap().contains("its request id is free"));
    let lines = audited(&directory);
    assert!(lines.contains("\"operator\":\"olga\"") && lines.contains(&id.to_string()));
    let journal = Journal::open(&config).await.unwrap();
    claim_new(&journal, &write(REQUEST_ID)).await;
}

#[tokio::test]
async fn a_reset_forgets_open_writes_only_if_their_number_is_named() {
    let directory = directory();
    let mut config = in_file(&directory);
    config.keys = Some(followme::journal::Keys::parse(&key(1)).unwrap());
    let journal = Journal::open(&config).await.unwrap();
    leave_open(&journal).await;
    let audit = audit(&directory);
    let error = command::reset(&config, 1, "olga", &audit).unwrap_err();
    assert!(matches!(error, CommandError::InUse(_)), "{error}");
    drop(journal);
    // The key is lost.
    config.keys = None;
    Journal::open(&config).await.unwrap_err();
    let error = super::until_free(|| command::reset(&config, 0, "olga", &audit)).unwrap_err();
    assert!(
        matches!(error, CommandError::Count { open: 1, given: 0 }),
        "{error}"
    );
    assert_eq!(audited(&directory), "");
    command::reset(&config, 1, "olga", &audit).unwrap();
    assert!(audited(&directory).contains("\"action\":\"reset\""));
    let journal = Journal::open(&config).await.unwrap();
    assert!(journal.all_open().is_empty());
}

#[tokio::test]
async fn update_followme_all_is_allowed_again_by_an_operator_only() {
    let directory = directory();
    let config = in_file(&directory);
    let audit = audit(&directory);
    let journal = Journal::open(&config).await.unwrap();
    let off = journal.set_host_fact(UPDATE_ALL, Some("off"));
    off.await.unwrap();
    let error = command::allow_update_all(&config, "olga", &audit).unwrap_err();
    assert!(matches!(error, CommandError::InUse(_)), "{error}");
    drop(journal);
    // A restart takes nothing back.
    let journal = Journal::open(&config).await.unwrap();
    assert_eq!(journal.host_fact(UPDATE_ALL).as_deref(), Some("off"));
    drop(journal);
    super::until_free(|| command::allow_update_all(&config, "olga", &audit)).unwrap();
    assert!(audited(&directory).contains("\"action\":\"allow-update-all\""));
    let error = super::until_free(|| command::allow_update_all(&config, "olga", &audit));
    let error = error.unwrap_err();
    assert!(matches!(error, CommandError::NotStopped(_)), "{error}");
    let journal = Journal::open(&config).await.unwrap();
    assert_eq!(journal.host_fact(UPDATE_ALL), None);
}

#[tokio::test]
async fn a_backup_beside_the_process_holds_every_acknowledged_begin() {
    let directory = directory();
    let config = in_file(&directory);
    let journal = Journal::open(&config).await.unwrap();
    let id = leave_open(&journal).await;
    let copy = in_file(&super::directory());
    let path = super::path_of(&copy);
    command::backup(&config, path).unwrap();
    let error = command::backup(&config, path).unwrap_err();
    assert!(matches!(error, CommandError::Backup { .. }), "{error}");
    let restored = Journal::open(&copy).await.unwrap();
    let record = resolve_and_continue(&restored, &write(REQUEST_ID)).await;
    assert_eq!(record.id(), id);
}

fn key(byte: u8) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode([byte; 32])
}

/// Runs `followme` with a journal.
fn followme(config: &Config, arguments: &[&str]) -> Output {
    std::process::Command::new(env!("CARGO_BIN_EXE_followme"))
        .args(arguments)
        .env_clear()
        .env("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:1")
        .env("FOLLOWME_UPSTREAM_NAME", "porta")
        .env("FOLLOWME_LICENSE", "KEY")
        .env("FOLLOWME_JOURNAL_URL", config.location.to_string())
        .env("FOLLOWME_SERVER_DRAIN_DELAY", "1ms")
        .env("FOLLOWME_SERVER_DRAIN_LIMIT", "1ms")
        .output()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_says_what_is_wrong_and_ends_with_the_status_of_it() {
    let config = in_file(&directory());
    let journal = Journal::open(&config).await.unwrap();
    let id = leave_open(&journal).await.to_string();
    for (arguments, status, wanted) in [
        (&["journal", "list"][..], 0, id.as_str()),
        (&["journal", "show", &id], 0, "method      Add"),
        (&["journal", "show", "7"], 64, "32 hexadecimal digits"),
        (&["journal", "resolve", &id], 64, "--applied"),
        (
            &["journal", "resolve", &id, "--applied", "0"],
            64,
            "positive",
        ),
        (
            &["journal", "reset", "--forget-open", "1"],
            1,
            "stop it first",
        ),
        (
            &["serve", "--listen", "127.0.0.1:0"],
            64,
            "is in use by process",
        ),
    ] {
        let output = followme(&config, arguments);
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {text}");
        assert!(text.contains(wanted), "{arguments:?}: {text}");
    }
}
