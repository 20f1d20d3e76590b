//! Resolves at start, by reading, the writes that an earlier process left open. It sends no write.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{Semaphore, watch},
    time::{Instant, sleep, sleep_until},
};

use super::{
    Call, Idempotency, Operations, RequestId,
    resolve::Resolved,
    single::{Ended, reply},
    task::{CommitPoint, WriteTask},
};
use crate::{
    domain::{AccountId, FieldSet, Method},
    journal::{Body, Journal, Record, RecordId},
    telemetry::{audit::Outcome, in_flight},
    upstream::Tenant,
};

/// How many accounts are read at once.
const ACCOUNTS_AT_ONCE: usize = 2;

/// How long to wait before an account is read again.
const PAUSE: Duration = Duration::from_millis(250);

/// How long a read may take, as the caller of a recovery.
const READ_LIMIT: Duration = Duration::from_secs(30);

/// The accounts with writes that an earlier process left open.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    /// Dropping the sender wakes the receivers.
    accounts: Mutex<HashMap<AccountId, watch::Receiver<()>>>,
}

impl Operations {
    /// Begins to resolve what an earlier process left open. To be called once, before anything is
    /// written.
    pub(super) async fn recover(self: &Arc<Self>, journal: &Journal) {
        let mut accounts: HashMap<AccountId, Vec<RecordId>> = HashMap::new();
        for (id, _) in journal.all_open() {
            let Ok(Some(mut record)) = journal.claim_open(id) else {
                continue;
            };
            let stored = record.stored().await;
            let account = match stored {
                Ok((_, Some(body))) => body
                    .origin
                    .and_then(|origin| AccountId::new(origin.account)),
                _ => None,
            };
            if let Some(account) = account {
                accounts.entry(account).or_default().push(id);
            }
        }
        let permits = Arc::new(Semaphore::new(ACCOUNTS_AT_ONCE));
        for (account, records) in accounts {
            let (done, receiver) = watch::channel(());
            self.recovery.accounts.lock().insert(account, receiver);
            let (operations, permits) = (Arc::clone(self), Arc::clone(&permits));
            let work = async move {
                let over = operations.started() + operations.client.write_timeout();
                let work = operations.recover_account(account, records, permits);
                // Until then upstream may still carry out the request.
                tokio::select! {
                    () = work => {}
                    () = sleep_until(over) => {}
                }
                operations.audit.flush().await;
                operations.recovery.accounts.lock().remove(&account);
                drop(done);
            };
            tokio::spawn(work);
        }
    }

    /// Waits until what an earlier process left open of an account is resolved, or can no longer be
    /// applied.
    pub(super) async fn recovered(&self, account: AccountId) {
        let receiver = self.recovery.accounts.lock().get(&account).cloned();
        if let Some(mut receiver) = receiver {
            while receiver.changed().await.is_ok() {}
        }
    }

    async fn recover_account(
        self: &Arc<Self>,
        account: AccountId,
        mut records: Vec<RecordId>,
        permits: Arc<Semaphore>,
    ) {
        while !records.is_empty() {
            {
                let _permit = permits.acquire().await;
                let _lock = self.locks.lock(account).await;
                let mut left = Vec::new();
                for id in records {
                    if self.recover_record(id).await.is_none() {
                        left.push(id);
                    }
                }
                records = left;
            }
            sleep(PAUSE).await;
        }
    }

    /// Resolves one record. Returns `None` where it is still open.
    async fn recover_record(self: &Arc<Self>, id: RecordId) -> Option<()> {
        let mut record = match self.open_journal().ok()?.claim_open(id) {
            Ok(Some(record)) => record,
            // Its caller came back, or it is resolved.
            Ok(None) => return Some(()),
            Err(_) => return None,
        };
        let (_, body) = record.stored().await.ok()?;
        let Some(body) = body else {
            return Some(());
        };
        let mut task = self.task_of(record, body)?;
        let open = task.open.clone()?;
        let list = self.read(&task).await.ok()?;
        if open
            .posted
            .as_ref()
            .is_some_and(|posted| !posted.affected(&list).is_empty())
        {
            // Restored by the next call with its id.
            self.stop_using_update_all().await;
            return None;
        }
        let resolved = self.resolve(&task, &open, &list).await;
        if task.progress.is_some() {
            return self.recover_steps(task, resolved, list).await;
        }
        match resolved.into_iter().next()? {
            Resolved::Applied {
                expectation,
                number,
                repairable,
            } => {
                let kind = expectation.kind;
                let needs_repair = repairable && expectation.needs_repair(&list, number);
                if needs_repair && task.call.request_id().is_some() {
                    // The next call with its request id repairs it.
                    let fields = list
                        .find(number)
                        .map_or(FieldSet::empty(), |now| expectation.unapplied(&now.fields));
                    self.audit_resolved(&task, &expectation, Outcome::Done, &list, Some(number));
                    let left = expectation.of_repair(number, fields);
                    task.open = Some(super::task::Open::one(left));
                    let body = task.body(&self.config.rules);
                    let _ = task.record.leave_unknown(&body).await;
                    return Some(());
                }
                let result = self
                    .finish_resolved(&mut task, expectation, list, number, false)
                    .await
                    .and_then(|applied| Ok(Ended::Reply(Box::new(reply(kind, applied)?))));
                let _ = self.finish(task, result).await;
                Some(())
            }
            Resolved::Never(expectation) => {
                self.audit_resolved(&task, &expectation, Outcome::NotDone, &list, None);
                let _ = task.record.forget().await;
                Some(())
            }
            Resolved::Again | Resolved::Unknown { .. } => None,
        }
    }

    async fn recover_steps(
        &self,
        mut task: WriteTask,
        resolved: Vec<Resolved>,
        list: crate::domain::List,
    ) -> Option<()> {
        let mut left = Vec::new();
        for resolved in resolved {
            match resolved {
                Resolved::Applied {
                    expectation,
                    number,
                    ..
                } => {
                    let (kind, index) = (expectation.kind, expectation.index);
                    let applied = self
                        .finish_resolved(&mut task, expectation, list.clone(), number, false)
                        .await;
                    if let Ok(applied) = applied {
                        let report = super::replace_all::report_applied(kind, index, &applied);
                        super::replace_all::record_done(&mut task, report);
                    }
                }
                Resolved::Never(expectation) => {
                    self.audit_resolved(&task, &expectation, Outcome::NotDone, &list, None);
                }
                Resolved::Again => return None,
                Resolved::Unknown { expectation, .. } => left.push(expectation),
            }
        }
        if !left.is_empty() {
            return None;
        }
        task.open = None;
        let body = task.body(&self.config.rules);
        let _ = task.record.leave_incomplete(&body).await;
        Some(())
    }

    /// Makes the task of a record without a call; `None` where its tenant's
    /// License is not configured.
    pub(super) fn task_of(&self, record: Record, body: Body) -> Option<WriteTask> {
        let origin = body.origin.clone()?;
        let caller = self.authorizer.caller(&origin.caller)?;
        let tenant = Tenant {
            license: caller.license.clone()?,
            license_is_callers: false,
            content_id: origin.content_id,
            feature_name: origin.feature_name.clone(),
        };
        if tenant.name() != origin.tenant {
            return None;
        }
        let call = Call {
            method: origin.method.parse::<Method>().ok()?,
            caller: Arc::clone(&caller),
            account: AccountId::new(origin.account)?,
            tenant,
            idempotency: RequestId::new(&origin.request_id)
                .ok()
                .map(|request_id| Idempotency {
                    request_id,
                    fingerprint: [0; 32],
                }),
            reply_by: None,
            fairness_key: "recovery".into(),
            progress: in_flight::Progress::default(),
        };
        let mut options = call.options();
        options.deadline = Some(Instant::now() + READ_LIMIT);
        let mut task = WriteTask {
            actor: Arc::new(call.actor(&self.audit)),
            caller,
            options,
            call: Arc::new(call),
            commit: CommitPoint::default(),
            record,
            begun: false,
            taken_up: true,
            open: None,
            progress: None,
            ends: None,
        };
        task.restore(body);
        Some(task)
    }
}
