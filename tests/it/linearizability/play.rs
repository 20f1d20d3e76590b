//! Lets a history happen: its callers call the facade at the same time, each call after the one
//! before, and record requests, answers, and what the account held at the time.

use std::{sync::Arc, time::Duration};

use followme::{
    grpc::pb,
    simulator::{Settings, StoredNumber},
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Request, Status};

use super::{
    front::Front,
    log::{Answer, Asked, Call, Held, History, Reply, Seen, held, shown},
    plan::{Fate, Host, Manner, Move, Plan, What},
    quiescence::wait_for_writes,
};
use crate::{
    guarantees::ClientWithoutTimers,
    support::raw_http::PATIENCE,
    support::{LICENSE, new_number, seconds, stored_number},
};

/// Plays the history of a seed on an account of its own. Its effects are not in it yet: some come
/// later.
pub(super) async fn play(front: Arc<Front>, account: i32, seed: u64) -> History {
    let plan = Plan::new(seed);
    let numbers: Vec<StoredNumber> = (0_i32..)
        .zip(0..plan.numbers)
        .map(|(order, index)| {
            let redirect_number = (15_550_190 + index).to_string();
            stored_number(&format!("first{index}"), &redirect_number, order + 1)
        })
        .collect();
    front
        .handle
        .seed(LICENSE, account, numbers, Settings::default());
    for fault in plan.faults {
        front.handle.arm(fault.for_account(account));
    }
    let initial = held(&front.handle, account);
    let host = Host::of(seed);
    let last = plan.callers.len() - 1;
    let mut callers = JoinSet::new();
    for (number, moves) in plan.callers.into_iter().enumerate() {
        let caller = Caller {
            number,
            account,
            seed,
            host,
            outside: plan.outside && number == last,
            front: Arc::clone(&front),
            seen: None,
            calls: Vec::new(),
        };
        callers.spawn(caller.play(moves));
    }
    let mut calls = callers.join_all().await.concat();
    wait_for_writes(&front, account).await;
    calls.sort_by(|one: &Call, other| one.tag.cmp(&other.tag));
    History {
        seed,
        account,
        initial,
        calls,
        changes: Vec::new(),
        lags: host == Host::Lags,
        forgets: host == Host::Small,
        last: held(&front.handle, account),
    }
}

struct Caller {
    number: usize,
    account: i32,
    seed: u64,
    host: Host,
    /// Whether it writes behind the facade's back.
    outside: bool,
    front: Arc<Front>,
    seen: Option<Arc<Seen>>,
    calls: Vec<Call>,
}

impl Caller {
    async fn play(mut self, moves: Vec<Move>) -> Vec<Call> {
        for (
            step,
            Move {
                what,
                manner,
                with_id,
            },
        ) in moves.into_iter().enumerate()
        {
            let (intent, asked, seen) = match what {
                What::Again => match self
                    .calls
                    .iter()
                    .rev()
                    .find(|call| !call.asked.request_id().is_empty())
                {
                    Some(last) => (last.intent, last.asked.clone(), last.seen.clone()),
                    None => (intent(self.number, step), self.list(), None),
                },
                What::Add { caller, step } => {
                    let intent = intent(caller, step);
                    (intent, self.add(intent, intent, with_id), None)
                }
                What::Outside { step } => {
                    let intent = intent(self.number, step);
                    (intent, self.add(intent, 80 + intent, false), None)
                }
                What::Twin { caller, step: of } => {
                    let own = intent(self.number, step);
                    (own, self.add(own, intent(caller, of), with_id), None)
                }
                what => {
                    let intent = intent(self.number, step);
                    let seen = self.seen.clone();
                    let asked = match &seen {
                        Some(seen) => self.about(intent, &what, seen, with_id),
                        None => self.list(),
                    };
                    (intent, asked, seen)
                }
            };
            let tag = format!("c{}n{step}", self.number);
            self.call(tag.clone(), intent, asked.clone(), seen.clone(), manner)
                .await;
            let lost = self
                .calls
                .last()
                .is_some_and(|call| matches!(call.answer, Answer::None));
            // A caller whose connection broke asks again.
            if self.host.crashes()
                && matches!(manner, Manner::Patient)
                && lost
                && !asked.request_id().is_empty()
            {
                self.call(tag + "r", intent, asked, seen, manner).await;
            }
        }
        self.calls
    }

    async fn call(
        &mut self,
        tag: String,
        intent: usize,
        asked: Asked,
        seen: Option<Arc<Seen>>,
        manner: Manner,
    ) {
        let before = held(&self.front.handle, self.account);
        let client = self.front.client(self.outside).await;
        let sent = send(client, asked.clone(), &tag, manner);
        let result = match manner {
            Manner::Cancel(after) => timeout(after, sent).await.ok(),
            Manner::Patient | Manner::Deadline(_) => Some(
                timeout(PATIENCE, sent)
                    .await
                    .expect("the call ends in time"),
            ),
        };
        let after = held(&self.front.handle, self.account);
        let answer = match result {
            None => Answer::None,
            Some(Err(status)) => Answer::from(status),
            Some(Ok((reply, list))) => {
                if let Some(list) = list {
                    self.seen = Some(Arc::new(Seen {
                        numbers: list.numbers,
                        list_etag: list.list_etag,
                        before: before.clone(),
                        after: after.clone(),
                    }));
                }
                Answer::Ok(reply)
            }
        };
        let answer = match answer {
            // What another writer was answered binds nobody.
            Answer::Ok(Reply::Listed(_)) => answer,
            _ if self.outside => Answer::None,
            answer => answer,
        };
        self.calls.push(Call {
            tag,
            outside: self.outside,
            intent,
            asked,
            seen,
            before,
            after,
            answer,
        });
    }

    fn list(&self) -> Asked {
        Asked::List(crate::support::list(self.account))
    }

    fn request_id(&self, intent: usize, with_id: bool) -> String {
        if with_id {
            format!("{}-{intent}", self.seed)
        } else {
            String::new()
        }
    }

    /// Makes a name of its beginning, which every host keeps.
    fn name(&self, beginning: &str) -> String {
        match self.host {
            Host::Normalises => format!("{beginning}  at the  desk"),
            _ => beginning.to_owned(),
        }
    }

    fn number(&self, name: &str, index: usize) -> pb::FollowMeNumber {
        let mut redirect_number = (15_550_100 + index % 90).to_string();
        if self.host == Host::Normalises {
            redirect_number.insert(4, '-');
        }
        pb::FollowMeNumber {
            ring_timeout: seconds(20),
            ..new_number(&self.name(name), &redirect_number)
        }
    }

    /// Adds the number of an intent, which can be another one's too.
    fn add(&self, intent: usize, of: usize, with_id: bool) -> Asked {
        Asked::Add(pb::AddRequest {
            account_id: self.account,
            number: Some(self.number(&format!("add{of}"), of)),
            request_id: self.request_id(intent, with_id),
            ..pb::AddRequest::default()
        })
    }

    /// Makes a request about the list that was seen. Where it had no number, one is added.
    fn about(&self, intent: usize, what: &What, seen: &Seen, with_id: bool) -> Asked {
        let picked = |pick: usize| seen.numbers.get(pick % seen.numbers.len().max(1));
        match what {
            What::List => self.list(),
            What::Update {
                pick,
                etag,
                ring_timeout,
            } if let Some(picked) = picked(*pick) => {
                let mut paths = vec!["name".to_owned()];
                paths.extend(ring_timeout.map(|_| "ring_timeout".to_owned()));
                Asked::Update(pb::UpdateRequest {
                    number: Some(pb::FollowMeNumber {
                        account_id: self.account,
                        number_id: picked.number_id,
                        name: self.name(&format!("update{intent}")),
                        ring_timeout: ring_timeout.and_then(seconds),
                        ..pb::FollowMeNumber::default()
                    }),
                    update_mask: Some(prost_types::FieldMask { paths }),
                    etag: etag.then(|| picked.etag.clone()).unwrap_or_default(),
                    request_id: self.request_id(intent, with_id),
                    ..pb::UpdateRequest::default()
                })
            }
            What::Delete {
                pick,
                etag,
                allow_missing,
            } if let Some(picked) = picked(*pick) => Asked::Delete(pb::DeleteRequest {
                account_id: self.account,
                number_id: picked.number_id,
                etag: etag.then(|| picked.etag.clone()).unwrap_or_default(),
                allow_missing: *allow_missing,
                request_id: self.request_id(intent, with_id),
                ..pb::DeleteRequest::default()
            }),
            What::ReplaceAll {
                fates,
                new,
                list_etag,
                number_etags,
            } => {
                let mut numbers: Vec<pb::FollowMeNumber> = seen
                    .numbers
                    .iter()
                    .zip(fates.iter().cycle())
                    .filter_map(|(number, fate)| {
                        let mut number = number.clone();
                        if !number_etags {
                            number.etag.clear();
                        }
                        match fate {
                            Fate::Keep => {}
                            Fate::Rename => {
                                number.name =
                                    self.name(&format!("rename{intent}i{}", number.number_id));
                            }
                            Fate::Drop => return None,
                        }
                        Some(number)
                    })
                    .collect();
                numbers.extend(
                    (0..*new).map(|new| self.number(&format!("new{intent}i{new}"), intent + new)),
                );
                Asked::ReplaceAll(pb::ReplaceAllRequest {
                    account_id: self.account,
                    numbers,
                    list_etag: list_etag
                        .then(|| seen.list_etag.clone())
                        .unwrap_or_default(),
                    allow_empty: true,
                    request_id: self.request_id(intent, with_id),
                    ..pb::ReplaceAllRequest::default()
                })
            }
            _ => self.add(intent, intent, with_id),
        }
    }
}

fn intent(caller: usize, step: usize) -> usize {
    caller * 20 + step
}

/// Sends a call. Also returns the list, where that was asked for.
async fn send(
    mut client: ClientWithoutTimers,
    asked: Asked,
    tag: &str,
    manner: Manner,
) -> Result<(Reply, Option<pb::ListResponse>), Status> {
    let deadline = match manner {
        Manner::Deadline(after) => Some(after),
        Manner::Patient | Manner::Cancel(_) => None,
    };
    let reply = match asked {
        Asked::List(request) => {
            let list = client
                .list(tagged(request, tag, deadline))
                .await?
                .into_inner();
            return Ok((Reply::Listed(shown(&list.numbers)), Some(list)));
        }
        Asked::Add(request) => {
            let response = client
                .add(tagged(request, tag, deadline))
                .await?
                .into_inner();
            written(response.number, response.unapplied_fields)
        }
        Asked::Update(request) => {
            let response = client
                .update(tagged(request, tag, deadline))
                .await?
                .into_inner();
            written(response.number, response.unapplied_fields)
        }
        Asked::Delete(request) => {
            client.delete(tagged(request, tag, deadline)).await?;
            Reply::Deleted
        }
        Asked::ReplaceAll(request) => {
            let response = client
                .replace_all(tagged(request, tag, deadline))
                .await?
                .into_inner();
            Reply::Replaced {
                numbers: shown(&response.numbers),
                unapplied: response
                    .steps
                    .iter()
                    .any(|step| !step.unapplied_fields.is_empty()),
            }
        }
    };
    Ok((reply, None))
}

fn written(number: Option<pb::FollowMeNumber>, unapplied: Vec<String>) -> Reply {
    let number = number.unwrap_or_default();
    Reply::Written {
        id: number.number_id,
        held: Held::from(&number),
        unapplied,
    }
}

fn tagged<T>(message: T, tag: &str, deadline: Option<Duration>) -> Request<T> {
    let mut request = Request::new(message);
    if let Some(deadline) = deadline {
        request.set_timeout(deadline);
    }
    let tag = tag.parse().expect("a tag is visible ASCII");
    request.metadata_mut().insert("x-porta-feature-name", tag);
    request
}
