//! What a line of the audit log shows: actor, before and after, and values masked.

use std::{fs, os::unix::fs::PermissionsExt as _};

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient, simulator::Settings,
    telemetry::audit::Masking,
};

use super::audit::{fresh, lines, phases, world};
use crate::{
    security::support::{Facade, token_line, with_token},
    support::{LICENSE, World, add, channel, delete, new_number, update, with_metadata},
};

#[tokio::test]
async fn a_write_has_two_lines_with_actor_before_and_after() {
    let file = fresh("audit-writes");
    let world = world(&file).await;
    let trace = "0af7651916cd43dd8448eb211c80319c";
    let traceparent = format!("00-{trace}-b7ad6b7169203331-01");
    let mut request = update(70001, &["redirect_number"], new_number("", "15550150"));
    request.request_id = "id-1".to_owned();
    world
        .update(with_metadata(request, &[("traceparent", &traceparent)]))
        .await
        .expect("it is updated");
    let lines = lines(&file);
    assert_eq!(
        phases(&lines),
        [("begin", "update", ""), ("end", "update", "done")]
    );
    for line in &lines {
        assert_eq!(line["target"], "audit");
        assert_eq!(line["caller"], "anonymous");
        assert_eq!(line["method"], "Update");
        assert_eq!(line["tenant"], lines[0]["tenant"]);
        assert_eq!(line["tenant"].as_str().map(str::len), Some(32));
        assert_eq!(line["account_id"], 1001);
        assert_eq!(line["number_id"], 70001);
        assert_eq!(line["request_id"], "id-1");
        assert_eq!(line["trace_id"], trace);
        assert_eq!(line["entry"], lines[0]["entry"]);
        assert!(
            line["time"]
                .as_str()
                .is_some_and(|time| time.ends_with('Z'))
        );
    }
    let begin = &lines[0];
    assert_ne!(begin["before"]["redirect_number"], "15550150");
    assert_eq!(begin["after"]["redirect_number"], "15550150");
    assert_eq!(begin["after"]["name"], begin["before"]["name"]);
    assert_eq!(lines[1]["after"]["redirect_number"], "15550150");
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);

    // A file that others could read is closed to them.
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("it is ours");
    world.delete(delete(70002)).await.expect("it is deleted");
    let mode = fs::metadata(&file)
        .expect("it is there")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn numbers_and_names_can_be_masked() {
    let file = fresh("audit-masked");
    let world = World::configured(|config| {
        config.audit.file = Some(file.clone());
        config.audit.masking = Masking::Masked;
    })
    .await;
    world
        .add(add(new_number("Ann Lee", "15550121")))
        .await
        .expect("it is added");
    world
        .update(update(
            70001,
            &["redirect_number"],
            new_number("", "15550121"),
        ))
        .await
        .expect("it is updated");
    let text = fs::read_to_string(&file).expect("it was written");
    assert!(!text.contains("Ann") && !text.contains("15550"), "{text}");
    let lines = lines(&file);
    let number = &lines[0]["after"]["redirect_number"];
    assert_eq!(number["masked"], "…121");
    assert_eq!(*number, lines[2]["after"]["redirect_number"]);
    assert_ne!(*number, lines[2]["before"]["redirect_number"]);
}

#[tokio::test]
async fn the_lines_tell_tenants_apart_and_do_not_show_them() {
    let file = fresh("audit-tenants");
    let world = World::configured(|config| {
        config.audit.file = Some(file.clone());
        config.security.policy.anonymous.brings_license = true;
    })
    .await;
    let numbers = Vec::new;
    world
        .handle
        .seed("OTHER-KEY", 1001, numbers(), Settings::default());
    for headers in [
        &[][..],
        &[("x-porta-license", "OTHER-KEY")],
        &[("x-porta-license", LICENSE)],
    ] {
        let request = with_metadata(add(new_number("Ann Lee", "15550121")), headers);
        world.add(request).await.expect("it is added");
    }
    let text = fs::read_to_string(&file).expect("it was written");
    assert!(
        !text.contains("OTHER-KEY") && !text.contains(LICENSE),
        "{text}"
    );
    let lines = lines(&file);
    let tenants: Vec<_> = lines.iter().map(|line| &line["tenant"]).collect();
    assert!(tenants[0].is_string());
    // Of each write the begin and the end.
    assert_ne!(tenants[0], tenants[2]);
    assert_eq!(tenants[0], tenants[4]);
    assert_eq!(tenants[2], tenants[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn masked_values_match_across_processes_with_a_key_file() {
    let upstream = super::receiver::upstream(LICENSE).await;
    let key = crate::config::file("audit-key", "0123456789abcdef0123456789abcdef");
    let mut hashes = Vec::new();
    for (name, key) in [
        ("key-one", Some(&key)),
        ("key-two", Some(&key)),
        ("key-none", None),
    ] {
        let file = fresh(&format!("audit-{name}"));
        let key = key.map_or(String::new(), |key| format!("audit_key_file = {key:?}\n"));
        let toml = format!("[telemetry]\naudit_file = {file:?}\naudit_numbers = \"masked\"\n{key}");
        let environment = [("FOLLOWME_LICENSE", LICENSE)];
        let mut process = super::receiver::serve(name, &toml, upstream.local_addr(), &environment);
        let addr = process.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        client
            .add(add(new_number("Ann Lee", "15550121")))
            .await
            .expect("it is added");
        process.signal("TERM");
        assert_eq!(process.end().0.code(), Some(0));
        hashes.push(lines(&file)[0]["after"]["redirect_number"]["hash"].clone());
    }
    assert_eq!(hashes[0], hashes[1]);
    assert_ne!(hashes[0], hashes[2]);
}

#[tokio::test]
async fn the_lines_name_the_caller() {
    let toml = "tokens_file = \"{dir}/tokens\"\n[telemetry]\naudit_file = \"{dir}/audit\"\n\
                [callers.portal]\nmethods = [\"*\"]\n";
    let facade = Facade::with(toml, |dir| {
        dir.write("tokens", &token_line("portal", "good", ""))
    })
    .await;
    let mut client = facade.client().await;
    client
        .add(with_token(add(new_number("Van", "15550121")), "good"))
        .await
        .expect("it is added");
    let lines = lines(&facade.dir.path("audit"));
    assert_eq!(lines.len(), 2);
    assert!(
        lines.iter().all(|line| line["caller"] == "portal"),
        "{lines:?}"
    );
}
