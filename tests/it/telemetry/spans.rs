//! Baggage: what of it goes on.

use crate::support::{World, list, with_metadata};

#[tokio::test]
async fn baggage_goes_on_only_for_keys_that_are_named() {
    let entries = [("baggage", "tenant=blue;p=1,secret=s%20t,other=x")];
    let world = World::start().await;
    let request = with_metadata(list(1001), &entries);
    world.list(request).await.expect("a list");
    let world_requests = world.handle.requests();
    assert_eq!(world_requests[0].header("baggage"), None);

    let world = World::configured(|config| {
        config.server.baggage_keys = vec!["tenant".to_owned(), "absent".to_owned()];
    })
    .await;
    let request = with_metadata(list(1001), &entries);
    world.list(request).await.expect("a list");
    world.read(1001).await;
    let requests = world.handle.requests();
    assert_eq!(requests[0].header("baggage"), Some("tenant=blue;p=1"));
    assert_eq!(requests[1].header("baggage"), None);
}
