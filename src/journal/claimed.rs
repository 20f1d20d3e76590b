//! What a claim of a write returns.

use tokio::sync::watch;

use super::{Body, Error, Record, RecordId};

/// The result of a claim.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "it is moved once per write")]
pub enum Claimed {
    /// The write is new: carry it out.
    New(Record),
    /// An earlier attempt left it unknown or incomplete: read [`Record::stored`] and continue
    /// there.
    TakenUp(Record),
    /// It is settled: the body of its record.
    Replay(Body),
    /// Another call carries it out: wait for that, then claim again.
    InFlight(InFlight),
    /// The request id was used for another request.
    Conflict,
    /// There is no space for another record, or the caller has used up its share.
    Full,
    /// Its outcome is unknown, and its record has expired.
    Tombstone(RecordId),
    /// An earlier attempt may have sent it, and the journal can neither read its record nor take it
    /// up now.
    Unreachable(Error),
}

/// A write that another call carries out.
#[derive(Debug)]
pub struct InFlight(pub(super) watch::Receiver<()>);

impl InFlight {
    /// Waits until the other call has ended.
    pub async fn ended(mut self) {
        // The sender is dropped at the end.
        while self.0.changed().await.is_ok() {}
    }
}
