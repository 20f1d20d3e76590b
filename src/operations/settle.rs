//! What became of a write: settled by reading the list.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Operations;
use crate::{
    domain::{AccountId, List, NumberId},
    upstream::{self, Context, Written},
};

/// What a list says about a write.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Judgement {
    /// The write had its effect on this number.
    Done(NumberId),
    /// It did not.
    NotDone,
    /// Each of these may be its effect.
    Ambiguous(Vec<NumberId>),
}

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

/// How long to wait before reading again: from the first to the last, doubling.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

impl Operations {
    /// Finds out what became of a write that was sent, until the instant.
    ///
    /// `judge` looks at a list that was read; `whole` tells whether the list that came with an
    /// answer can be the whole one and shows the whole effect: then it is taken, else the list is
    /// read. That a write had no effect is concluded only after an answer: without one, the service
    /// may still be at it.
    pub(super) async fn settle(
        &self,
        context: &Context,
        account: AccountId,
        sent: &Result<Written, upstream::Error>,
        until: Instant,
        whole: impl Fn(&List) -> bool,
        judge: impl Fn(&List) -> Judgement,
    ) -> Outcome {
        let over = match sent {
            Ok(written) => {
                if let Some(list) = &written.list
                    && written.success != Some(false)
                    && whole(list)
                    && let Judgement::Done(id) = judge(list)
                {
                    return Outcome::Done(list.clone(), id);
                }
                true
            }
            Err(error) => error.answered(),
        };
        let context = Context {
            deadline: Some(until),
            ..context.clone()
        };
        let mut pause = BACKOFF.0;
        loop {
            match self.client.list(&context, account).await {
                Ok(list) => match judge(&list) {
                    Judgement::Done(id) => return Outcome::Done(list, id),
                    Judgement::NotDone if over => return Outcome::NotDone(list),
                    Judgement::NotDone => {}
                    // Reading again makes a second candidate no clearer.
                    Judgement::Ambiguous(ids) => return Outcome::Unknown(ids),
                },
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "settling read failed"
                    );
                }
            }
            // Half of the pause is random, so that settling calls do not come in step.
            let wait = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            if Instant::now() + wait >= until {
                return Outcome::Unknown(Vec::new());
            }
            sleep(wait).await;
            pause = (pause * 2).min(BACKOFF.1);
        }
    }
}
