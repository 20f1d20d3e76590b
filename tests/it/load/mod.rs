//! Measurements under load and failure: printed, not asserted, since they depend on the machine.
//!
//! ```sh
//! cargo test --profile quick --test it load -- --ignored --nocapture --test-threads 1
//! ```

mod connections;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use followme::{
    grpc::pb::follow_me_service_client::FollowMeServiceClient,
    simulator::{Fault, FaultKind, Route, When},
};
use tokio::{task::JoinSet, time::Instant};
use tonic::{Code, transport::Channel};

use crate::{
    resilience::deadlines::{http2, list_on},
    support::{World, add_to, channel, list, new_number},
};

/// How long each load lasts.
const LOAD: Duration = Duration::from_secs(3);

/// What a load was answered.
#[derive(Default)]
struct Answers {
    done: Vec<Duration>,
    refused: Vec<Duration>,
    other: usize,
}

impl Answers {
    fn merge(&mut self, other: Self) {
        self.done.extend(other.done);
        self.refused.extend(other.refused);
        self.other += other.other;
    }
}

fn percentile(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        clippy::cast_sign_loss,
        reason = "an index of a list"
    )]
    let index = ((times.len().saturating_sub(1)) as f64 * part) as usize;
    times.get(index).copied().unwrap_or_default()
}

fn resident_kib() -> usize {
    std::fs::read_to_string("/proc/self/status")
        .unwrap_or_default()
        .lines()
        .find_map(|line| {
            line.strip_prefix("VmRSS:")?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .unwrap_or(0)
}

/// Calls in a loop until the time is over; `pause` lies between the calls.
async fn caller(
    mut client: FollowMeServiceClient<Channel>,
    account: i32,
    until: Instant,
    pause: Duration,
) -> Answers {
    let mut answers = Answers::default();
    while Instant::now() < until {
        let start = Instant::now();
        match client.list(list(account)).await {
            Ok(_) => answers.done.push(start.elapsed()),
            Err(status) if status.code() == Code::ResourceExhausted => {
                answers.refused.push(start.elapsed());
            }
            Err(_) => answers.other += 1,
        }
        tokio::time::sleep(pause).await;
    }
    answers
}

/// Loads the facade from eight connections.
async fn load(world: &World, callers: usize, pause: Duration) -> Answers {
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(channel(world.addr).await);
    }
    let until = Instant::now() + LOAD;
    let mut tasks = JoinSet::new();
    for number in 0..callers {
        let client = FollowMeServiceClient::new(channels[number % 8].clone());
        tasks.spawn(caller(client, 1001, until, pause));
    }
    let mut answers = Answers::default();
    while let Some(task) = tasks.join_next().await {
        answers.merge(task.expect("no panic"));
    }
    answers
}

/// Offers calls at a steady rate, whatever becomes of those before.
async fn offer(world: &World, a_second: f64) -> Answers {
    let mut channels = Vec::new();
    for _ in 0..8 {
        channels.push(channel(world.addr).await);
    }
    let start = Instant::now();
    let mut calls = JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    while start.elapsed() < LOAD {
        tick.tick().await;
        let due = start.elapsed().as_secs_f64() * a_second;
        while (calls.len() as f64) < due {
            let mut client = FollowMeServiceClient::new(channels[calls.len() % 8].clone());
            calls.spawn(async move {
                let start = Instant::now();
                let answer = client.list(list(1001)).await;
                (start.elapsed(), answer.err().map(|status| status.code()))
            });
        }
    }
    let mut answers = Answers::default();
    while let Some(call) = calls.join_next().await {
        match call.expect("no panic") {
            (took, None) => answers.done.push(took),
            (took, Some(Code::ResourceExhausted)) => answers.refused.push(took),
            (_, Some(_)) => answers.other += 1,
        }
    }
    answers
}

fn slow_reads(world: &World, ms: u64) {
    world.handle.arm(
        Fault::once(FaultKind::Delay { ms })
            .on(Route::GetAll)
            .times(u32::MAX),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn goodput_under_five_times_overload() {
    let world = World::configured(|config| {
        config.upstream.limits.requests = 16;
        config.upstream.limits.queue = 32;
    })
    .await;
    slow_reads(&world, 20);
    let seconds = LOAD.as_secs_f64();
    let rate = |answers: &Answers| answers.done.len() as f64 / seconds;
    let peak = load(&world, 32, Duration::ZERO).await;
    let before = resident_kib();
    let mut over = offer(&world, 5.0 * rate(&peak)).await;
    println!(
        "goodput: peak {:.0}/s, overload {:.0}/s ({:.0} %), offered {:.0}/s; refused {}, 99th \
         percentile of refusals {:?}; other {}; memory {} -> {} KiB",
        rate(&peak),
        rate(&over),
        100.0 * rate(&over) / rate(&peak),
        (over.done.len() + over.refused.len()) as f64 / seconds,
        over.refused.len(),
        percentile(&mut over.refused, 0.99),
        over.other,
        before,
        resident_kib(),
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn a_healthy_caller_beside_a_storm() {
    let world = World::start().await;
    slow_reads(&world, 5);
    let mut alone = caller(
        world.client(),
        1002,
        Instant::now() + LOAD,
        Duration::from_millis(5),
    )
    .await;
    let storm_channel = channel(world.addr).await;
    let until = Instant::now() + LOAD;
    let mut storm = JoinSet::new();
    for _ in 0..190 {
        let client = FollowMeServiceClient::new(storm_channel.clone());
        storm.spawn(caller(client, 1001, until, Duration::from_millis(20)));
    }
    let mut beside = caller(world.client(), 1002, until, Duration::from_millis(5)).await;
    storm.join_all().await;
    println!(
        "healthy caller: 99th percentile alone {:?}, beside a storm {:?}; refused {}, other {}",
        percentile(&mut alone.done, 0.99),
        percentile(&mut beside.done, 0.99),
        beside.refused.len(),
        beside.other,
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn retry_amplification_in_a_total_outage() {
    for breaker in [5, u32::MAX] {
        let world = World::configured(|config| {
            config.upstream.read_retries = 2;
            config.upstream.breaker.failures = breaker;
            config.operations.write_limit = Duration::from_millis(50);
        })
        .await;
        let outage = FaultKind::DefaultRecord {
            status: 503,
            when: When::Before,
        };
        world.handle.arm(
            Fault::once(outage.clone())
                .on(Route::GetAll)
                .times(u32::MAX),
        );
        let until = Instant::now() + LOAD;
        let mut callers = JoinSet::new();
        for _ in 0..16 {
            callers.spawn(caller(world.client(), 1001, until, Duration::ZERO));
        }
        let answers = callers.join_all().await;
        let calls: usize = answers.iter().map(|answers| answers.other).sum();
        let reads = world.handle.fired_count("default_record");
        world.handle.disarm_all();
        println!(
            "outage, breaker after {breaker}: {calls} reads made {reads} requests ({:.3})",
            reads as f64 / calls as f64
        );
    }
    let world = World::start().await;
    let outage = FaultKind::DefaultRecord {
        status: 503,
        when: When::Before,
    };
    world
        .handle
        .arm(Fault::once(outage).on(Route::Add).times(u32::MAX));
    for number in 0..200 {
        let name = format!("Number {number}");
        let _ = world.add(add_to(1003, new_number(&name, "15550130"))).await;
    }
    println!("outage: 200 adds made {} requests", world.writes().len());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn rolling_restart_under_load() {
    // Callers learn of a restart as from a balancer: new calls go to the next instance.
    let first = World::start().await;
    let handle = first.handle.clone();
    let mut instances = vec![Instance::start(handle.local_addr()).await];
    let (current, mut seen) = tokio::sync::watch::channel(instances[0].channel.clone());
    seen.mark_unchanged();
    let stop = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..16 {
        let (seen, stop) = (seen.clone(), Arc::clone(&stop));
        callers.spawn(async move {
            let (mut done, mut failed) = (0_u32, 0_u32);
            while !stop.load(Ordering::Relaxed) {
                let channel = seen.borrow().clone();
                match FollowMeServiceClient::new(channel).list(list(1001)).await {
                    Ok(_) => done += 1,
                    Err(_) => failed += 1,
                }
            }
            (done, failed)
        });
    }
    for _ in 0..5 {
        let next = Instance::start(handle.local_addr()).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        let old = instances.pop().expect("one runs");
        old.stop.send(()).expect("it runs");
        current.send_replace(next.channel.clone());
        drop(old.channel);
        old.ended.await.expect("no panic").expect("no error");
        instances.push(next);
    }
    stop.store(true, Ordering::Relaxed);
    let (done, failed) = callers
        .join_all()
        .await
        .into_iter()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("rolling restart, 5 times: {done} calls done, {failed} failed");
}

struct Instance {
    channel: Channel,
    stop: tokio::sync::oneshot::Sender<()>,
    ended: tokio::task::JoinHandle<std::io::Result<()>>,
}

impl Instance {
    async fn start(upstream: std::net::SocketAddr) -> Self {
        let mut config = crate::support::config(upstream);
        config.server.drain_delay = Duration::from_millis(200);
        let app = followme::app::App::build(config)
            .await
            .expect("a free port");
        let addr = app.local_addr().expect("an address");
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let ended = tokio::spawn(app.run(async {
            let _ = stopped.await;
        }));
        Self {
            channel: channel(addr).await,
            stop,
            ended,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn answers_later_than_the_deadline() {
    let world = World::start().await;
    world.handle.arm(
        Fault::once(FaultKind::Delay { ms: 400 })
            .on(Route::GetAll)
            .times(u32::MAX),
    );
    let mut late = Vec::new();
    for round in 0..40_u64 {
        let mut calls = JoinSet::new();
        for number in 0..50_u64 {
            let deadline = Duration::from_millis(40 + (round * 50 + number) % 200);
            let (client, connection) = http2(world.addr).await;
            calls.spawn(async move {
                let start = Instant::now();
                let status = list_on(&client, true, deadline).await;
                let late = start.elapsed().saturating_sub(deadline);
                assert_eq!(status.expect("the connection lives"), "4");
                connection.abort();
                late
            });
        }
        late.extend(calls.join_all().await);
    }
    let worst = late.iter().max().copied().unwrap_or_default();
    println!(
        "{} calls with deadlines of 40 to 240 ms: 99.9th percentile {:?} after the deadline, worst \
         {worst:?}",
        late.len(),
        percentile(&mut late, 0.999),
    );
}
