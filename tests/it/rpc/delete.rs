//! Delete.

use followme::{
    grpc::pb,
    simulator::{DeleteForward, EffectKind, FaultKind, Knobs, Options, Route, When, WriteAnswer},
    upstream::NullList,
};
use tonic::Code;

use crate::support::{LICENSE, SOON, World, delete, demo, failure, in_every_dialect};

in_every_dialect!(
    a_number_is_deleted_by_two_values,
    a_number_is_deleted_by_four_values_with_delete_forward,
    the_last_number_can_be_deleted,
);

async fn a_number_is_deleted_by_two_values(world: World) {
    let answer = world.delete(delete(70002)).await.expect("it is deleted");
    assert_eq!(world.write_paths(), ["GET /deletefollowme/DEMO-KEY/70002"]);
    let list = world.read(1001).await;
    assert_eq!(list.total_size, 2);
    assert_eq!(list.list_etag, answer.list_etag);
    assert_eq!(world.effects().len(), 1);
}

async fn a_number_is_deleted_by_four_values_with_delete_forward(world: World) {
    let request = pb::DeleteRequest {
        delete_forward: true,
        ..delete(70002)
    };
    world.delete(request).await.expect("it is deleted");
    assert_eq!(
        world.write_paths(),
        ["GET /deletefollowme/DEMO-KEY/70002/1001/true"]
    );
    assert_eq!(world.read(1001).await.total_size, 2);
    assert_eq!(world.effects().len(), 1);
}

async fn the_last_number_can_be_deleted(world: World) {
    let request = pb::DeleteRequest {
        account_id: 1002,
        ..delete(70004)
    };
    let answer = world.delete(request).await.expect("it is deleted");
    let list = world.read(1002).await;
    assert_eq!(list.numbers, []);
    assert_eq!(list.list_etag, answer.list_etag);
}

#[tokio::test]
async fn a_number_of_another_account_is_never_deleted() {
    let world = World::start().await;
    for id in [70004, 70999] {
        let missing = failure(world.delete(delete(id)).await);
        assert_eq!(missing.code, Code::NotFound);
        assert_eq!(missing.reason, "NUMBER_NOT_FOUND");
        assert_eq!(missing.meta("number_id"), Some(id.to_string().as_str()));
        let request = pb::DeleteRequest {
            allow_missing: true,
            ..delete(id)
        };
        let answer = world.delete(request).await.expect("it is not there");
        assert_eq!(answer.list_etag, world.read(1001).await.list_etag);
    }
    assert_eq!(world.writes().len(), 0);
}

#[tokio::test]
async fn absence_is_verified_whatever_the_answer_holds() {
    for write_answer in [WriteAnswer::List, WriteAnswer::Null, WriteAnswer::Changed] {
        let world = World::knobs(Knobs {
            write_answer,
            ..Knobs::default()
        })
        .await;
        let answer = world.delete(delete(70001)).await.expect("it is deleted");
        let list = world.read(1001).await;
        assert_eq!(list.total_size, 2, "{write_answer:?}");
        assert_eq!(list.list_etag, answer.list_etag);
    }
}

#[tokio::test]
async fn a_side_effect_of_delete_forward_does_not_fail_the_delete() {
    let world = World::knobs(Knobs {
        delete_forward: DeleteForward::TurnsForwardingOff,
        ..Knobs::default()
    })
    .await;
    let request = pb::DeleteRequest {
        delete_forward: true,
        ..delete(70001)
    };
    world.delete(request).await.expect("it is deleted");
    let kinds: Vec<EffectKind> = world.effects().iter().map(|effect| effect.kind).collect();
    assert_eq!(kinds, [EffectKind::Delete, EffectKind::ForwardingOff]);
}

#[tokio::test]
async fn an_empty_field_is_no_proof_of_absence() {
    let world = World::with(
        Options {
            knobs: Knobs {
                empty_list_is_null: true,
                ..Knobs::default()
            },
            ..demo()
        },
        |config| config.operations.write_limit = SOON,
    )
    .await;
    let request = || pb::DeleteRequest {
        account_id: 1002,
        ..delete(70004)
    };
    let unknown = failure(world.delete(request()).await);
    assert_eq!(unknown.code, Code::Unknown);
    assert_eq!(unknown.reason, "OUTCOME_UNKNOWN");
    assert_eq!(world.effects().len(), 1);

    let world = World::with(
        Options {
            knobs: Knobs {
                empty_list_is_null: true,
                ..Knobs::default()
            },
            ..demo()
        },
        |config| config.upstream.null_list = NullList::Empty,
    )
    .await;
    world.delete(request()).await.expect("it is deleted");
    assert_eq!(world.handle.numbers(LICENSE, 1002), Some(Vec::new()));
}

#[tokio::test]
async fn a_delete_that_upstream_refuses_is_not_done() {
    let world = World::start().await;
    world.arm(FaultKind::NotSuccess { when: When::Before }, Route::Delete);
    let refused = failure(world.delete(delete(70001)).await);
    world.assert_fired("not_success");
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert_eq!(refused.reason, "UPSTREAM_REFUSED");
    assert_eq!(world.read(1001).await.total_size, 3);
}

#[tokio::test]
async fn ids_that_are_not_positive_never_reach_upstream() {
    let world = World::start().await;
    for id in [0, -1, i32::MIN] {
        let request = pb::DeleteRequest {
            account_id: id,
            number_id: id,
            delete_forward: true,
            allow_missing: true,
            ..pb::DeleteRequest::default()
        };
        let refused = failure(world.delete(request).await);
        assert_eq!(refused.code, Code::InvalidArgument);
        assert_eq!(refused.fields(), ["account_id", "number_id"]);
    }
    assert_eq!(world.handle.requests().len(), 0);
}
