//! What became of the writes that callers gave an id (AIP-155), so that a write can be asked for
//! again without being done again.
//!
//! Kept in memory, for a time, bounded in number and bytes. A shared store would take the place of
//! [`RequestIds`] and nothing else.

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::watch, time::Instant};

use super::{Error, Fingerprint, effect::Effect, gate::Gate, write::Reply};
use crate::domain::{FieldSet, License, Method};

/// An id that a caller gave a write: 1 to 64 visible ASCII characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

impl RequestId {
    /// Takes an id.
    ///
    /// # Errors
    /// Says what to do where it is none.
    pub fn new(text: &str) -> Result<Self, &'static str> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=64).contains(&text.len()) {
            Ok(Self(text.to_owned()))
        } else {
            Err("must be 1 to 64 visible ASCII characters, for example a UUID")
        }
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Where an id holds: what one caller does with one License by one RPC.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) caller: String,
    pub(super) license: License,
    pub(super) method: Method,
    pub(super) id: RequestId,
}

/// How long and how much is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long after its end a write is remembered.
    pub ttl: Duration,
    /// How many writes are remembered.
    pub entries: usize,
    /// How many bytes their outcomes may take, about.
    pub bytes: usize,
}

/// The writes that are remembered.
#[derive(Debug, Clone)]
pub(super) struct RequestIds {
    limits: Limits,
    table: Arc<Mutex<Table>>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Key, Entry>,
    /// The finished ones, by the time of their end. One that was taken up again since stands here
    /// with an old time, and is passed over.
    finished: VecDeque<(Instant, Key)>,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    fingerprint: Fingerprint,
    state: State,
    bytes: usize,
}

enum State {
    /// The receivers are told when it changes.
    Running(watch::Receiver<()>),
    Finished(Instant, Memory),
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Running(_) => "Running",
            Self::Finished(..) => "Finished",
        })
    }
}

/// What is remembered of a write.
#[derive(Debug, Clone)]
pub(super) enum Memory {
    /// It is over, and this is the answer.
    Final(Result<Arc<Reply>, Arc<Error>>),
    /// It was sent and may have been done; the effect tells what to look for.
    Unknown(Option<Effect>),
    /// It was done, but for fields of which nobody knows whether they took; the effect tells what
    /// the number shall be.
    Rest(Effect, FieldSet),
    /// A replace-all that stopped on its way: it goes on.
    Incomplete(Option<Effect>),
}

/// How a call with an id goes on.
pub(super) enum Entered {
    /// By doing it, and telling the ticket.
    Do(Box<Ticket>, Option<Memory>),
    /// By answering this.
    Answer(Result<Arc<Reply>, Arc<Error>>),
    /// By waiting for the one that is at it, and asking again.
    Wait(watch::Receiver<()>),
    /// Not at all: the id was used for something else.
    Conflict,
    /// Not at all: there is no room to remember it.
    Full,
}

impl RequestIds {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            limits,
            table: Arc::default(),
        }
    }

    /// Looks an id up, and takes it where nobody is at it.
    pub(super) fn enter(&self, key: &Key, fingerprint: Fingerprint, gate: &Gate) -> Entered {
        let mut table = self.table();
        let table = &mut *table;
        table.forget_old(self.limits.ttl);
        let memory = match table.entries.get(key) {
            Some(entry) if entry.fingerprint != fingerprint => return Entered::Conflict,
            Some(Entry {
                state: State::Running(running),
                ..
            }) => return Entered::Wait(running.clone()),
            Some(Entry {
                state: State::Finished(_, Memory::Final(answer)),
                ..
            }) => return Entered::Answer(answer.clone()),
            Some(Entry {
                state: State::Finished(_, memory),
                ..
            }) => Some(memory.clone()),
            None => {
                if !table.make_room(&self.limits) {
                    return Entered::Full;
                }
                None
            }
        };
        let (sender, receiver) = watch::channel(());
        table.replace(key, fingerprint, State::Running(receiver), 0);
        let ticket = Ticket {
            ids: self.clone(),
            key: key.clone(),
            fingerprint,
            gate: gate.clone(),
            // What was not settled stays as it was, whatever becomes of this try.
            otherwise: memory.clone(),
            _sender: sender,
            told: false,
        };
        Entered::Do(Box::new(ticket), memory)
    }

    fn table(&self) -> std::sync::MutexGuard<'_, Table> {
        // No code that can panic runs while it is held.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn replace(&mut self, key: &Key, fingerprint: Fingerprint, state: State, bytes: usize) {
        let finished = match state {
            State::Finished(at, _) => Some(at),
            State::Running(_) => None,
        };
        self.bytes += bytes;
        let entry = Entry {
            fingerprint,
            state,
            bytes,
        };
        if let Some(old) = self.entries.insert(key.clone(), entry) {
            self.bytes -= old.bytes;
        }
        if let Some(at) = finished {
            self.finished.push_back((at, key.clone()));
            // An id that is taken up again and again leaves a place behind each time.
            if self.finished.len() > 2 * self.entries.len() {
                let entries = &self.entries;
                self.finished
                    .retain(|(at, key)| is_current(entries, key, *at));
            }
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(old) = self.entries.remove(key) {
            self.bytes -= old.bytes;
        }
    }

    /// Forgets the oldest finished write. Returns its time, or `None` where there is none.
    fn forget_oldest(&mut self) -> Option<Instant> {
        let (at, key) = self.finished.pop_front()?;
        if is_current(&self.entries, &key, at) {
            self.remove(&key);
        }
        Some(at)
    }

    fn forget_old(&mut self, ttl: Duration) {
        while self
            .finished
            .front()
            .is_some_and(|(at, _)| at.elapsed() >= ttl)
        {
            self.forget_oldest();
        }
    }

    /// Makes room for one more. Fails where all are still running.
    fn make_room(&mut self, limits: &Limits) -> bool {
        while self.entries.len() >= limits.entries || self.bytes >= limits.bytes {
            if self.forget_oldest().is_none() {
                return false;
            }
        }
        true
    }
}

/// Tells whether a write is still the one that was finished at a time.
fn is_current(entries: &HashMap<Key, Entry>, key: &Key, at: Instant) -> bool {
    matches!(
        entries.get(key),
        Some(Entry { state: State::Finished(of, _), .. }) if *of == at
    )
}

/// The right to do the write of an id. What became of it must be told; dropped untold, the id is
/// free again where nothing was sent, and its outcome unknown where something was.
pub(super) struct Ticket {
    ids: RequestIds,
    key: Key,
    fingerprint: Fingerprint,
    gate: Gate,
    otherwise: Option<Memory>,
    /// Dropping it wakes those who wait.
    _sender: watch::Sender<()>,
    told: bool,
}

impl Ticket {
    /// Remembers what became of the write, or frees the id where nothing is to be remembered.
    pub(super) fn tell(mut self: Box<Self>, result: &Result<Arc<Reply>, Arc<Error>>) {
        let memory = match result {
            Ok(_) => Some(Memory::Final(result.clone())),
            Err(error) => match &**error {
                Error::OutcomeUnknown { effect, .. } => {
                    Some(Memory::Unknown(Some((**effect).clone())))
                }
                Error::RestUnknown { effect, fields, .. } => {
                    Some(Memory::Rest((**effect).clone(), *fields))
                }
                Error::ReplaceIncomplete(incomplete)
                    if incomplete.wrote || self.otherwise.is_some() =>
                {
                    Some(Memory::Incomplete(incomplete.pending.clone()))
                }
                // Its first steps are done, and it can go on.
                Error::WroteTooMuch { .. } if self.key.method == Method::ReplaceAll => {
                    Some(Memory::Incomplete(None))
                }
                error if error.write_was_done() => Some(Memory::Final(result.clone())),
                // Not done: of this try nothing is left. What an earlier one left unsettled stays,
                // unless this one wrote after settling it.
                _ if self.gate.begun() => None,
                _ => self.otherwise.take(),
            },
        };
        self.remember(memory);
    }

    fn remember(&mut self, memory: Option<Memory>) {
        self.told = true;
        let mut table = self.ids.table();
        match memory {
            Some(memory) => {
                let bytes = memory.bytes() + self.key.id.as_str().len() + self.key.caller.len();
                let state = State::Finished(Instant::now(), memory);
                table.replace(&self.key, self.fingerprint, state, bytes);
            }
            None => table.remove(&self.key),
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.told {
            let memory = if self.gate.begun() {
                // The task died in the middle of it.
                Some(self.otherwise.take().unwrap_or(Memory::Unknown(None)))
            } else {
                self.otherwise.take()
            };
            self.remember(memory);
        }
    }
}

impl Memory {
    /// About how much memory it takes.
    fn bytes(&self) -> usize {
        const ENTRY: usize = 512;
        ENTRY
            + match self {
                Self::Final(Ok(reply)) => reply.bytes(),
                Self::Final(Err(_)) => 0,
                Self::Rest(effect, _) => effect.bytes(),
                Self::Unknown(effect) | Self::Incomplete(effect) => {
                    effect.as_ref().map_or(0, Effect::bytes)
                }
            }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{List, NumberId};

    #[test]
    fn an_id_that_is_taken_up_again_and_again_takes_no_more_memory() {
        let ids = RequestIds::new(Limits {
            ttl: Duration::from_secs(3600),
            entries: 100,
            bytes: 1 << 20,
        });
        let key = |id: &str| Key {
            caller: String::new(),
            license: License::new("L").unwrap(),
            method: Method::Add,
            id: RequestId::new(id).unwrap(),
        };
        let take = |id: &str| match ids.enter(&key(id), [0; 32], &Gate::default()) {
            Entered::Do(ticket, memory) => (ticket, memory),
            _ => panic!("the id is free"),
        };
        let unknown = || {
            Err(Arc::new(Error::OutcomeUnknown {
                effect: Box::new(Effect::delete(&List::default(), NumberId::new(1).unwrap())),
                candidates: Vec::new(),
                source: None,
            }))
        };
        for id in ["first", "second"] {
            take(id).0.tell(&unknown());
        }
        for _ in 0..1000 {
            let (ticket, memory) = take("first");
            assert!(matches!(memory, Some(Memory::Unknown(Some(_)))));
            ticket.tell(&unknown());
        }
        let mut table = ids.table();
        assert!(table.finished.len() <= 4, "{}", table.finished.len());
        // The order is still that of their ends.
        while table.entries.len() > 1 {
            table.forget_oldest();
        }
        assert!(table.entries.contains_key(&key("first")));
    }
}
