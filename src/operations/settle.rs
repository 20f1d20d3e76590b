//! What became of a write: settled by reading the list.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{
    Error, Operations, Run,
    effect::{Effect, Judgement},
    not_done,
};
use crate::{
    domain::{List, NumberId},
    telemetry::{
        in_flight::Phase,
        metrics::{self, WriteOutcome},
    },
    upstream::{self, Backoff, Written},
};

/// How long to wait before reading again: from the first to the last, doubling.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// How long a write is looked for that upstream says it did and that does not show.
///
/// A list may lag behind. But the word is weak (docs/upstream/domain.md 2), and a delete that needs
/// `isDeleteForward` (docs/upstream/domain.md 4) never shows, so the account is not kept waiting
/// for longer.
pub(super) const PATIENCE: Duration = Duration::from_secs(1);

/// What became of a write.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It had its effect: the list shows it at this number.
    Done(List, NumberId),
    /// It had none and will have none.
    NotDone(List),
    /// Nobody knows; each of these may be its effect.
    Unknown(Vec<NumberId>),
}

/// Tells whether the service is done with a request that failed: an answer came. A gateway that
/// lost the service, or its patience, says nothing about that.
pub(super) fn is_over(error: &upstream::Error) -> bool {
    error.answered()
}

/// Tells whether upstream says that it did a write.
pub(super) fn says_done(sent: &Result<Written, upstream::Error>) -> bool {
    sent.as_ref()
        .is_ok_and(|written| written.success != Some(false))
}

impl Operations {
    /// Finds out what became of a write that was sent, within its limit. Returns the list that
    /// shows its effect, and the number.
    ///
    /// # Errors
    /// [`Error::Refused`], [`Error::NotDone`], [`Error::OutcomeUnknown`]; [`Error::Upstream`] where
    /// access was denied.
    pub(super) async fn settled(
        &self,
        run: &Run,
        sent: Result<Written, upstream::Error>,
        effect: Effect,
    ) -> Result<(List, NumberId), Error> {
        let outcome = match self.settle(run, &sent, &effect).await {
            // Without upstream's word it may be that of another add, which came late.
            Outcome::Done(list, id)
                if !says_done(&sent)
                    && list.find(id).is_some_and(|found| {
                        self.unsettled.may_be_anothers(run, &effect, found)
                    }) =>
            {
                Outcome::Unknown(vec![id])
            }
            outcome => outcome,
        };
        match &outcome {
            Outcome::Done(_, id) => self.unsettled.settle(run, &effect, *id),
            Outcome::Unknown(_) => self.unsettled.remember(run, &effect),
            Outcome::NotDone(_) => {}
        }
        metrics::write(
            effect.name(),
            match &outcome {
                Outcome::Done(..) if sent.is_ok() => WriteOutcome::Done,
                Outcome::Done(..) => WriteOutcome::Settled,
                Outcome::NotDone(_) => WriteOutcome::NotDone,
                Outcome::Unknown(_) => WriteOutcome::Unknown,
            },
        );
        match outcome {
            Outcome::Done(list, id) => Ok((list, id)),
            Outcome::NotDone(_) => Err(not_done(&run.call, sent)),
            Outcome::Unknown(candidates) => Err(Error::OutcomeUnknown {
                effect: Box::new(effect),
                candidates,
                source: sent.err(),
            }),
        }
    }

    /// The list of the answer is taken where it shows the whole effect, else the list is read, until
    /// it shows the effect. That a write had no effect is concluded only after an answer: without one
    /// the service may still be at it. An add that upstream says it did may show late, so its outcome
    /// is unknown: else it would be added twice. A delete is as good done twice.
    #[tracing::instrument(name = "settle", skip_all)]
    pub(super) async fn settle(
        &self,
        run: &Run,
        sent: &Result<Written, upstream::Error>,
        effect: &Effect,
    ) -> Outcome {
        run.call.progress.enter(Phase::Verifying);
        let mut named = None;
        let said_done = says_done(sent);
        let over = match sent {
            Ok(written) => {
                if let Some(list) = &written.list
                    && said_done
                {
                    named = effect.named(list);
                    if effect.shows_whole(list)
                        && let Judgement::Done(id) = effect.judge(list, named, said_done)
                    {
                        return Outcome::Done(list.clone(), id);
                    }
                }
                !said_done
            }
            Err(error) => is_over(error),
        };
        let patient_until = Instant::now() + PATIENCE;
        let mut ambiguous = Vec::new();
        let list = self
            .read_until(run, |list| {
                match effect.judge(list, named, said_done) {
                    Judgement::Done(_) => true,
                    Judgement::NotDone => over || said_done && Instant::now() >= patient_until,
                    Judgement::Ambiguous(ids) => {
                        // Reading again makes a second candidate no clearer.
                        ambiguous = ids;
                        true
                    }
                }
            })
            .await;
        match list.map(|list| (effect.judge(&list, named, said_done), list)) {
            Some((Judgement::Done(id), list)) => Outcome::Done(list, id),
            Some((Judgement::NotDone, _)) if said_done && !effect.is_idempotent() => {
                Outcome::Unknown(ambiguous)
            }
            Some((Judgement::NotDone, list)) => Outcome::NotDone(list),
            Some((Judgement::Ambiguous(_), _)) | None => Outcome::Unknown(ambiguous),
        }
    }

    /// Reads the list, with growing pauses, until it is as wanted or the time is over.
    pub(super) async fn read_until(
        &self,
        run: &Run,
        mut wanted: impl FnMut(&List) -> bool,
    ) -> Option<List> {
        let mut backoff = Backoff::new(BACKOFF.0, BACKOFF.1);
        loop {
            match self
                .client
                .list(&run.call.tenant, run.call.account, &run.options)
                .await
            {
                Ok(list) if wanted(&list) => return Some(list),
                Ok(_) => {}
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "a settling read failed"
                    );
                }
            }
            let wait = backoff.next_delay();
            if Instant::now() + wait >= run.until() {
                return None;
            }
            sleep(wait).await;
        }
    }

    /// Looks once more for the effect of a write whose outcome was unknown. An add that was found
    /// before is that number, be it gone since.
    ///
    /// That it does not show proves nothing: the service may still be at it. A write that is as
    /// good done twice may then be done again, an add must not.
    ///
    /// # Errors
    /// [`Error::OutcomeUnknown`], [`Error::IdsLost`], and those of the read.
    pub(super) async fn settle_later(
        &self,
        run: &Run,
        effect: &Effect,
    ) -> Result<Option<(List, NumberId)>, Error> {
        let (effect, found) = &self.unsettled.known(effect);
        let list = self.current(run).await?;
        if let Some(id) = *found {
            return match list.find(id) {
                None if list.unidentified > 0 => Err(Error::IdsLost),
                _ => Ok(Some((list, id))),
            };
        }
        let unknown = |candidates| {
            self.unsettled.remember(run, effect);
            Err(Error::OutcomeUnknown {
                effect: Box::new(effect.clone()),
                candidates,
                source: None,
            })
        };
        match effect.judge(&list, None, false) {
            Judgement::Done(id)
                if list
                    .find(id)
                    .is_some_and(|found| self.unsettled.may_be_anothers(run, effect, found)) =>
            {
                unknown(vec![id])
            }
            Judgement::Done(id) => {
                self.unsettled.settle(run, effect, id);
                self.tell_resolved_later(run, effect, &list, id);
                Ok(Some((list, id)))
            }
            Judgement::NotDone if effect.is_idempotent() => Ok(None),
            // Somebody else wrote meanwhile.
            Judgement::Ambiguous(ids) if ids.is_empty() && effect.is_idempotent() => Ok(None),
            Judgement::NotDone => unknown(Vec::new()),
            Judgement::Ambiguous(candidates) => unknown(candidates),
        }
    }
}
