//! Requests of operators to the running process. `followme journal` writes a request into the
//! journal; the process carries it out and writes the answer.

use std::collections::HashSet;

use rusqlite::Connection;
use tokio::sync::mpsc;

use super::{
    RecordId,
    store::{Change, Store},
};
use crate::domain::NumberId;

/// The maximum number of requests that wait.
const QUEUE: usize = 64;

/// The action that an operator requests for a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Settle it as applied; an add, to this number.
    Applied(Option<NumberId>),
    /// Settle it as not applied: its request id is free again.
    NotApplied,
    /// Resume a replace-all that stopped between two steps.
    Resume,
}

impl Action {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Applied(_) => "applied",
            Self::NotApplied => "not_applied",
            Self::Resume => "resume",
        }
    }

    pub(super) fn number(self) -> Option<i32> {
        match self {
            Self::Applied(number) => number.map(NumberId::value),
            Self::NotApplied | Self::Resume => None,
        }
    }

    fn from_stored(name: &str, number: Option<i32>) -> Option<Self> {
        match name {
            "applied" => Some(Self::Applied(number.and_then(NumberId::new))),
            "not_applied" => Some(Self::NotApplied),
            "resume" => Some(Self::Resume),
            _ => None,
        }
    }
}

/// A request as it is stored.
#[derive(Debug)]
struct Stored {
    id: i64,
    record: RecordId,
    action: Action,
    operator: String,
}

/// The requests of operators, in the order in which they came.
pub struct OperatorRequests {
    stored: mpsc::Receiver<Stored>,
    store: Store,
}

/// A request of an operator. Dropped without an answer, it is handed out again after a restart.
pub struct OperatorRequest {
    stored: Stored,
    store: Store,
}

impl OperatorRequests {
    /// Returns the next request, when there is one; `None` after the journal has ended.
    pub async fn next(&mut self) -> Option<OperatorRequest> {
        Some(OperatorRequest {
            stored: self.stored.recv().await?,
            store: self.store.clone(),
        })
    }
}

impl OperatorRequest {
    /// Returns the record that it is about.
    #[must_use]
    pub fn record(&self) -> RecordId {
        self.stored.record
    }

    /// Returns the action.
    #[must_use]
    pub fn action(&self) -> Action {
        self.stored.action
    }

    /// Returns the name of the operator, for the audit log.
    #[must_use]
    pub fn operator(&self) -> &str {
        &self.stored.operator
    }

    /// Answers the operator: what was done, or why nothing was.
    pub fn answer(self, answer: Result<String, String>) {
        self.store
            .finish_unattended(vec![Change::Answer(self.stored.id, answer)]);
    }
}

/// Finds requests in the file and hands them out.
pub(super) struct Inbox {
    out: mpsc::Sender<Stored>,
    /// The requests that were handed out already.
    handed_out: HashSet<i64>,
    /// The state of the file in which there was none left, as SQLite counts the writes of others.
    seen: Option<i64>,
}

/// The receiving end of an [`Inbox`].
pub(super) struct Outlet(mpsc::Receiver<Stored>);

impl Outlet {
    pub(super) fn with(self, store: Store) -> OperatorRequests {
        OperatorRequests {
            stored: self.0,
            store,
        }
    }
}

pub(super) fn inbox() -> (Inbox, Outlet) {
    let (out, requests) = mpsc::channel(QUEUE);
    let inbox = Inbox {
        out,
        handed_out: HashSet::new(),
        seen: None,
    };
    (inbox, Outlet(requests))
}

impl Inbox {
    /// Hands out the requests that came since the last time.
    pub(super) fn hand_out(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let version = connection.pragma_query_value(None, "data_version", |row| row.get(0))?;
        if self.seen == Some(version) {
            return Ok(());
        }
        let mut statement = connection.prepare_cached(
            "select id, record, action, number, operator from request where done is null
             order by id",
        )?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let id = row.get(0)?;
            let action = Action::from_stored(&row.get::<_, String>(2)?, row.get(3)?);
            let Some(action) = action.filter(|_| !self.handed_out.contains(&id)) else {
                continue;
            };
            let request = Stored {
                id,
                record: RecordId::from_bytes(row.get(1)?),
                action,
                operator: row.get(4)?,
            };
            if self.out.try_send(request).is_err() {
                // Found again at the next look.
                return Ok(());
            }
            self.handed_out.insert(id);
        }
        self.seen = Some(version);
        Ok(())
    }
}
