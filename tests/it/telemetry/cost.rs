//! What telemetry costs a call, in processor time of the facade. Prints figures; a build that is not
//! optimised hides them behind its own cost:
//!
//! ```sh
//! cargo test --profile quick --test it telemetry::cost -- --ignored --nocapture
//! ```

use std::{fs, time::Duration};

use followme::grpc::pb::follow_me_service_client::FollowMeServiceClient;

use super::receiver::{receive, serve, upstream};
use crate::{
    cli::Process,
    support::{LICENSE, channel, list, with_metadata},
};

const CALLS: u32 = 3000;
const SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const NOT_SAMPLED: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";

/// Returns the processor time that a process has taken, all threads together (proc(5)).
fn processor_time(process: &Process) -> Duration {
    let path = format!("/proc/{}/task", process.id());
    let nanoseconds: u64 = fs::read_dir(path)
        .expect("it runs")
        .map(|task| {
            let path = task.expect("a thread").path().join("schedstat");
            // A thread may have ended meanwhile.
            let text = fs::read_to_string(path).unwrap_or_default();
            let time = text.split(' ').next().and_then(|time| time.parse().ok());
            time.unwrap_or(0_u64)
        })
        .sum();
    Duration::from_nanos(nanoseconds)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "prints figures: see the head of the file"]
async fn what_a_call_costs_that_is_traced_or_not() {
    let (_received, collector, _task) = receive().await;
    let upstream = upstream(LICENSE).await;
    let endpoint = format!("http://{collector}");
    let export = ("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint.as_str());
    let quiet = ("RUST_LOG", "off");
    for (what, environment, traceparent) in [
        ("no export, no log", vec![quiet], NOT_SAMPLED),
        (
            "export, not sampled, no log",
            vec![quiet, export],
            NOT_SAMPLED,
        ),
        ("export, sampled, no log", vec![quiet, export], SAMPLED),
        ("no export, access lines", vec![], NOT_SAMPLED),
        ("export, sampled, access lines", vec![export], SAMPLED),
    ] {
        let environment = [vec![("FOLLOWME_LICENSE", LICENSE)], environment].concat();
        let mut process = serve("cost", "", upstream.local_addr(), &environment);
        let addr = process.address("grpc listening on");
        let mut client = FollowMeServiceClient::new(channel(addr).await);
        let mut before = Duration::ZERO;
        // The first third warms up.
        for call in 0..CALLS * 3 / 2 {
            if call == CALLS / 2 {
                before = processor_time(&process);
            }
            let request = with_metadata(list(1001), &[("traceparent", traceparent)]);
            client.list(request).await.expect("a list");
        }
        let took = processor_time(&process) - before;
        println!("{what}: {:?} of processor time a call", took / CALLS);
        process.signal("TERM");
        process.end();
    }
}
