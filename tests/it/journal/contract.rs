//! The contract of the journal, over every backend: seeded interleavings of claim, begin, finish and
//! die, against a model.

use std::{collections::BTreeSet, fs, path::Path};

use followme::journal::{
    Claimed, Config, Error, Journal, Location, NewWrite, Record, RecordId, State,
};

use super::{body, directory, in_file, write, write_without_id};

/// What the journal must tell of a write, as long as nobody carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Model {
    Free,
    Open(State, i32),
    Settled(i32),
}

/// A write, who carries it out, and what is known of it.
struct Slot {
    write: NewWrite,
    /// The record, and what it is if the process dies now.
    held: Option<(Record, Model)>,
    model: Model,
    id: Option<RecordId>,
}

const SLOTS: usize = 6;

#[tokio::test]
async fn in_memory_every_write_is_what_the_model_says() {
    for seed in 0..100 {
        run(seed, Config::default()).await;
    }
}

#[tokio::test]
async fn in_a_file_every_write_is_what_the_model_says() {
    for seed in 0..30 {
        run(seed, in_file(&directory())).await;
    }
}

async fn run(seed: u64, mut config: Config) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut journal = Journal::open(&config).await.unwrap();
    let mut slots: Vec<Slot> = (0..SLOTS)
        .map(|index| Slot {
            write: match index {
                0 => write_without_id(),
                index => write(&index.to_string()),
            },
            held: None,
            model: Model::Free,
            id: None,
        })
        .collect();
    for step in 0..60 {
        let context = format!("seed {seed}, step {step}");
        if random.u32(0..20) == 0 {
            (journal, config) = die(journal, &config, &mut slots).await;
        } else {
            let slot = &mut slots[random.usize(0..SLOTS)];
            match slot.held.take() {
                None => claim(&journal, slot, &context).await,
                Some((record, now)) => {
                    go_on(slot, record, now, &mut random, step).await.unwrap();
                }
            }
        }
        check_open(&journal, &slots, &context);
    }
}

/// Claims, and compares what is found.
async fn claim(journal: &Journal, slot: &mut Slot, context: &str) {
    let claimed = loop {
        match journal.claim(&slot.write).await.unwrap() {
            // A finish that was given up is carried out all the same.
            Claimed::InFlight(in_flight) => in_flight.ended().await,
            claimed => break claimed,
        }
    };
    match (claimed, slot.model) {
        (Claimed::New(record), Model::Free) => {
            slot.id = Some(record.id());
            slot.held = Some((record, Model::Free));
        }
        (Claimed::TakenUp(mut record), Model::Open(state, stored)) => {
            assert_eq!(slot.id, Some(record.id()), "{context}");
            let found = record.stored().await.unwrap();
            assert_eq!(found, (state, Some(body(stored))), "{context}");
            slot.held = Some((record, slot.model));
        }
        (Claimed::Replay(found), Model::Settled(stored)) => {
            assert_eq!(found, body(stored), "{context}");
        }
        (claimed, model) => panic!("{context}: {model:?} was found as {claimed:?}"),
    }
    if slot.held.is_some() && slot.write.request.is_some() {
        let again = journal.claim(&slot.write).await.unwrap();
        assert!(matches!(again, Claimed::InFlight(_)), "{context}");
    }
}

/// Goes on with a record that is held.
async fn go_on(
    slot: &mut Slot,
    mut record: Record,
    now: Model,
    random: &mut fastrand::Rng,
    number: i32,
) -> Result<(), Error> {
    let content = &body(number);
    let begun = now != slot.model || matches!(now, Model::Open(State::Begun, _));
    match random.u32(0..10) {
        0..=3 => {
            if random.bool() {
                record.begin(content).await?;
            } else {
                record.update(content).await?;
            }
            slot.held = Some((record, Model::Open(State::Unknown, number)));
            return Ok(());
        }
        // A begin that is given up, and nothing sent.
        4 if !begun => {
            tokio::select! {
                biased;
                _ = record.begin(content) => {}
                () = std::future::ready(()) => {}
            }
            record.release().await?;
        }
        4 | 5 => record.release().await?,
        6 => {
            slot.model = Model::Settled(number);
            if random.bool() {
                record.settle(content).await?;
            } else {
                // The caller goes: it is settled all the same.
                tokio::select! {
                    biased;
                    _ = record.settle(content) => {}
                    () = std::future::ready(()) => {}
                }
            }
        }
        7 => {
            record.leave_unknown(content).await?;
            slot.model = Model::Open(State::Unknown, number);
        }
        8 => {
            record.leave_incomplete(content).await?;
            slot.model = Model::Open(State::Incomplete, number);
        }
        _ if random.bool() => {
            record.forget().await?;
            slot.model = Model::Free;
        }
        _ => {
            drop(record);
            slot.model = now;
        }
    }
    // Without a request id nobody can claim it again.
    if slot.write.request.is_none() {
        slot.model = Model::Free;
    }
    Ok(())
}

/// The process dies: what is on the disk is all that the next one knows.
async fn die(journal: Journal, config: &Config, slots: &mut [Slot]) -> (Journal, Config) {
    // What was given up may still be on its way.
    journal.sweep().await;
    let config = match &config.location {
        Location::Memory => Config::default(),
        Location::File(path) => in_file(&copy(path)),
    };
    for slot in slots {
        let held = slot.held.take().map(|(_, now)| now);
        slot.model = match config.location {
            Location::Memory => Model::Free,
            Location::File(_) => held.unwrap_or(slot.model),
        };
        if slot.write.request.is_none() {
            slot.model = Model::Free;
        }
    }
    (Journal::open(&config).await.unwrap(), config)
}

fn copy(path: &Path) -> std::path::PathBuf {
    let to = directory();
    for name in ["followme.sqlite3", "followme.sqlite3-wal"] {
        fs::copy(path.with_file_name(name), to.join(name)).unwrap();
    }
    to
}

/// Compares the open writes that have a request id.
fn check_open(journal: &Journal, slots: &[Slot], context: &str) {
    let open: BTreeSet<_> = journal.all_open().into_iter().map(|(id, _)| id).collect();
    for slot in slots.iter().filter(|slot| slot.write.request.is_some()) {
        let model = slot.held.as_ref().map_or(slot.model, |(_, now)| *now);
        let is_open = matches!(model, Model::Open(..));
        if let Some(id) = slot.id.filter(|_| slot.held.is_some() || is_open) {
            assert_eq!(open.contains(&id), is_open, "{context}: {model:?}");
        }
    }
}
