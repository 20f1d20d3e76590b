//! The commands, their exit codes and their error messages.

use super::{Process, run};
use crate::config::file;

#[test]
fn config_errors_are_one_line_each_and_exit_64() {
    let toml = file(
        "cli-mistakes.toml",
        "listne = 3\n[upstream]\nurl = \"x\"\nread_timeout = \"soon\"\n",
    );
    let toml = toml.to_str().expect("a path in UTF-8");
    let (code, out, err) = run(
        &["serve", "--config", toml, "--listen", "nowhere"],
        &[("FOLLOWME_LICENSE_FILE", "/nowhere/license")],
    );
    assert_eq!(code, 64);
    assert_eq!(out, "");
    let mut keys: Vec<&str> = err
        .lines()
        .map(|line| {
            let line = line.strip_prefix("followme: ").expect("whose line it is");
            line.split_once(": ").expect("a key and a problem").0
        })
        .collect();
    keys.sort_unstable();
    assert_eq!(
        keys,
        [
            "--listen",
            "FOLLOWME_LICENSE_FILE",
            "listne",
            "upstream.read_timeout",
            "upstream.url",
        ]
    );

    let (code, _, err) = run(&["serve"], &[]);
    assert_eq!(code, 64);
    assert_eq!(err.lines().count(), 2, "{err}");
    for key in ["upstream.url", "upstream.license_file"] {
        assert!(err.contains(key), "{err}");
    }
}

#[test]
fn config_check_and_print_do_not_serve() {
    let toml = file("cli-print.toml", "[upstream]\nread_timeout = \"3s\"\n");
    let toml = toml.to_str().expect("a path in UTF-8");
    let environment = [
        ("FOLLOWME_LICENSE", "KEY"),
        ("FOLLOWME_CALLS_MAX_NUMBERS", "7"),
    ];
    let flags = ["--config", toml, "--upstream-url", "http://127.0.0.1:9/"];
    let (code, out, err) = run(&[&["config", "check"], &flags[..]].concat(), &environment);
    assert_eq!(
        (code, out.as_str()),
        (0, "the configuration is valid\n"),
        "{err}"
    );
    let (code, out, err) = run(&[&["config", "print"], &flags[..]].concat(), &environment);
    assert_eq!(code, 0, "{err}");
    for line in [
        "# The License is that of FOLLOWME_LICENSE.",
        "url = \"http://127.0.0.1:9/\"",
        "read_timeout = \"3s\"",
        "max_numbers = 7",
    ] {
        assert!(out.lines().any(|shown| shown == line), "{line}: {out}");
    }
    assert!(!out.contains("KEY"));
    let unknown = [("FOLLOWME_LICENCE", "KEY")];
    for command in ["check", "print"] {
        let (code, out, err) = run(&[&["config", command], &flags[..]].concat(), &unknown);
        assert_eq!((code, out.as_str()), (64, ""));
        assert_eq!(err.lines().count(), 2, "{err}");
        assert!(!err.contains("KEY"), "{err}");
    }
}

#[test]
fn demo_listens_beyond_loopback_only_with_a_flag() {
    let (code, _, err) = run(&["demo", "--listen", "0.0.0.0:0"], &[]);
    assert_eq!(code, 1);
    assert!(err.contains("--insecure"), "{err}");
    let mut demo = Process::start(&["demo", "--listen", "0.0.0.0:0", "--insecure"], &[]);
    demo.address("grpc listening on");
}

#[test]
fn an_invalid_command_line_exits_64_and_help_exits_0() {
    for args in [
        &["serve", "--port", "1"][..],
        &["simulate", "--dialect", "v5"],
        &["simulate", "--knobs", "{\"update_all\": \"none\"}"],
        &["simulate", "--knobs", "{\"unknown\": 1}"],
        &["demo", "--listen", "nowhere"],
        &["served"],
        &[],
    ] {
        let (code, out, err) = run(args, &[]);
        assert_eq!(code, 64, "{args:?}");
        assert_eq!(out, "");
        assert_ne!(err, "");
    }
    for args in [&["--help"][..], &["serve", "--help"], &["--version"]] {
        let (code, out, err) = run(args, &[]);
        assert_eq!(code, 0, "{args:?}");
        assert_ne!(out, "");
        assert_eq!(err, "");
    }
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = taken.local_addr().expect("it has an address").to_string();
    for args in [
        &[
            "serve",
            "--listen",
            &addr,
            "--upstream-url",
            "http://127.0.0.1:9",
        ][..],
        &["demo", "--listen", &addr],
        &["simulate", "--listen", &addr],
    ] {
        let (code, _, err) = run(args, &[("FOLLOWME_LICENSE", "KEY")]);
        assert_eq!(code, 1, "{args:?}");
        assert!(err.contains(&addr), "{args:?} {err}");
        assert!(!err.contains("KEY"));
    }
}
