//! What is reloaded while the facade runs, and what needs a restart.

use std::net::SocketAddr;

use tonic::Code;

use super::support::{Directory, Facade, token_line, until};
use crate::support::{LICENSE, add_to, failure, list, new_number};
use crate::telemetry::admin::page;
use followme::{grpc::pb, simulator::Settings};

#[tokio::test]
async fn read_only_is_reloaded() {
    let facade = Facade::start("").await;
    let client = facade.client().await;
    let write = || {
        let mut client = client.clone();
        async move {
            client
                .add(add_to(1003, new_number("Van", "15550120")))
                .await
        }
    };
    write().await.expect("added");
    facade.dir.configure("read_only = true\n");
    let refused = until("writes are refused", || async { write().await.err() }).await;
    let refused = failure::<()>(Err(refused));
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(refused.reason, "READ_ONLY");
    let effects = facade.handle.effects().len();
    let mut reader = client.clone();
    reader.list(list(1003)).await.expect("a list");
    let request = pb::AddRequest {
        validate_only: true,
        ..add_to(1003, new_number("Van", "15550120"))
    };
    reader
        .add(request)
        .await
        .expect("what writes nothing goes on");
    assert_eq!(facade.handle.effects().len(), effects);
    facade.dir.configure("read_only = false\n");
    until("writes are accepted", || async { write().await.ok() }).await;
}

#[tokio::test]
async fn the_admin_pages_show_the_reloaded_configuration() {
    let toml = "admin_listen = \"127.0.0.1:0\"\n";
    let facade = Facade::start(toml).await;
    let admin = facade.admin.expect("it is configured");
    let (_, before) = page(admin, "/config").await;
    assert!(before.contains("\nread_only = false\n"), "{before}");
    facade.dir.configure(&format!(
        "{toml}read_only = true\n[calls]\nmax_numbers = 7\n"
    ));
    let after = until("it is shown", || async {
        let (_, now) = page(admin, "/config").await;
        (now != before).then_some(now)
    })
    .await;
    assert!(after.contains("\nread_only = true\n"), "{after}");
    // This one needs a restart.
    assert!(after.contains("\nmax_numbers = 100\n"), "{after}");
}

#[tokio::test]
async fn a_rotated_license_is_used_by_the_next_call() {
    let toml = "tokens_file = \"{dir}/tokens\"\n\
         [callers.tenant]\nmethods = [\"*\"]\nlicense_file = \"{dir}/tenant\"\n";
    let facade = Facade::with(toml, |dir| {
        dir.write("tokens", &token_line("tenant", "good", ""));
        dir.write("tenant", LICENSE);
    })
    .await;
    let numbers = vec![stored("Turned")];
    facade
        .handle
        .seed("TURNED-KEY", 1001, numbers, Settings::default());
    let first = facade.list_with("good").await.expect("a list");
    assert_eq!(first.numbers[0].name, "Desk");
    // A License that cannot be read leaves the old one in use; one that can, replaces it.
    facade.dir.write("tenant", "");
    facade.dir.write("license", "TURNED-KEY");
    facade.dir.write("tenant", "TURNED-KEY\n");
    until("the License is turned over", || async {
        let answer = facade.list_with("good").await.expect("no call fails");
        (answer.numbers[0].name == "Turned").then_some(())
    })
    .await;
}

fn stored(name: &str) -> followme::simulator::StoredNumber {
    crate::support::stored_number(name, "15550140", 1)
}

#[tokio::test]
async fn callers_and_their_policies_are_reloaded() {
    let toml = "tokens_file = \"{dir}/tokens\"\n[callers.portal]\nmethods = [\"List\"]\n";
    let facade = Facade::with(toml, |dir| {
        dir.write("tokens", &token_line("portal", "good", ""));
    })
    .await;
    let tokens = [
        token_line("portal", "good", ""),
        token_line("batch", "new", ""),
    ];
    facade.dir.write("tokens", &tokens.concat());
    facade.dir.configure(
        "tokens_file = \"{dir}/tokens\"\n[callers.portal]\nmethods = [\"Get\"]\n\
         [callers.batch]\nmethods = [\"List\"]\n",
    );
    until("the new caller is admitted", || async {
        facade.list_with("new").await.ok()
    })
    .await;
    let refused = facade.list_with("good").await;
    assert_eq!(failure(refused).reason, "METHOD_DENIED");
}

/// Loads a configuration, and returns it with what looks at its files.
fn reloader(dir: &Directory) -> followme::config::Reloader {
    let upstream = SocketAddr::from(([127, 0, 0, 1], 9));
    let config = dir.load(upstream).expect("complete");
    config.reloader.expect("it was read from files")
}

#[test]
fn an_unchanged_configuration_is_not_reloaded() {
    let dir = Directory::new();
    dir.configure("read_only = true\n");
    let mut reloader = reloader(&dir);
    let changes = reloader.poll();
    assert!(changes.policy.is_none() && changes.tls.is_none());
    assert!(changes.errors.is_empty() && changes.restart.is_empty());
}

#[test]
fn a_change_that_needs_a_restart_is_logged_once_and_the_rest_is_reloaded() {
    let dir = Directory::new();
    dir.write("ca.pem", "one");
    let upstream = "[upstream]\nca_file = \"{dir}/ca.pem\"\n";
    dir.configure(upstream);
    let mut reloader = reloader(&dir);
    dir.configure(&format!(
        "read_only = true\n[calls]\nmax_numbers = 7\n{upstream}read_timeout = \"1s\"\n"
    ));
    let changes = reloader.poll();
    assert_eq!(
        changes.restart,
        ["upstream.read_timeout", "calls.max_numbers"]
    );
    assert!(changes.policy.expect("it changed").read_only);
    assert!(changes.errors.is_empty());
    let changes = reloader.poll();
    assert!(changes.policy.is_none() && changes.restart.is_empty());
    // One that is taken back takes none.
    dir.configure(&format!("read_only = true\n{upstream}"));
    assert!(reloader.poll().restart.is_empty());
    dir.write("ca.pem", "two");
    assert_eq!(reloader.poll().restart, ["the files of [upstream]"]);
}

#[test]
fn a_config_error_prevents_the_reload_and_is_logged_once() {
    let dir = Directory::new();
    dir.configure("read_only = true\n");
    let mut reloader = reloader(&dir);
    dir.configure("read_only = false\n\nread_onyl = true\n");
    let changes = reloader.poll();
    assert!(changes.policy.is_none());
    let [mistake] = &changes.errors[..] else {
        panic!("one error: {:?}", changes.errors);
    };
    assert_eq!(mistake.key, "read_onyl");
    assert!(
        mistake.to_string().ends_with("followme.toml:3)"),
        "{mistake}"
    );
    assert!(reloader.poll().errors.is_empty());
    dir.configure("read_only = [\n");
    let changes = reloader.poll();
    assert!(changes.errors[0].to_string().contains("followme.toml:1"));
    std::fs::remove_file(dir.path("followme.toml")).expect("it was there");
    let changes = reloader.poll();
    assert!(changes.policy.is_none());
    assert!(changes.errors[0].problem.starts_with("cannot read "));
    dir.configure("");
    assert!(!reloader.poll().policy.expect("it changed").read_only);
}

#[test]
fn a_new_caller_whose_license_cannot_be_read_uses_no_other_license() {
    let dir = Directory::new();
    dir.write("tokens", "");
    let tokens = "tokens_file = \"{dir}/tokens\"\n";
    dir.configure(tokens);
    let mut reloader = reloader(&dir);
    dir.configure(&format!(
        "{tokens}[callers.tenant]\nmethods = [\"*\"]\nlicense_file = \"{{dir}}/tenant\"\n"
    ));
    let changes = reloader.poll();
    assert_eq!(changes.errors[0].key, "callers.tenant.license_file");
    assert!(changes.policy.expect("it changed").callers.is_empty());
    dir.write("tenant", "TENANT-KEY");
    assert_eq!(reloader.poll().policy.expect("it changed").callers.len(), 1);
    // A License that was read stays in force when its file disappears.
    std::fs::remove_file(dir.path("tenant")).expect("it was there");
    let changes = reloader.poll();
    assert!(changes.policy.is_none());
    assert_eq!(changes.errors.len(), 1);
    dir.configure(&format!(
        "read_only = true\n{tokens}[callers.tenant]\nmethods = [\"*\"]\n\
         license_file = \"{{dir}}/tenant\"\n"
    ));
    let policy = reloader.poll().policy.expect("it changed");
    assert_eq!((policy.callers.len(), policy.read_only), (1, true));
}

#[test]
fn a_file_that_is_rewritten_in_place_is_taken_when_it_is_whole_and_never_for_empty() {
    let dir = Directory::new();
    dir.write("tokens", &token_line("portal", "good", ""));
    let toml = "read_only = true\ntokens_file = \"{dir}/tokens\"\n\
                [callers.portal]\nmethods = [\"List\"]\n";
    dir.configure(toml);
    let mut reloader = reloader(&dir);
    let rewrite = |name: &str, text: &str| {
        std::fs::write(dir.path(name), text).expect("the directory can be written");
    };
    for name in ["followme.toml", "tokens"] {
        let whole = std::fs::read_to_string(dir.path(name)).expect("it is there");
        rewrite(name, "");
        let mut errors = 0;
        for _ in 0..5 {
            let changes = reloader.poll();
            assert!(changes.policy.is_none(), "{name}");
            errors += changes.errors.len();
        }
        assert_eq!(errors, 1, "{name} is reported once");
        // The first half alone has no caller.
        rewrite(name, whole.get(..whole.len() / 3).expect("ASCII"));
        assert!(reloader.poll().policy.is_none(), "{name}");
        rewrite(name, &format!("{whole}# changed\n"));
        assert!(reloader.poll().policy.is_none(), "{name}");
        let policy = reloader.poll().policy.expect("it is whole");
        assert!(policy.read_only && policy.callers.len() == 1 && policy.tokens.iter().count() == 1);
    }
}

#[test]
fn a_caller_whose_changed_license_file_cannot_be_read_keeps_its_license() {
    let dir = Directory::new();
    dir.write("tokens", &token_line("tenant", "good", ""));
    dir.write("tenant", "TENANT-KEY");
    let toml = |name: &str| {
        format!(
            "tokens_file = \"{{dir}}/tokens\"\n[callers.tenant]\nmethods = [\"*\"]\n\
             license_file = \"{{dir}}/{name}\"\n"
        )
    };
    dir.configure(&toml("tenant"));
    let mut reloader = reloader(&dir);
    let license = |policy: Option<followme::security::Policy>| {
        let policy = policy.expect("it changed");
        let license = policy.callers[0].license.clone();
        license.expect("its own").expose().to_owned()
    };
    dir.configure(&toml("missing"));
    let changes = reloader.poll();
    assert_eq!(changes.errors[0].key, "callers.tenant.license_file");
    assert_eq!(license(changes.policy), "TENANT-KEY");
    dir.write("missing", "NEW-KEY");
    assert_eq!(license(reloader.poll().policy), "NEW-KEY");
}
