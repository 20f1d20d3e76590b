//! The License: where it comes from, and what it may hold.

use followme::config::{Config, Flags};

use super::{file, license, variables};

#[test]
fn the_license_is_checked_and_never_printed() {
    let secret = "S3CRET";
    let long = format!("{secret}{}", "k".repeat(256));
    for (name, text) in [
        ("empty", String::new()),
        ("newline", "\n".to_owned()),
        ("long", long.clone()),
        ("control", format!("{secret}\u{1}")),
        ("lines", format!("{secret}\n{secret}\n")),
    ] {
        let flags = Flags {
            upstream_url: Some("http://127.0.0.1:8080".to_owned()),
            license_file: Some(file(&format!("license-{name}"), &text)),
            ..Flags::default()
        };
        let found = Config::load(&flags, &variables([])).expect_err("it is no License");
        assert_eq!(found.len(), 1, "{name}");
        assert_eq!(found[0].key, "--license-file");
        assert!(!found[0].to_string().contains(secret), "{name}");
    }
    let environment = |license: &str, file: &str| {
        variables([
            ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:8080"),
            ("FOLLOWME_LICENSE", license),
            ("FOLLOWME_LICENSE_FILE", file),
        ])
    };
    for (license, file, key) in [
        (long.as_str(), "", "FOLLOWME_LICENSE"),
        (secret, "/some/file", "FOLLOWME_LICENSE"),
        ("", "/nowhere/license", "FOLLOWME_LICENSE_FILE"),
        ("", "", "upstream.license_file"),
    ] {
        let found = Config::load(&Flags::default(), &environment(license, file))
            .expect_err("there is no License");
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].key, key);
        assert!(!found[0].to_string().contains(secret));
    }
}

#[test]
fn no_license_is_required_if_callers_bring_theirs() {
    let flags = Flags {
        config: Some(file("own.toml", "[upstream]\ncaller_license = true\n")),
        upstream_url: Some("http://127.0.0.1:8080".to_owned()),
        ..Flags::default()
    };
    let config = Config::load(&flags, &variables([])).expect("it is complete");
    assert!(config.security.policy.anonymous.license.is_none());
}

#[test]
fn what_is_invisible_at_the_ends_of_a_license_and_a_file_is_no_part_of_it() {
    for ends in [
        "\u{feff}",
        " ",
        "\t",
        "\u{a0}",
        "\r\n",
        "\u{200b}",
        "\u{feff} \u{a0}\n",
    ] {
        let text = format!("{ends}KEY{ends}");
        let flags = Flags {
            upstream_url: Some("http://127.0.0.1:8080".to_owned()),
            ..Flags::default()
        };
        let variable = variables([("FOLLOWME_LICENSE", &*text)]);
        let config = Config::load(&flags, &variable).expect("it is a License");
        assert_eq!(license(&config), "KEY", "{ends:?}");
        let flags = Flags {
            license_file: Some(file("license-ends", &text)),
            ..flags
        };
        let config = Config::load(&flags, &variables([])).expect("it is a License");
        assert_eq!(license(&config), "KEY", "{ends:?}");
        let hash = "0f".repeat(32);
        let tokens = file("ends-tokens", &format!("{ends}portal {hash}{ends}"));
        let toml = format!(
            "{ends}tokens_file = {:?}\n[callers.portal]\nmethods = [\"List\"]{ends}",
            tokens.display().to_string()
        );
        let flags = Flags {
            config: Some(file("ends.toml", &toml)),
            ..flags
        };
        let config = Config::load(&flags, &variables([])).expect("complete");
        assert_eq!(config.security.policy.tokens.iter().count(), 1);
        assert_eq!(config.security.policy.callers.len(), 1);
    }
}
