//! The harness of the RPC tests: the facade as production builds it, in front of the simulator, both
//! on loopback ports of their own, and a real client.

pub(crate) mod certificates;
mod failure;
pub(crate) mod raw_h2;
pub(crate) mod raw_http;
mod requests;
pub(crate) mod vectors;
mod world;

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Once, OnceLock},
    time::Duration,
};

use followme::{config::Config, domain::License, simulator::Options, telemetry};

pub(crate) use self::{
    failure::{Failure, failure},
    requests::{
        add, add_to, bound, delete, full_number, get, list, new_number, path, replace, seconds,
        settable, stored_number, update, with_metadata,
    },
    world::{World, channel, in_every_dialect},
};

/// The License that the facade is configured with and the simulator knows.
pub(crate) const LICENSE: &str = "DEMO-KEY";

/// A name and a period description that meet every trap of path, query, CSV and JSV at once.
pub(crate) const ODD_TEXT: &str = "Mom & Dad / \"home\", {x} 日本";

/// Says that the process is the one in which the suite runs once more to be searched for leaks, and
/// where it may write.
pub(crate) const SEARCHED: &str = "FOLLOWME_TESTS_SEARCHED";

#[expect(
    clippy::disallowed_methods,
    reason = "not a part of followme's configuration"
)]
fn searched() -> Option<PathBuf> {
    std::env::var_os(SEARCHED).map(PathBuf::from)
}

/// Returns the directory that tests may write to. No other process of the tests uses it.
pub(crate) fn scratch() -> PathBuf {
    static OWN: OnceLock<PathBuf> = OnceLock::new();
    searched().unwrap_or_else(|| OWN.get_or_init(own_directory).clone())
}

/// Makes the directory of this process, and removes those of processes that have ended.
fn own_directory() -> PathBuf {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    for entry in fs::read_dir(all).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_prefix("process-"));
        if id.is_some_and(|id| !Path::new("/proc").join(id).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let own = all.join(format!("process-{}", std::process::id()));
    let _ = fs::remove_dir_all(&own);
    fs::create_dir_all(&own).expect("the directory of tests can be written");
    own
}

static TELEMETRY: Once = Once::new();

/// Installs the subscriber of production, once for the process: with its logs off; or, where it is
/// searched for leaks, with all of them on, and an export as the environment says.
pub(crate) fn install_telemetry() {
    TELEMETRY.call_once(|| {
        let mut config = telemetry::Config {
            log_filter: Some("off".to_owned()),
            ..telemetry::Config::default()
        };
        if searched().is_some() {
            // The simulator plays another process; a hundred million bytes of frames
            // are searched elsewhere (`telemetry::redaction`).
            config.log_filter = Some("trace,followme::simulator=off,h2=off".to_owned());
            (config.export_traces, config.export_metrics) = (true, true);
            telemetry::install_panic_hook();
        }
        // Exporters live longer than the runtime of the test that comes first.
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let runtime = Box::leak(Box::new(runtime));
        let _inside = runtime.enter();
        // What was not sent at the end is not needed.
        let _ = telemetry::install(&config).expect("no other subscriber is installed");
    });
}

/// The options of a simulator with the demo accounts 1001 (three numbers), 1002 (one), 1003 (none).
pub(crate) fn demo() -> Options {
    Options {
        seed_demo: true,
        ..Options::default()
    }
}

/// A configuration with the defaults of production, on a free port. Reads are not sent again: a
/// fault that acts once is to be seen.
pub(crate) fn config(upstream: SocketAddr) -> Config {
    let url = format!("http://{upstream}/")
        .parse()
        .expect("an address makes a URL");
    let license = License::new(LICENSE).expect("the License is one");
    let mut config = Config::new(url, Some(license));
    config.listen = SocketAddr::from(([127, 0, 0, 1], 0));
    config.upstream.read_retries = 0;
    config.audit.file = Some("/dev/null".into());
    config
}

/// A timeout that a test sets so that the facade gives up soon.
pub(crate) const SOON: Duration = Duration::from_millis(300);
