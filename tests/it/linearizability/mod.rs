//! Histories: many callers write to an account at once, with and without request ids and etags, go
//! away or run out of time, while upstream delays, breaks and lies, the facade crashes and is built
//! anew over its journal, its License is rotated, and somebody writes behind its back. The
//! simulator's log of effects is the truth; no answer may contradict it, whatever the timing.
//!
//! A history follows from its seed; when things happen does not. `cargo test` runs 1,000. More, or
//! others:
//!
//! ```text
//! FOLLOWME_HISTORIES=100000 FOLLOWME_SEED=1 cargo test --profile quick --test it linearizability -- --nocapture
//! ```
//!
//! That prints figures, and for each failure its seed and its log.

mod front;
mod judge;
mod judge_tests;
mod log;
mod plan;
mod play;
mod quiescence;

use std::{collections::BTreeMap, sync::Arc};

use tokio::{sync::Semaphore, task::JoinSet};

use front::{Crashes, Front};
use judge::{Judged, judge};
use log::History;
use plan::Host;

/// How many histories share a facade and a simulator, whose log is bounded.
const BATCH: usize = 50;
/// How many batches run at once, and how many histories of each: so many that the machine is not
/// what most calls wait for.
const BATCHES_AT_ONCE: usize = 2;
const HISTORIES_AT_ONCE: usize = 15;
/// How many histories are played unless a setting says otherwise: so many that every kind of fault
/// acts.
const USUAL: u64 = 1000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_history_contradicts_the_truth() {
    let histories = setting("FOLLOWME_HISTORIES", USUAL);
    let seed = setting("FOLLOWME_SEED", 1);
    let mut figures = Figures::default();
    let mut batches = JoinSet::new();
    let mut chunks = chunks(seed, histories);
    chunks.reverse();
    while !chunks.is_empty() || !batches.is_empty() {
        if batches.len() < BATCHES_AT_ONCE
            && let Some(chunk) = chunks.pop()
        {
            batches.spawn(batch(chunk));
        } else if let Some(batch) = batches.join_next().await {
            figures.count(batch.expect("the batch ends"));
        }
    }
    println!("{figures}");
    for failure in &figures.failures {
        println!("{failure}");
    }
    assert!(figures.failures.is_empty(), "each is printed above");
    if histories >= USUAL {
        for kind in plan::KINDS {
            assert!(figures.faults.contains_key(kind), "{kind}: no fault acted");
        }
    }
}

#[test]
fn the_histories_arm_every_kind_of_fault() {
    let mut armed: BTreeMap<&str, u32> = BTreeMap::new();
    for fault in (1..=USUAL).flat_map(|seed| plan::Plan::new(seed).faults) {
        *armed.entry(plan::kind(&fault.kind)).or_default() += 1;
    }
    for kind in plan::KINDS {
        let count = armed.get(kind).copied().unwrap_or_default();
        assert!(count >= 25, "{kind}: {count} faults");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how much a test tries is no configuration of the facade"
)]
fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().expect("the setting is a number"),
        Err(_) => default,
    }
}

/// Histories that shared a facade, and how often each kind of fault acted.
struct Batch {
    histories: Vec<History>,
    faults: BTreeMap<&'static str, u64>,
    crashes: u64,
}

/// Splits the seeds into those that share facades and a simulator.
fn chunks(seed: u64, histories: u64) -> Vec<(Host, Vec<u64>)> {
    let mut open: Vec<(Host, Vec<u64>)> = Host::ALL.map(|host| (host, Vec::new())).into();
    let mut chunks = Vec::new();
    for seed in (0..histories).map(|offset| seed.wrapping_add(offset)) {
        for (host, seeds) in &mut open {
            if *host == Host::of(seed) {
                seeds.push(seed);
                if seeds.len() == BATCH {
                    chunks.push((*host, std::mem::take(seeds)));
                }
            }
        }
    }
    chunks.extend(open.into_iter().filter(|(_, seeds)| !seeds.is_empty()));
    chunks
}

async fn batch((host, seeds): (Host, Vec<u64>)) -> Batch {
    let front = Arc::new(Front::start(host).await);
    let crashes = host
        .crashes()
        .then(|| Crashes::start(&front, seeds.first().copied().unwrap_or_default()));
    let mut playing = JoinSet::new();
    let permits = Arc::new(Semaphore::new(HISTORIES_AT_ONCE));
    for (account, seed) in (1001..).zip(seeds) {
        let (permits, front) = (Arc::clone(&permits), Arc::clone(&front));
        playing.spawn(async move {
            let _permit = permits.acquire().await;
            play::play(front, account, seed).await
        });
    }
    let mut histories = playing.join_all().await;
    let crashes = match crashes {
        Some(crashes) => crashes.end().await,
        None => 0,
    };
    quiescence::wait_for_late_effects(&front.handle).await;
    let mut changes = log::changes(&front.handle);
    for history in &mut histories {
        history.changes = changes.remove(&history.account).unwrap_or_default();
        history.last = log::held(&front.handle, history.account);
    }
    let mut faults = BTreeMap::new();
    for fired in front.handle.fired() {
        *faults.entry(plan::kind(&fired.kind)).or_default() += 1;
    }
    Batch {
        histories,
        faults,
        crashes,
    }
}

#[derive(Default)]
struct Figures {
    histories: u64,
    calls: u64,
    effects: usize,
    answers: BTreeMap<String, u64>,
    faults: BTreeMap<&'static str, u64>,
    crashes: u64,
    judged: Judged,
    failures: Vec<String>,
}

impl Figures {
    fn count(&mut self, batch: Batch) {
        for (kind, count) in batch.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.crashes += batch.crashes;
        for history in batch.histories {
            self.histories += 1;
            self.effects += history.changes.len();
            for call in &history.calls {
                self.calls += 1;
                let label = format!("{} {}", call.asked.rpc(), call.answer.label());
                *self.answers.entry(label).or_default() += 1;
            }
            match judge(&history) {
                Ok(judged) => self.judged.add(judged),
                Err(problem) => {
                    self.failures.push(format!("{problem}\n{history}"));
                }
            }
        }
    }
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            histories,
            calls,
            effects,
            crashes,
            judged,
            failures,
            ..
        } = self;
        writeln!(
            f,
            "{histories} histories, {calls} calls, {effects} effects, {crashes} crashes, {} failures",
            failures.len(),
        )?;
        writeln!(f, "{judged:?}")?;
        for (answer, count) in &self.answers {
            writeln!(f, "{count:>8} {answer}")?;
        }
        writeln!(f, "faults that acted:")?;
        for (kind, count) in &self.faults {
            writeln!(f, "{count:>8} {kind}")?;
        }
        Ok(())
    }
}
