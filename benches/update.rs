//! What a full-record Update costs the facade, beside a List: the CPU of a `followme serve` process
//! with the access log on, 64 calls in flight, each on an account of its own. The simulator and the
//! clients are in this process.
//!
//! ```sh
//! cargo bench --bench update
//! ```
#![expect(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a bench prints, and fails by panicking"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use followme::{
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{Handle, Options, Settings, Simulator, StoredNumber},
};
use tonic::transport::Channel;

const IN_FLIGHT: i32 = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_secs(2);
const LICENSE: &str = "BENCH-KEY";
const FIRST_ACCOUNT: i32 = 1001;

fn main() {
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(run());
}

async fn run() {
    let options = Options::default();
    let simulator = Simulator::bind(options).await.expect("a free port");
    let handle = simulator.handle();
    tokio::spawn(simulator.run(std::future::pending()));
    seed(&handle);
    let url = format!("http://{}/", handle.local_addr());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bench.sqlite3");
    let file = format!("sqlite:{}", file.display());
    for (journal, location) in [("memory", "sqlite::memory:"), ("file", &file)] {
        let (mut serve, addr) = start(&url, location);
        let channel = Channel::from_shared(format!("http://{addr}"))
            .expect("a URL")
            .connect()
            .await
            .expect("it listens");
        let client = FollowMeServiceClient::new(channel);
        let mut costs = [Vec::new(), Vec::new()];
        // The first round warms up.
        for round in 0..=ROUNDS {
            for (updates, costs) in [false, true].into_iter().zip(&mut costs) {
                let cost = measure(&client, serve.id(), updates).await;
                if round > 0 {
                    costs.push(cost);
                }
            }
        }
        let [list, update] = costs.map(|mut costs| {
            costs.sort_by(f64::total_cmp);
            costs[ROUNDS / 2]
        });
        println!(
            "journal in {journal}: List {list:.0} µs, Update {update:.0} µs of CPU, {:.2} times",
            update / list
        );
        let _ = serve.kill();
        let _ = serve.wait();
    }
}

/// Gives each account one number.
fn seed(handle: &Handle) {
    for account in FIRST_ACCOUNT..FIRST_ACCOUNT + IN_FLIGHT {
        let text = |text: &str| Some(text.to_owned());
        let number = StoredNumber {
            redirect_number: text("15550101"),
            name: text("Desk"),
            order: Some(1),
            domain: text("sip.example.com"),
            timeout: Some(20),
            keep_original_cld: text("N"),
            keep_original_cli: text("Y"),
            period: text("hr{9am-5pm}"),
            period_description: text("Office hours"),
            active: text("Y"),
            ..StoredNumber::default()
        };
        handle.seed(LICENSE, account, vec![number], Settings::default());
    }
}

fn start(url: &str, journal: &str) -> (Child, String) {
    let mut serve = Command::new(env!("CARGO_BIN_EXE_followme"))
        .args(["serve", "--listen", "127.0.0.1:0", "--upstream-url", url])
        .env_clear()
        .env("FOLLOWME_LICENSE", LICENSE)
        .env("FOLLOWME_JOURNAL_URL", journal)
        .env("FOLLOWME_TELEMETRY_AUDIT_FILE", "/dev/null")
        .env("FOLLOWME_UPSTREAM_CALLER_SHARE", "1.0")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the binary can be started");
    let stdout = serve.stdout.take().expect("it is piped");
    let addr = BufReader::new(stdout)
        .lines()
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("grpc listening on ").map(str::to_owned))
        .expect("it listens");
    (serve, addr)
}

/// Returns the CPU time of a call in microseconds.
async fn measure(client: &FollowMeServiceClient<Channel>, process: u32, updates: bool) -> f64 {
    let (begun, before) = (Instant::now(), cpu(process));
    let tasks: Vec<_> = (FIRST_ACCOUNT..FIRST_ACCOUNT + IN_FLIGHT)
        .map(|account| tokio::spawn(call(client.clone(), account, updates, begun)))
        .collect();
    let mut calls = 0;
    for task in tasks {
        calls += task.await.expect("no panic");
    }
    (cpu(process) - before).as_secs_f64() * 1e6 / f64::from(calls)
}

async fn call(
    mut client: FollowMeServiceClient<Channel>,
    account: i32,
    updates: bool,
    begun: Instant,
) -> u32 {
    let list = pb::ListRequest {
        account_id: account,
        ..pb::ListRequest::default()
    };
    let listed = client.list(list.clone()).await.expect("a list");
    let stored = listed.into_inner().numbers.remove(0);
    let mut calls = 1;
    while begun.elapsed() < ROUND {
        calls += 1;
        if !updates {
            client.list(list.clone()).await.expect("a list");
            continue;
        }
        let number = pb::FollowMeNumber {
            name: format!("Desk {calls}"),
            etag: String::new(),
            ..stored.clone()
        };
        let update = pb::UpdateRequest {
            number: Some(number),
            update_mask: Some(prost_types::FieldMask {
                paths: vec!["*".to_owned()],
            }),
            ..pb::UpdateRequest::default()
        };
        client.update(update).await.expect("it is updated");
    }
    calls
}

/// Returns the CPU time of a process, all threads together (proc(5)).
fn cpu(process: u32) -> Duration {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).expect("it runs");
    let nanoseconds: u64 = tasks
        .filter_map(|task| {
            let path = task.ok()?.path().join("schedstat");
            fs::read_to_string(path)
                .ok()?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}
