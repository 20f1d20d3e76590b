//! Waits until nothing of a history is in flight, so that its effects are all in the log.

use followme::{
    grpc::pb,
    simulator::{FaultKind, Handle, Received, Route, When},
};
use tokio::time::timeout;

use super::{front::Front, log::Answer};
use crate::support::raw_http::PATIENCE;

/// Waits until every write has ended whose caller had gone.
pub(super) async fn wait_for_writes(front: &Front, account: i32) {
    for outside in [false, true] {
        // It has nothing to delete, and waits for the account lock. A fault may fail its read;
        // a crash answers nothing.
        let ended = timeout(PATIENCE, async {
            loop {
                let last = pb::DeleteRequest {
                    account_id: account,
                    number_id: i32::MAX,
                    allow_missing: true,
                    ..pb::DeleteRequest::default()
                };
                match front.client(outside).await.delete(last).await {
                    Err(status) if matches!(Answer::from(status.clone()), Answer::None) => {}
                    _ => break,
                }
            }
        });
        ended.await.expect("the call ends in time");
    }
}

/// Waits until every write that a fault delays has had its effect, or can have none any more since
/// its number is gone.
pub(super) async fn wait_for_late_effects(handle: &Handle) {
    handle
        .wait_until("the effects of writes that faults delay", |handle| {
            let effects = handle.effects();
            let requests = handle.requests();
            let over = |request: &Received| match request.route {
                Some(Route::Update | Route::UpdateAll | Route::Delete) => {
                    let id = request.bound.as_ref().and_then(|bound| {
                        bound
                            .get("IFollowMeNumber")
                            .and_then(serde_json::Value::as_i64)
                    });
                    id.is_none_or(|id| {
                        !handle.accounts().values().flatten().any(|(_, account)| {
                            account
                                .numbers
                                .iter()
                                .any(|number| i64::from(number.id) == id)
                        })
                    })
                }
                Some(Route::Add) => false,
                _ => true,
            };
            handle
                .fired()
                .iter()
                .filter(|fired| is_late(&fired.kind))
                .filter(|fired| !effects.iter().any(|effect| effect.request == fired.request))
                .all(|fired| {
                    requests
                        .iter()
                        .find(|request| request.sequence == fired.request)
                        .is_none_or(over)
                })
        })
        .await;
}

fn is_late(kind: &FaultKind) -> bool {
    matches!(
        kind,
        FaultKind::Delay { .. }
            | FaultKind::Gateway {
                when: When::Late { .. },
                ..
            }
            | FaultKind::Reset {
                when: When::Late { .. },
            }
            | FaultKind::Close {
                when: When::Late { .. },
            }
    )
}
