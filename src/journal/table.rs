//! The records in memory, without their bodies: claims, states, and the usage of each caller. The
//! bodies are in SQLite.

use std::collections::{BTreeSet, HashMap};

use tokio::sync::watch;

use super::{RecordId, State, seal::Hash};

/// About what an entry takes besides its body, in memory and in the file.
const ENTRY_BYTES: usize = 256;

/// How much may be remembered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub(super) entries: usize,
    pub(super) bytes: usize,
    pub(super) caller_share: f64,
    /// How long a settled record is kept, and the body of an unknown one after the last call for
    /// it, in milliseconds.
    pub(super) ttl: i64,
    /// How long an open record is kept after the last call for it, in milliseconds.
    pub(super) unknown_ttl: i64,
}

/// A record without its body.
#[derive(Debug, Clone)]
pub(super) struct About {
    /// The request id, and whose; `None` for a write without one.
    pub(super) key: Option<Hash>,
    pub(super) account: Hash,
    pub(super) caller: Hash,
    pub(super) fingerprint: Hash,
}

#[derive(Debug)]
pub(super) struct Entry {
    pub(super) about: About,
    pub(super) state: State,
    /// When it reached its state, or a call asked for it last.
    pub(super) at: i64,
    pub(super) body_bytes: usize,
    /// Held while a process works on it; its end wakes those who wait.
    pub(super) running: Option<watch::Sender<()>>,
}

impl Entry {
    fn bytes(&self) -> usize {
        ENTRY_BYTES + self.body_bytes
    }
}

/// The records of one upstream.
#[derive(Debug)]
pub(super) struct Table {
    bounds: Bounds,
    entries: HashMap<RecordId, Entry>,
    keys: HashMap<Hash, RecordId>,
    /// The open records of each account that has any.
    open: HashMap<Hash, BTreeSet<RecordId>>,
    callers: HashMap<Hash, Use>,
    by_state: [usize; 6],
    bytes: usize,
    evicted: u64,
}

/// The usage of one caller.
#[derive(Debug, Default)]
struct Use {
    entries: usize,
    bytes: usize,
    /// The settled records, by the time of their end.
    settled: BTreeSet<(i64, RecordId)>,
}

/// The result of a claim.
#[derive(Debug)]
pub(super) enum Found {
    New,
    TakenUp(State),
    Settled,
    InFlight(watch::Receiver<()>),
    Conflict,
    Full,
    Tombstone,
}

/// What is due, as [`Table::sweep`] finds it.
#[derive(Debug, Default)]
pub(super) struct Due {
    pub(super) delete: Vec<RecordId>,
    /// Unknown records whose bodies expire, and when a call asked for each last.
    pub(super) shrink: Vec<(RecordId, i64)>,
}

impl Table {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: HashMap::new(),
            keys: HashMap::new(),
            open: HashMap::new(),
            callers: HashMap::new(),
            by_state: [0; 6],
            bytes: 0,
            evicted: 0,
        }
    }

    /// Looks a request id up, and claims its record unless another call has. If there is no record,
    /// it makes one with the new id, and adds the records to delete for space to the evicted ones.
    pub(super) fn claim(
        &mut self,
        new: RecordId,
        about: About,
        now: i64,
        evicted: &mut Vec<RecordId>,
    ) -> (RecordId, Found) {
        if let Some(id) = about.key.and_then(|key| self.keys.get(&key).copied())
            && let Some(found) = self.find(id, &about.fingerprint, now, evicted)
        {
            return (id, found);
        }
        if !self.admit(&about.caller, evicted) {
            return (new, Found::Full);
        }
        let entry = Entry {
            about,
            state: State::Claimed,
            at: now,
            body_bytes: 0,
            running: Some(watch::Sender::default()),
        };
        self.insert(new, entry);
        (new, Found::New)
    }

    /// Returns what there is of a record; `None` where its time is over.
    fn find(
        &mut self,
        id: RecordId,
        fingerprint: &Hash,
        now: i64,
        expired: &mut Vec<RecordId>,
    ) -> Option<Found> {
        let entry = self.entries.get_mut(&id)?;
        if entry.state == State::Settled && now - entry.at >= self.bounds.ttl {
            self.remove(id);
            expired.push(id);
            return None;
        }
        if entry.about.fingerprint != *fingerprint {
            return Some(Found::Conflict);
        }
        if let Some(running) = &entry.running {
            return Some(Found::InFlight(running.subscribe()));
        }
        Some(match entry.state {
            State::Settled => Found::Settled,
            State::Tombstone => {
                entry.at = now;
                Found::Tombstone
            }
            State::Claimed | State::Begun | State::Unknown | State::Incomplete => {
                entry.at = now;
                entry.running = Some(watch::Sender::default());
                Found::TakenUp(entry.state)
            }
        })
    }

    /// Looks a request id up without claiming its record; `None` if nothing was sent under it.
    pub(super) fn look_up(&self, about: &About, now: i64) -> Option<(RecordId, Found)> {
        let id = *self.keys.get(&about.key?)?;
        let entry = self.entries.get(&id)?;
        let found = match (entry.state, &entry.running) {
            (State::Claimed, _) => return None,
            (State::Settled, _) if now - entry.at >= self.bounds.ttl => return None,
            _ if entry.about.fingerprint != about.fingerprint => Found::Conflict,
            (_, Some(running)) => Found::InFlight(running.subscribe()),
            (State::Settled, None) => Found::Settled,
            (State::Tombstone, None) => Found::Tombstone,
            (state, None) => Found::TakenUp(state),
        };
        Some((id, found))
    }

    /// Claims an open record, unless it is claimed already.
    pub(super) fn claim_open(&mut self, id: RecordId) -> Option<&Entry> {
        let entry = self.entries.get_mut(&id)?;
        if !entry.state.is_open() || entry.running.is_some() {
            return None;
        }
        entry.running = Some(watch::Sender::default());
        Some(entry)
    }

    /// Makes space for one more record of a caller, by evicting its own settled records only.
    fn admit(&mut self, caller: &Hash, evicted: &mut Vec<RecordId>) -> bool {
        let Bounds {
            entries,
            bytes,
            caller_share,
            ..
        } = self.bounds;
        loop {
            let used = self.callers.get(caller);
            let (own_entries, own_bytes) = used.map_or((0, 0), |used| (used.entries, used.bytes));
            if self.entries.len() < entries
                && self.bytes < bytes
                && own_entries < share(entries, caller_share)
                && own_bytes < share(bytes, caller_share)
            {
                return true;
            }
            let Some(&(_, oldest)) = used.and_then(|used| used.settled.first()) else {
                return false;
            };
            self.remove(oldest);
            self.evicted += 1;
            evicted.push(oldest);
        }
    }

    pub(super) fn insert(&mut self, id: RecordId, entry: Entry) {
        if let Some(key) = entry.about.key {
            self.keys.insert(key, id);
        }
        self.link(id, &entry);
        self.entries.insert(id, entry);
    }

    pub(super) fn remove(&mut self, id: RecordId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.unlink(id, &entry);
            if let Some(key) = entry.about.key {
                self.keys.remove(&key);
            }
        }
    }

    /// Changes a record, where there is one.
    pub(super) fn update(&mut self, id: RecordId, change: impl FnOnce(&mut Entry)) {
        if let Some(mut entry) = self.entries.remove(&id) {
            self.unlink(id, &entry);
            change(&mut entry);
            self.link(id, &entry);
            self.entries.insert(id, entry);
        }
    }

    pub(super) fn get(&self, id: RecordId) -> Option<&Entry> {
        self.entries.get(&id)
    }

    /// Returns the open records of an account, but for one.
    pub(super) fn open_of(&self, account: &Hash, but: RecordId) -> Vec<RecordId> {
        self.open
            .get(account)
            .into_iter()
            .flatten()
            .copied()
            .filter(|id| *id != but)
            .collect()
    }

    pub(super) fn all_open(&self) -> Vec<(RecordId, State)> {
        let open = self.open.values().flatten();
        open.filter_map(|id| Some((*id, self.entries.get(id)?.state)))
            .filter(|(_, state)| *state != State::Tombstone)
            .collect()
    }

    /// Takes out what is due: settled records after their TTL, and open ones that nobody asked
    /// about for long.
    pub(super) fn sweep(&mut self, now: i64) -> Due {
        let Bounds {
            ttl, unknown_ttl, ..
        } = self.bounds;
        let mut due = Due::default();
        for used in self.callers.values() {
            let settled = used.settled.iter();
            let over = settled.take_while(|(at, _)| now - at >= ttl);
            due.delete.extend(over.map(|(_, id)| *id));
        }
        for id in self.open.values().flatten() {
            let Some(entry) = self.entries.get(id).filter(|entry| entry.running.is_none()) else {
                continue;
            };
            let unasked = now - entry.at;
            if unasked >= unknown_ttl {
                due.delete.push(*id);
            } else if unasked >= ttl && entry.state == State::Unknown {
                due.shrink.push((*id, entry.at));
            }
        }
        for id in &due.delete {
            self.remove(*id);
        }
        for (id, _) in &due.shrink {
            self.update(*id, |entry| {
                entry.state = State::Tombstone;
                entry.body_bytes = 0;
            });
        }
        due
    }

    pub(super) fn figures(&self) -> Figures {
        Figures {
            by_state: self.by_state,
            bytes: self.bytes,
            evicted: self.evicted,
            commits: 0,
        }
    }

    fn link(&mut self, id: RecordId, entry: &Entry) {
        let used = self.callers.entry(entry.about.caller).or_default();
        used.entries += 1;
        used.bytes += entry.bytes();
        self.bytes += entry.bytes();
        self.by_state[entry.state as usize] += 1;
        if entry.state == State::Settled {
            used.settled.insert((entry.at, id));
        }
        if entry.state.is_open() {
            self.open.entry(entry.about.account).or_default().insert(id);
        }
    }

    fn unlink(&mut self, id: RecordId, entry: &Entry) {
        self.bytes -= entry.bytes();
        self.by_state[entry.state as usize] -= 1;
        if let Some(used) = self.callers.get_mut(&entry.about.caller) {
            used.entries -= 1;
            used.bytes -= entry.bytes();
            used.settled.remove(&(entry.at, id));
            if used.entries == 0 {
                self.callers.remove(&entry.about.caller);
            }
        }
        if let Some(open) = self.open.get_mut(&entry.about.account) {
            open.remove(&id);
            if open.is_empty() {
                self.open.remove(&entry.about.account);
            }
        }
    }
}

/// The number of records, and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// How many records there are in each state, in the order of [`State`].
    pub by_state: [usize; 6],
    /// How many bytes they take, about.
    pub bytes: usize,
    /// How many settled records were evicted since the process started.
    pub evicted: u64,
    /// How many commits there were, since the process started.
    pub commits: u64,
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a share of a bound, to the nearest"
)]
fn share(bound: usize, share: f64) -> usize {
    ((bound as f64 * share) as usize).max(1)
}
