//! The command line, as a process of its own; and what the server serves besides the RPCs.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::SocketAddr,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread::{self, JoinHandle},
};

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Options, Route, Settings, Simulator},
};
use tonic::{Code, codegen::tokio_stream};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    config::file,
    support::{World, add_to, channel, list, new_number, stored_number, update},
};

const SERVICE: &str = "porta.followme.v1.FollowMeService";

/// A process of the binary, with an environment that is empty but for what is given. It is killed
/// when the test ends before it.
pub(crate) struct Process {
    child: Child,
    stdout: BufReader<ChildStdout>,
    /// Reads all along, so that the process never waits for it.
    stderr: Option<JoinHandle<String>>,
}

impl Process {
    pub(crate) fn start(args: &[&str], environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_followme"));
        command
            .args(args)
            .env_clear()
            .env("FOLLOWME_JOURNAL_URL", "sqlite::memory:")
            .envs(environment.iter().copied());
        Self::of(command)
    }

    /// Starts a process by another command.
    pub(crate) fn of(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary can be started");
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut stderr = child.stderr.take().expect("it is piped");
        let stderr = thread::spawn(move || {
            let mut text = String::new();
            stderr.read_to_string(&mut text).expect("it can be read");
            text
        });
        Self {
            child,
            stdout,
            stderr: Some(stderr),
        }
    }

    /// Reads standard output up to the line that says an address.
    pub(crate) fn address(&mut self, what: &str) -> SocketAddr {
        let mut line = String::new();
        while self.stdout.read_line(&mut line).expect("it can be read") > 0 {
            if let Some(address) = line.trim_end().strip_prefix(what) {
                return address.trim().parse().expect("an address");
            }
            line.clear();
        }
        panic!("it never said {what:?}; {}", self.end().1);
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill can be run");
        assert!(status.success());
    }

    /// Waits for the end, while the thread is blocked: a server ends only once its clients, which
    /// need a thread of their own, have closed their connections.
    /// Returns the exit status and what stood on standard error.
    pub(crate) fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("it ends");
        let stderr = self.stderr.take().expect("it ends once");
        (status, stderr.join().expect("it could be read"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs the binary to its end: exit code, standard output, standard error.
fn run(args: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
    let mut process = Process::start(args, environment);
    let mut out = String::new();
    process
        .stdout
        .read_to_string(&mut out)
        .expect("it can be read");
    let (status, err) = process.end();
    (status.code().expect("it was not killed"), out, err)
}

#[tokio::test(flavor = "multi_thread")]
async fn demo_serves_the_demo_accounts_and_stops_at_sigterm() {
    for signal in ["TERM", "INT"] {
        let mut process = Process::start(&["demo", "--listen", "127.0.0.1:0"], &[]);
        process.address("simulator listening on");
        let addr = process.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        let answer = client.list(list(1001)).await.expect("a list").into_inner();
        assert_eq!(answer.numbers.len(), 3);
        process.signal(signal);
        // The connection ends with the server, not after the drain limit.
        let (status, err) = process.end();
        assert_eq!(status.code(), Some(0), "{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_sigterm_skips_the_drain() {
    let slow = file("slow-drain.toml", "[server]\ndrain_delay = \"1h\"\n");
    let slow = slow.to_str().expect("a path in UTF-8");
    let mut process = Process::start(
        &["serve", "--config", slow, "--listen", "127.0.0.1:0"],
        &[
            ("FOLLOWME_LICENSE", "DEMO-KEY"),
            // No request is sent there.
            ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:9/"),
        ],
    );
    let addr = process.address("grpc listening on");
    let mut health = HealthClient::new(channel(addr).await);
    let request = HealthCheckRequest::default();
    let mut watch = health.watch(request).await.expect("health").into_inner();
    let mut next = async || watch.message().await.expect("an update").expect("one more");
    let (serving, not_serving) = (ServingStatus::Serving, ServingStatus::NotServing);
    assert_eq!(next().await.status(), serving);
    process.signal("TERM");
    // The first was understood, and the drain lasts.
    assert_eq!(next().await.status(), not_serving);
    process.signal("TERM");
    let (status, err) = process.end();
    assert_eq!(status.code(), Some(0), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blocked_file_read_does_not_delay_shutdown() {
    let path = file("hangs.toml", "[server]\ndrain_delay = \"0s\"\n");
    let config = path.to_str().expect("a path in UTF-8");
    let mut process = Process::start(
        &["serve", "--config", config, "--listen", "127.0.0.1:0"],
        &[
            ("FOLLOWME_LICENSE", "DEMO-KEY"),
            // No request is sent there.
            ("FOLLOWME_UPSTREAM_URL", "http://127.0.0.1:9/"),
        ],
    );
    process.address("grpc listening on");
    std::fs::remove_file(&path).expect("it was made");
    let made = Command::new("mkfifo").arg(&path).status();
    assert!(made.expect("mkfifo can be run").success());
    // Is open as soon as the process looks at its files again, and reads.
    let _open = std::fs::File::options()
        .write(true)
        .open(&path)
        .expect("a reader");
    process.signal("TERM");
    let (status, err) = process.end();
    // A second writer would block.
    std::fs::remove_file(&path).expect("it was made");
    assert_eq!(status.code(), Some(0), "{err}");
}

#[tokio::test(flavor = "multi_thread")]
async fn serve_works_against_simulate() {
    let mut simulate = Process::start(
        &[
            "simulate",
            "--listen",
            "127.0.0.1:0",
            "--dialect",
            "aspnet",
            "--newline",
            "crlf",
            "--knobs",
            "{\"write_answer\": \"null\"}",
        ],
        &[],
    );
    let upstream = simulate.address("simulator listening on");
    let url = format!("http://{upstream}/");
    let key = file("serve-license", "DEMO-KEY\n");
    let key = key.to_str().expect("a path in UTF-8");
    let flags = ["serve", "--listen", "127.0.0.1:0", "--upstream-url", &url];
    let quick = "[server]\ndrain_delay = \"0s\"\n";
    let toml = file(
        "serve.toml",
        &format!(
            "listen = \"127.0.0.1:0\"\n{quick}[upstream]\nurl = {url:?}\nlicense_file = {key:?}\n"
        ),
    );
    let toml = toml.to_str().expect("a path in UTF-8");
    let quick = file("quick.toml", quick);
    let quick = quick.to_str().expect("a path in UTF-8");
    for (args, environment) in [
        ([&flags[..], &["--license-file", key]].concat(), Vec::new()),
        (
            flags.to_vec(),
            vec![("FOLLOWME_LICENSE", "DEMO-KEY"), ("FOLLOWME_CONFIG", quick)],
        ),
        (vec!["serve", "--config", toml], Vec::new()),
        (
            vec!["serve"],
            vec![
                ("FOLLOWME_LISTEN", "127.0.0.1:0"),
                ("FOLLOWME_UPSTREAM_URL", url.as_str()),
                ("FOLLOWME_LICENSE_FILE", key),
                ("FOLLOWME_CONFIG", quick),
            ],
        ),
    ] {
        let mut serve = Process::start(&args, &environment);
        let addr = serve.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        let answer = client
            .add(add_to(1003, new_number("Van", "15550121")))
            .await;
        assert!(answer.is_ok(), "{answer:?}");
        serve.signal("TERM");
        let (status, err) = serve.end();
        assert_eq!(status.code(), Some(0), "{err}");
    }
    simulate.signal("TERM");
    assert_eq!(simulate.end().0.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn no_log_holds_the_license_that_upstream_echoes() {
    const KEY: &str = "k+y/9 %41\"z";
    let simulator = Simulator::bind(Options::default())
        .await
        .expect("a free port");
    let (handle, upstream) = (simulator.handle(), simulator.local_addr());
    tokio::spawn(simulator.run(std::future::pending()));
    handle.seed(
        KEY,
        1001,
        vec![stored_number("Desk", "15550101", 1)],
        Settings::default(),
    );
    let url = format!("http://{upstream}/");
    let toml = file(
        "logs.toml",
        "[server]\ndrain_delay = \"0s\"\n[upstream]\nread_retries = 0\n",
    );
    let toml = toml.to_str().expect("a path in UTF-8");
    let mut serve = Process::start(
        &[
            "serve",
            "--config",
            toml,
            "--listen",
            "127.0.0.1:0",
            "--upstream-url",
            &url,
        ],
        &[("FOLLOWME_LICENSE", KEY), ("RUST_LOG", "trace")],
    );
    let addr = serve.address("grpc listening on");
    let mut client = FollowMeServiceClient::new(channel(addr).await);
    client.list(list(1001)).await.expect("a list");
    let encoded = "k%2By%2F9%20%2541%22z";
    let forms = [
        KEY.to_owned(),
        encoded.to_owned(),
        encoded.to_lowercase(),
        encoded.replace("%20", "+"),
        KEY.replace('"', "\"\""),
        KEY.replace('"', "\\\""),
        KEY.replace('"', "&quot;"),
    ];
    for form in &forms {
        for content_type in ["text/html", "text/csv"] {
            let (status, reason) = (500, Some(format!("no {form}")));
            let body = format!("ResponseStatus\nno /getfollowmes/{form}/1001?License={form}\n");
            let kind = FaultKind::Status {
                status,
                reason,
                body,
                content_type: Some(content_type.to_owned()),
            };
            handle.arm(Fault::once(kind).on(Route::GetAll));
            let failed = client.list(list(1001)).await.expect_err("it fails");
            assert_eq!(failed.code(), Code::Unavailable);
            for form in &forms {
                assert!(!format!("{failed:?}").contains(form.as_str()));
            }
        }
    }
    // By GET and by POST.
    let id = handle.numbers(KEY, 1001).expect("seeded")[0].id;
    client
        .update(update(id, &["domain"], new_number("", "")))
        .await
        .expect("it is updated");
    serve.signal("TERM");
    let (status, log) = serve.end();
    assert_eq!(status.code(), Some(0));
    assert!(log.contains("call failed"), "{log}");
    for form in forms {
        assert!(!log.contains(&form), "{form} is in {log}");
    }
}

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

#[tokio::test]
async fn health_covers_the_server_and_the_service() {
    let world = World::start().await;
    let mut health = HealthClient::new(channel(world.addr).await);
    for service in ["", SERVICE] {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let answer = health.check(request).await.expect("it is known");
        assert_eq!(answer.into_inner().status(), ServingStatus::Serving);
    }
    let request = HealthCheckRequest {
        service: "porta.followme.v2.FollowMeService".to_owned(),
    };
    let unknown = health.check(request).await.expect_err("it is not known");
    assert_eq!(unknown.code(), Code::NotFound);
}

/// Asks the reflection service of a version one thing.
macro_rules! reflect {
    ($version:ident, $world:expr, $ask:ident($text:expr)) => {{
        use tonic_reflection::pb::$version::{
            ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
            server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
        };
        let mut client = ServerReflectionClient::new(channel($world.addr).await);
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::$ask($text.to_owned())),
        };
        let answers = client
            .server_reflection_info(tokio_stream::once(request))
            .await
            .expect("reflection is served");
        let answer = answers.into_inner().message().await.expect("an answer");
        match answer.expect("an answer").message_response {
            Some(MessageResponse::ListServicesResponse(list)) => list
                .service
                .into_iter()
                .map(|service| service.name)
                .collect(),
            Some(MessageResponse::FileDescriptorResponse(files)) => files
                .file_descriptor_proto
                .into_iter()
                .map(|file| String::from_utf8_lossy(&file).into_owned())
                .collect(),
            other => panic!("an answer to the question: {other:?}"),
        }
    }};
}

#[tokio::test]
async fn reflection_lists_the_services_and_describes_them_in_both_versions() {
    let world = World::start().await;
    let v1: Vec<String> = reflect!(v1, world, ListServices(""));
    let v1alpha: Vec<String> = reflect!(v1alpha, world, ListServices(""));
    for services in [&v1, &v1alpha] {
        for service in [SERVICE, "grpc.health.v1.Health"] {
            assert!(
                services.iter().any(|known| known == service),
                "{services:?}"
            );
        }
    }
    for symbol in [
        SERVICE,
        "porta.followme.v1.ReplaceIncomplete",
        "grpc.health.v1.Health",
        "google.rpc.ErrorInfo",
        "google.rpc.BadRequest",
        "google.rpc.PreconditionFailure",
        "google.protobuf.Duration",
    ] {
        let v1: Vec<String> = reflect!(v1, world, FileContainingSymbol(symbol));
        let v1alpha: Vec<String> = reflect!(v1alpha, world, FileContainingSymbol(symbol));
        assert!(!v1.is_empty() && v1 == v1alpha, "{symbol}");
    }
}
