//! The control pages.

use super::*;

async fn control(addr: SocketAddr, method: &str, page: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let target = format!("/_simulator/{page}");
    let got = raw_http::send(
        addr,
        &raw_http::request(addr, method, &target, &[], body.as_bytes()),
    )
    .await;
    let got = got.response();
    (
        got.status(),
        serde_json::from_slice(&got.body).expect("JSON"),
    )
}

#[tokio::test]
async fn control_pages_arm_show_and_disarm_faults() {
    let (addr, _) = demo().await;
    let faults = json!([
        { "route": "get_all", "kind": { "name": "html", "status": 502 } },
        { "account": 1002, "count": 3, "skip": 1, "kind": { "name": "reset", "when": "before" } },
    ]);
    let (status, shown) = control(addr, "POST", "faults", &faults).await;
    assert_eq!(
        (status, shown["armed"].as_array().map(Vec::len)),
        (200, Some(2))
    );
    assert_eq!(get(addr, GET_ALL).await.status(), 502);
    let (_, shown) = control(addr, "GET", "faults", &Value::Null).await;
    assert_eq!(
        shown["fired"],
        json!([{ "request": 1, "kind": { "name": "html", "status": 502 } }])
    );
    assert_eq!(shown["armed"][0]["count"], 3);
    let (_, shown) = control(addr, "DELETE", "faults", &Value::Null).await;
    assert_eq!(shown, json!({ "armed": [] }));
    let odd = json!({ "kind": { "name": "no_such_fault" } });
    let (status, refusal) = control(addr, "POST", "faults", &odd).await;
    assert_eq!(status, 400);
    assert!(
        refusal["error"].to_string().contains("no_such_fault"),
        "{refusal}"
    );
}

#[tokio::test]
async fn control_pages_set_knobs() {
    let (addr, handle) = demo().await;
    let (status, knobs) = control(addr, "PUT", "knobs", &json!({ "write_answer": "null" })).await;
    assert_eq!((status, &knobs["write_answer"]), (200, &json!("null")));
    assert_eq!(handle.knobs().write_answer, WriteAnswer::Null);
    assert_eq!(control(addr, "GET", "knobs", &Value::Null).await.1, knobs);
    assert_eq!(
        control(addr, "PUT", "knobs", &json!({ "no_knob": 1 }))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn control_pages_show_logs_and_store_and_release_held_calls() {
    let (addr, handle) = demo_failing(FaultKind::Hold { when: When::After }).await;
    let call = tokio::spawn(get(addr, ADD));
    handle.wait_for_fired("hold", 1).await;
    assert_eq!(control(addr, "POST", "release", &Value::Null).await.0, 200);
    assert_eq!(call.await.expect("the call ends").status(), 200);
    let (_, requests) = control(addr, "GET", "requests", &Value::Null).await;
    assert_eq!(
        requests.as_array().map(Vec::len),
        Some(1),
        "control pages are not logged"
    );
    assert_eq!(
        (&requests[0]["target"], &requests[0]["route"]),
        (&json!(ADD), &json!("add"))
    );
    let (_, effects) = control(addr, "GET", "effects", &Value::Null).await;
    assert_eq!(
        (&effects[0]["kind"], &effects[0]["id"]),
        (&json!("add"), &json!(70005))
    );
    let (_, accounts) = control(addr, "GET", "accounts", &Value::Null).await;
    assert_eq!(accounts["DEMO-KEY"]["1002"]["numbers"][1]["name"], "Van");
    assert_eq!(control(addr, "GET", "nothing", &Value::Null).await.0, 404);
}

#[tokio::test]
async fn the_reference_names_every_fault_knob_and_page() {
    let reference = [
        followme::simulator::faults_reference(),
        followme::simulator::knobs_reference(),
        followme::simulator::control_pages_reference(),
    ]
    .concat();
    let row = |cell: &str| {
        let start = format!("| {cell} |");
        let mut rows = reference.lines().filter(|line| line.starts_with(&start));
        let row = rows
            .next()
            .unwrap_or_else(|| panic!("no {start} in\n{reference}"));
        assert!(
            row.matches('|').count() >= 3 && !row.contains("|  |  |"),
            "{row}"
        );
        row.to_owned()
    };
    for name in FaultKind::names() {
        row(&format!("`{name}`"));
    }
    let knobs = serde_json::to_value(Knobs::default()).expect("knobs are JSON");
    for name in knobs.as_object().expect("an object").keys() {
        row(&format!("`{name}`"));
    }
    assert!(row("`gateway`").ends_with("| `status`, `when` |"));
    assert!(row("`update_all`").contains("`\"every\"`: Gives every number"));
    assert!(row("`when`").contains("`{\"late\":{\"ms\":0}}`"));
    let (addr, _) = demo().await;
    let pages = reference
        .lines()
        .filter_map(|line| line.strip_prefix("| `"));
    let mut count = 0;
    for page in pages.filter(|line| line.contains("/_simulator/")) {
        let (request, _) = page.split_once('`').expect("a page is code");
        let (method, target) = request.split_once(' ').expect("a method and a page");
        let got = raw_http::send(addr, &raw_http::request(addr, method, target, &[], b"{}")).await;
        assert_ne!(got.response().status(), 404, "{request}");
        count += 1;
    }
    assert_eq!(count, 9);
}
