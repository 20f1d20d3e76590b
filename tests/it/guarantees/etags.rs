//! Optimistic concurrency: etags of numbers and lists.

use followme::grpc::pb;
use tonic::Code;

use crate::support::{World, delete, failure, list, new_number, replace, update};

#[tokio::test]
async fn a_registration_does_not_change_the_etag() {
    let world = World::start().await;
    let before = world.read(1001).await;
    let mut numbers = world
        .handle
        .numbers(crate::support::LICENSE, 1001)
        .expect("seeded");
    for number in &mut numbers {
        number.status = !number.status;
    }
    numbers.reverse();
    let settings = followme::simulator::Settings {
        sequence: Some("Random".to_owned()),
        ..Default::default()
    };
    world
        .handle
        .seed(crate::support::LICENSE, 1001, numbers, settings);
    let after = world.read(1001).await;
    assert_ne!(before.numbers, after.numbers);
    assert_eq!(before.list_etag, after.list_etag);
    let etags = |list: &pb::ListResponse| -> Vec<String> {
        list.numbers
            .iter()
            .map(|number| number.etag.clone())
            .collect()
    };
    assert_eq!(etags(&before), etags(&after));
}

#[tokio::test]
async fn an_update_with_a_stale_etag_is_refused_with_the_current_etag() {
    let world = World::start().await;
    let stale = world.number(1001, 70001).await;
    world
        .update(update(70001, &["name"], new_number("First", "")))
        .await
        .expect("updated");
    let current = world.number(1001, 70001).await;
    assert_ne!(stale.etag, current.etag);

    // The number's own etag counts, since what was read is sent back.
    let mut number = stale.clone();
    number.name = "Second".to_owned();
    let refused = failure(world.update(update(70001, &["name"], number.clone())).await);
    assert_eq!(refused.code, Code::Aborted);
    assert_eq!(refused.reason, "ETAG_MISMATCH");
    assert_eq!(refused.meta("etag"), Some(current.etag.as_str()));
    assert_eq!(refused.meta("number_id"), Some("70001"));
    assert_eq!(world.effects().len(), 1);

    // The request's takes precedence over the number's.
    let request = pb::UpdateRequest {
        etag: current.etag,
        ..update(70001, &["name"], number)
    };
    world.update(request).await.expect("updated");
}

#[tokio::test]
async fn a_delete_with_a_stale_etag_is_refused() {
    let world = World::start().await;
    let etag = world.number(1001, 70001).await.etag;
    world
        .update(update(70001, &["name"], new_number("First", "")))
        .await
        .expect("updated");
    let request = pb::DeleteRequest {
        etag,
        ..delete(70001)
    };
    assert_eq!(failure(world.delete(request).await).reason, "ETAG_MISMATCH");
    let request = pb::DeleteRequest {
        etag: world.number(1001, 70001).await.etag,
        ..delete(70001)
    };
    world.delete(request).await.expect("deleted");
}

#[tokio::test]
async fn a_replace_all_checks_the_etags_of_the_list_and_of_its_numbers() {
    let world = World::start().await;
    let before = world.read(1001).await;
    world
        .update(update(70002, &["period"], new_number("", "")))
        .await
        .expect("updated");
    let now = world.read(1001).await;
    let by_list = pb::ReplaceAllRequest {
        list_etag: before.list_etag.clone(),
        ..replace(1001, vec![new_number("A", "15550140")])
    };
    let refused = failure(world.replace_all(by_list).await);
    assert_eq!(refused.reason, "ETAG_MISMATCH");
    assert_eq!(refused.meta("etag"), Some(now.list_etag.as_str()));

    let refused = failure(
        world
            .replace_all(replace(1001, before.numbers.clone()))
            .await,
    );
    assert_eq!(refused.reason, "ETAG_MISMATCH");
    assert_eq!(refused.meta("number_id"), Some("70002"));

    let mut gone = now.numbers.clone();
    gone[0].number_id = 99;
    assert_eq!(
        failure(world.replace_all(replace(1001, gone)).await).reason,
        "ETAG_MISMATCH"
    );
    let effects = world.effects().len();
    let request = pb::ReplaceAllRequest {
        list_etag: now.list_etag,
        ..replace(1001, now.numbers)
    };
    world.replace_all(request).await.expect("nothing to do");
    assert_eq!(world.effects().len(), effects);
}

#[tokio::test]
async fn a_page_token_of_a_changed_list_is_refused() {
    let world = World::start().await;
    let first = pb::ListRequest {
        page_size: 2,
        ..list(1001)
    };
    let page = world.list(first.clone()).await.expect("read");
    let rest = pb::ListRequest {
        page_token: page.next_page_token.clone(),
        ..first
    };
    let second = world.list(rest.clone()).await.expect("read");
    assert_eq!(second.numbers.len(), 1);
    world
        .update(update(70001, &["name"], new_number("Changed", "")))
        .await
        .expect("updated");
    let changed = failure(world.list(rest).await);
    assert_eq!(changed.code, Code::Aborted);
    assert_eq!(changed.reason, "LIST_CHANGED");
    let etag = world.read(1001).await.list_etag;
    assert_eq!(changed.meta("etag"), Some(etag.as_str()));
}

#[tokio::test]
async fn etags_prevent_lost_updates() {
    let world = World::start().await;
    let tries = (0..8).map(|caller| {
        let world = &world;
        async move {
            loop {
                let mut number = world.number(1001, 70001).await;
                number.period_description = format!("{} {caller}", number.period_description);
                match world
                    .update(update(70001, &["period_description"], number))
                    .await
                {
                    Ok(_) => return,
                    Err(status) => {
                        let refused = failure(Err::<(), _>(status));
                        assert_eq!(refused.reason, "ETAG_MISMATCH");
                    }
                }
            }
        }
    });
    join_all(tries).await;
    let description = world.number(1001, 70001).await.period_description;
    for caller in 0..8 {
        assert!(description.contains(&format!(" {caller}")), "{description}");
    }
}

async fn join_all(futures: impl Iterator<Item = impl Future<Output = ()>>) {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    std::future::poll_fn(|context| {
        futures.retain_mut(|future| future.as_mut().poll(context).is_pending());
        if futures.is_empty() {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

#[tokio::test]
async fn get_list_and_every_write_agree_on_etags_and_so_does_every_replica() {
    let world = World::start().await;
    let updated = world
        .update(update(70001, &["name"], new_number("First", "")))
        .await
        .expect("updated");
    let read = world.read(1001).await;
    let etag = updated.number.expect("a number").etag;
    assert_eq!(updated.list_etag, read.list_etag);
    assert_eq!(read.numbers[0].etag, etag);
    let got = world
        .get(crate::support::get(1001, 70001))
        .await
        .expect("read");
    assert_eq!(got.number.expect("a number").etag, etag);
    let deleted = world.delete(delete(70003)).await.expect("deleted");
    let read = world.read(1001).await;
    assert_eq!(deleted.list_etag, read.list_etag);

    let replica = world.with_license(crate::support::LICENSE).await;
    assert_eq!(replica.read(1001).await, read);
}

#[tokio::test]
async fn the_etag_is_checked_even_if_nothing_changes() {
    let world = World::start().await;
    let number = world.number(1001, 70001).await;
    let same = pb::UpdateRequest {
        etag: "0".repeat(32),
        ..update(70001, &["name"], number)
    };
    assert_eq!(failure(world.update(same).await).reason, "ETAG_MISMATCH");
    assert!(world.writes().is_empty());
}

/// Returns the list of account 1001 as read with a period of number 70001.
async fn with_period(world: &World, period: &str) -> pb::ListResponse {
    let mut numbers = world
        .handle
        .numbers(crate::support::LICENSE, 1001)
        .expect("seeded");
    for number in &mut numbers {
        if number.id == 70001 {
            number.period = Some(period.to_owned());
        }
    }
    world.seed(1001, numbers);
    world.read(1001).await
}

#[tokio::test]
async fn an_empty_period_and_always_have_the_same_etag() {
    let world = World::start().await;
    let empty = with_period(&world, "").await;
    for period in ["Always", "always", "ALWAYS", " Always "] {
        let always = with_period(&world, period).await;
        assert_eq!(always.list_etag, empty.list_etag, "{period:?}");
        assert_eq!(always.numbers[0].etag, empty.numbers[0].etag, "{period:?}");
    }
    let none = with_period(&world, "none").await;
    assert_ne!(none.list_etag, empty.list_etag);
    assert_ne!(none.numbers[0].etag, empty.numbers[0].etag);
}

#[tokio::test]
async fn an_etag_of_another_version_or_none_is_a_mismatch() {
    let world = World::start().await;
    let number = world.number(1001, 70001).await;
    let list_etag = world.read(1001).await.list_etag;
    let unversioned = |etag: &str| etag.strip_prefix("v1.").expect("version 1").to_owned();
    let (of_number, of_list) = (unversioned(&number.etag), unversioned(&list_etag));
    for (of_number, of_list) in [
        (of_number.clone(), of_list.clone()),
        (format!("v0.{of_number}"), format!("v0.{of_list}")),
        (format!("v2.{of_number}"), format!("v2.{of_list}")),
        ("no etag at all, \u{fc}".to_owned(), "\"W/1\"".to_owned()),
    ] {
        let by_request = pb::UpdateRequest {
            etag: of_number.clone(),
            ..update(70001, &["name"], new_number("First", ""))
        };
        let by_number = pb::FollowMeNumber {
            etag: of_number.clone(),
            ..new_number("First", "")
        };
        let deleted = pb::DeleteRequest {
            etag: of_number.clone(),
            ..delete(70001)
        };
        let replaced = pb::ReplaceAllRequest {
            list_etag: of_list.clone(),
            ..replace(1001, vec![new_number("A", "15550140")])
        };
        for refused in [
            failure(world.update(by_request).await),
            failure(world.update(update(70001, &["name"], by_number)).await),
            failure(world.delete(deleted).await),
            failure(world.replace_all(replaced).await),
        ] {
            assert_eq!(refused.code, Code::Aborted, "{of_number}");
            assert_eq!(refused.reason, "ETAG_MISMATCH", "{of_number}");
        }
    }
    assert!(world.writes().is_empty());
}

#[tokio::test]
async fn a_page_token_of_another_etag_version_counts_as_a_changed_list() {
    let world = World::start().await;
    let page = |token: String| pb::ListRequest {
        page_size: 2,
        page_token: token,
        ..list(1001)
    };
    let first = world.list(page(String::new())).await.expect("a page");
    let (start, etag) = first.next_page_token.split_once('-').expect("a position");
    let hash = etag.strip_prefix("v1.").expect("version 1");
    for of_another in [hash.to_owned(), format!("v0.{hash}"), format!("v12.{hash}")] {
        let refused = failure(world.list(page(format!("{start}-{of_another}"))).await);
        assert_eq!(refused.reason, "LIST_CHANGED", "{of_another}");
    }
    for no_etag in [
        format!("v.{hash}"),
        format!("v1{hash}"),
        format!("x1.{hash}"),
    ] {
        let refused = failure(world.list(page(format!("{start}-{no_etag}"))).await);
        assert_eq!(refused.fields(), ["page_token"], "{no_etag}");
    }
    world
        .list(page(first.next_page_token.clone()))
        .await
        .expect("the second page");
}
