//! Sends the requests that write, and verifies each by reading. No other module sends a write.

use super::{
    Error, Operations,
    expectation::{Expectation, WriteKind},
    plan::UpdateRoute,
    task::WriteTask,
    verify::{Sent, Verified},
};
use crate::{
    domain::{Fields, List, NumberId},
    telemetry::in_flight::Phase,
    upstream::{self, BodyFormat, Kind, UpdateAll},
};

/// What a request carries.
#[derive(Clone, Copy)]
pub(super) enum Payload<'a> {
    /// A write of one number of a list.
    Step {
        list: &'a List,
        expectation: &'a Expectation,
        delete_forward: bool,
    },
    /// Whole numbers, in one POST.
    List(&'a [(Option<NumberId>, &'a Fields)]),
}

/// What became of a request.
pub(super) enum Delivered {
    /// It ran, or may have.
    Ran {
        sent: Sent,
        verified: Verified,
        /// The route of an update.
        route: UpdateRoute,
    },
    /// It is proved that nothing ran, by any route.
    NotRun(upstream::Error),
}

impl Operations {
    /// Sends a request and verifies it. After the proof that nothing ran it takes the next format or
    /// route. A reply that a gateway could have caused is such a proof only together with a list
    /// that shows nothing of the write.
    ///
    /// # Errors
    /// [`Error::JournalUnavailable`] if another route cannot be recorded; nothing ran by then.
    pub(super) async fn deliver(
        &self,
        task: &mut WriteTask,
        payload: Payload<'_>,
        routes: &[UpdateRoute],
        expectations: &[Expectation],
    ) -> Result<Delivered, Error> {
        let mut refused: Option<upstream::Error> = None;
        for (route, format) in self.attempts(payload, routes) {
            // The caller can act on the first route's error about its values.
            match refused.as_ref().map(upstream::Error::kind) {
                Some(Kind::Connect) => break,
                Some(Kind::RouteMissing) if route == UpdateRoute::Post => continue,
                _ => {}
            }
            self.record_posted(task, payload, route).await?;
            task.call.progress.enter(Phase::Writing);
            let sent = self.send(task, payload, format).await;
            let error = match sent {
                Err(error) if error.nothing_ran() && !error.needs_confirmation() => error,
                sent => {
                    let whole = matches!(payload, Payload::List(_));
                    let verified = self.verify(task, &sent, expectations, whole).await;
                    match sent {
                        Err(error) if error.nothing_ran() && verified.shows_nothing() => error,
                        sent => {
                            return Ok(Delivered::Ran {
                                sent,
                                verified,
                                route,
                            });
                        }
                    }
                }
            };
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "a request that writes did not run"
            );
            refused.get_or_insert(error);
        }
        let refused = refused.map(Delivered::NotRun);
        refused.ok_or(Error::NotApplied { source: None })
    }

    /// Returns the routes by which a number can be updated, in order.
    pub(super) fn routes(&self, first: UpdateRoute) -> &'static [UpdateRoute] {
        match (first, self.client.update_all_mode()) {
            // A list that is posted whole was posted already.
            (_, UpdateAll::Off) => &[UpdateRoute::Get],
            (UpdateRoute::Get, _) | (UpdateRoute::Post, UpdateAll::WholeList) => {
                &[UpdateRoute::Get, UpdateRoute::Post]
            }
            (UpdateRoute::Post, UpdateAll::One) => &[UpdateRoute::Post, UpdateRoute::Get],
        }
    }

    fn attempts(
        &self,
        payload: Payload<'_>,
        routes: &[UpdateRoute],
    ) -> Vec<(UpdateRoute, Option<BodyFormat>)> {
        let count = match payload {
            Payload::List(numbers) => numbers.len(),
            Payload::Step { list, .. } if self.posts_whole_lists() => list.numbers.len(),
            Payload::Step { .. } => 1,
        };
        let mut attempts = Vec::new();
        for route in routes {
            match route {
                UpdateRoute::Get => attempts.push((*route, None)),
                UpdateRoute::Post => {
                    let formats = self.client.post_formats(count).into_iter();
                    attempts.extend(formats.map(|format| (*route, Some(format))));
                }
            }
        }
        attempts
    }

    fn posts_whole_lists(&self) -> bool {
        self.client.update_all_mode() == UpdateAll::WholeList
    }

    /// Records the list before a POST of one number, unless the record of the task has it.
    async fn record_posted(
        &self,
        task: &mut WriteTask,
        payload: Payload<'_>,
        route: UpdateRoute,
    ) -> Result<(), Error> {
        let Payload::Step {
            list, expectation, ..
        } = payload
        else {
            return Ok(());
        };
        match &mut task.open {
            Some(open) if route == UpdateRoute::Post && open.posted.is_none() => {
                open.posted = self.posted(task.call.account, list, expectation);
                self.write_record(task).await
            }
            _ => Ok(()),
        }
    }

    /// Sends one request: a POST in a format, else a GET. The record of the task holds it already.
    pub(super) async fn send(
        &self,
        task: &WriteTask,
        payload: Payload<'_>,
        format: Option<BodyFormat>,
    ) -> Sent {
        let (call, options) = (&task.call, &task.options);
        let (client, tenant, account) = (&self.client, &call.tenant, call.account);
        let (list, expectation, delete_forward) = match payload {
            Payload::Step {
                list,
                expectation,
                delete_forward,
            } => (list, expectation, delete_forward),
            Payload::List(numbers) => {
                let format = format.unwrap_or(BodyFormat::Csv);
                let post = client.update_all(tenant, account, numbers, format, options);
                return post.await;
            }
        };
        let fields = &expectation.target;
        match (expectation.kind, expectation.number, format) {
            (WriteKind::Update, Some(id), Some(format)) => {
                // A host that takes the whole list would take a single number for the whole list.
                let numbers = if self.posts_whole_lists() {
                    let numbers = list.numbers.iter().map(|number| {
                        let own = number.id == id;
                        (Some(number.id), if own { fields } else { &number.fields })
                    });
                    numbers.collect()
                } else {
                    vec![(Some(id), fields)]
                };
                let post = client.update_all(tenant, account, &numbers, format, options);
                post.await
            }
            (WriteKind::Update, Some(id), None) => {
                client.update(tenant, account, id, fields, options).await
            }
            (WriteKind::Delete, Some(id), _) => {
                let delete = client.delete(tenant, account, id, delete_forward, options);
                delete.await
            }
            _ => client.add(tenant, account, fields, options).await,
        }
    }
}
