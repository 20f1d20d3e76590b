//! The harness of the RPC tests: the facade as production builds it, in front of the simulator, both
//! on loopback ports of their own, and a real client.

pub(crate) mod certificates;
pub(crate) mod raw_http;
pub(crate) mod vectors;

use std::{collections::HashMap, net::SocketAddr, path::PathBuf, sync::Once, time::Duration};

use followme::{
    app::App,
    config::Config,
    domain::License,
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{
        Dialect, Effect, Fault, FaultKind, Handle, Knobs, Newline, Options, Received, Route,
        Settings, Simulator, StoredNumber,
    },
    telemetry,
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{Code, IntoRequest, Request, Status, transport::Channel};
use tonic_types::StatusExt as _;

use crate::support::raw_http::PATIENCE;

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

/// Returns the directory that tests may write to.
pub(crate) fn scratch() -> PathBuf {
    searched().unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")))
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
            // The simulator stands for somebody else's process; a hundred million bytes of frames
            // are searched elsewhere (`telemetry::canary`).
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

/// The facade in front of a simulator. Dropping it ends both.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) addr: SocketAddr,
    client: FollowMeServiceClient<Channel>,
    tasks: JoinSet<()>,
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

impl World {
    /// Starts with the demo accounts, v3, and the defaults of production.
    pub(crate) async fn start() -> Self {
        Self::with(demo(), |_| {}).await
    }

    /// Starts with the demo accounts on a kind of host.
    pub(crate) async fn on(dialect: Dialect, newline: Newline) -> Self {
        let options = Options {
            dialect,
            newline,
            ..demo()
        };
        Self::with(options, |_| {}).await
    }

    /// Starts with the demo accounts and knobs.
    pub(crate) async fn knobs(knobs: Knobs) -> Self {
        Self::with(Options { knobs, ..demo() }, |_| {}).await
    }

    /// Starts with the demo accounts and a configuration of its own.
    pub(crate) async fn configured(edit: impl FnOnce(&mut Config)) -> Self {
        Self::with(demo(), edit).await
    }

    pub(crate) async fn with(options: Options, edit: impl FnOnce(&mut Config)) -> Self {
        let simulator = Simulator::bind(options)
            .await
            .expect("a loopback port is free");
        let handle = simulator.handle();
        let mut tasks = JoinSet::new();
        tasks.spawn(simulator.run(std::future::pending()));
        Self::in_front(handle, tasks, edit).await
    }

    /// Puts a facade with another License in the place of the one that is there.
    pub(crate) async fn with_license(self, license: &str) -> Self {
        let license = License::new(license).expect("the License is one");
        Self::in_front(self.handle, self.tasks, |config| {
            config.security.policy.anonymous.license = Some(license);
        })
        .await
    }

    async fn in_front(
        handle: Handle,
        mut tasks: JoinSet<()>,
        edit: impl FnOnce(&mut Config),
    ) -> Self {
        install_telemetry();
        let mut config = config(handle.local_addr());
        edit(&mut config);
        let app = App::build(config).await.expect("a loopback port is free");
        let addr = app.local_addr().expect("a bound listener has an address");
        tasks.spawn(async move {
            app.run(std::future::pending())
                .await
                .expect("the server runs");
        });
        let client = FollowMeServiceClient::new(channel(addr).await);
        Self {
            handle,
            addr,
            client,
            tasks,
        }
    }

    pub(crate) fn client(&self) -> FollowMeServiceClient<Channel> {
        self.client.clone()
    }

    pub(crate) fn arm(&self, kind: FaultKind, route: Route) {
        self.handle.arm(Fault::once(kind).on(route));
    }

    /// Creates or replaces an account of the configured License.
    pub(crate) fn seed(&self, account: i32, numbers: Vec<StoredNumber>) {
        self.handle
            .seed(LICENSE, account, numbers, Settings::default());
    }

    /// Returns what the simulator keeps for a number.
    pub(crate) fn stored(&self, account: i32, id: i32) -> StoredNumber {
        self.handle
            .numbers(LICENSE, account)
            .expect("the account exists")
            .into_iter()
            .find(|number| number.id == id)
            .expect("the number exists")
    }

    /// Reads a whole list.
    pub(crate) async fn read(&self, account: i32) -> pb::ListResponse {
        self.list(pb::ListRequest {
            account_id: account,
            ..pb::ListRequest::default()
        })
        .await
        .expect("the list can be read")
    }

    /// Reads one number from the list.
    pub(crate) async fn number(&self, account: i32, id: i32) -> pb::FollowMeNumber {
        self.read(account)
            .await
            .numbers
            .into_iter()
            .find(|number| number.number_id == id)
            .expect("the list has the number")
    }

    /// Returns the requests that can have changed something.
    pub(crate) fn writes(&self) -> Vec<Received> {
        self.handle
            .requests()
            .into_iter()
            .filter(|request| {
                !request.target.starts_with("/getfollowmes/")
                    && !request.target.starts_with("/getafollowme/")
            })
            .collect()
    }

    /// Returns method and path of the requests that can have changed something.
    pub(crate) fn write_paths(&self) -> Vec<String> {
        self.writes()
            .iter()
            .map(|request| format!("{} {}", request.method, path(request)))
            .collect()
    }

    pub(crate) fn effects(&self) -> Vec<Effect> {
        self.handle.effects()
    }

    /// Checks that a fault acted, once.
    pub(crate) fn assert_fired(&self, name: &str) {
        assert_eq!(self.handle.fired_count(name), 1, "fault {name} acted once");
    }
}

/// Connects to the facade.
pub(crate) async fn channel(addr: SocketAddr) -> Channel {
    Channel::from_shared(format!("http://{addr}"))
        .expect("an address makes a URL")
        .connect()
        .await
        .expect("the facade listens")
}

macro_rules! rpcs {
    ($($rpc:ident: $request:ident -> $response:ident;)*) => {
        impl World {
            $(
                pub(crate) async fn $rpc(
                    &self,
                    request: impl IntoRequest<pb::$request>,
                ) -> Result<pb::$response, Status> {
                    let response = timeout(PATIENCE, self.client().$rpc(request))
                        .await
                        .expect("the call ends in time")?;
                    for value in response.metadata().clone().into_headers().values() {
                        assert!(!format!("{value:?}").contains(LICENSE));
                    }
                    Ok(response.into_inner())
                }
            )*
        }
    };
}

rpcs! {
    add: AddRequest -> AddResponse;
    update: UpdateRequest -> UpdateResponse;
    delete: DeleteRequest -> DeleteResponse;
    get: GetRequest -> GetResponse;
    list: ListRequest -> ListResponse;
    replace_all: ReplaceAllRequest -> ReplaceAllResponse;
}

/// Makes one test for each kind of host of a function that takes the world.
macro_rules! in_every_dialect {
    ($($name:ident),* $(,)?) => {
        $(
            mod $name {
                use followme::simulator::{Dialect, Newline};

                #[tokio::test]
                async fn v3_lf() {
                    super::$name(crate::support::World::on(Dialect::V3, Newline::Lf).await).await;
                }

                #[tokio::test]
                async fn v3_crlf() {
                    super::$name(crate::support::World::on(Dialect::V3, Newline::CrLf).await).await;
                }

                #[tokio::test]
                async fn v4() {
                    super::$name(crate::support::World::on(Dialect::V4, Newline::CrLf).await).await;
                }

                #[tokio::test]
                async fn aspnet() {
                    super::$name(crate::support::World::on(Dialect::AspNet, Newline::CrLf).await)
                        .await;
                }
            }
        )*
    };
}
pub(crate) use in_every_dialect;

/// A failed call: the status and what its details say.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: Code,
    pub(crate) reason: String,
    pub(crate) metadata: HashMap<String, String>,
    /// Field and description of each violation.
    pub(crate) violations: Vec<(String, String)>,
    pub(crate) status: Status,
}

impl Failure {
    /// Returns the fields of the violations.
    pub(crate) fn fields(&self) -> Vec<&str> {
        self.violations
            .iter()
            .map(|(field, _)| field.as_str())
            .collect()
    }

    pub(crate) fn violation(&self, field: &str) -> &str {
        self.violations
            .iter()
            .find(|(known, _)| known == field)
            .map(|(_, description)| description.as_str())
            .expect("the field is among the violations")
    }

    pub(crate) fn meta(&self, key: &str) -> Option<&str> {
        self.metadata.get(key).map(String::as_str)
    }

    /// Returns how far a replace-all came.
    pub(crate) fn incomplete(&self) -> pb::ReplaceIncomplete {
        use prost::Message as _;
        let status = tonic_types::pb::Status::decode(self.status.details())
            .expect("the details are a google.rpc.Status");
        let detail = status
            .details
            .iter()
            .find(|detail| {
                detail
                    .type_url
                    .ends_with("porta.followme.v1.ReplaceIncomplete")
            })
            .expect("the status says how far it came");
        pb::ReplaceIncomplete::decode(detail.value.as_slice()).expect("the detail can be decoded")
    }
}

/// Takes a failed call apart, and checks what holds for every status: an ErrorInfo of our domain,
/// less than 4 KiB, and no License anywhere.
pub(crate) fn failure<T: std::fmt::Debug>(result: Result<T, Status>) -> Failure {
    let status = result.expect_err("the call fails");
    let details = status.get_error_details();
    let info = details
        .error_info()
        .unwrap_or_else(|| panic!("every status has an ErrorInfo: {status:?}"));
    assert_eq!(info.domain, "followme.porta");
    assert!(
        info.reason
            .bytes()
            .all(|byte| byte.is_ascii_uppercase() || byte == b'_'),
        "{}",
        info.reason
    );
    assert!(status.details().len() < 4096, "{}", status.details().len());
    let everything = format!("{status:?} {details:?}");
    assert!(!everything.contains(LICENSE), "{everything}");
    let violations = details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default();
    Failure {
        code: status.code(),
        reason: info.reason.clone(),
        metadata: info.metadata.clone(),
        violations: violations
            .iter()
            .map(|violation| (violation.field.clone(), violation.description.clone()))
            .collect(),
        status: status.clone(),
    }
}

/// Returns the path of a request.
pub(crate) fn path(request: &Received) -> &str {
    request
        .target
        .split_once('?')
        .map_or(request.target.as_str(), |(path, _)| path)
}

/// Returns what the framework bound to a property.
pub(crate) fn bound<'a>(request: &'a Received, property: &str) -> Option<&'a str> {
    request.bound.as_ref()?.get(property)?.as_str()
}

pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A new number with its name and destination.
pub(crate) fn new_number(name: &str, redirect_number: &str) -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        name: name.to_owned(),
        redirect_number: redirect_number.to_owned(),
        ..pb::FollowMeNumber::default()
    }
}

/// A new number that says something about every field.
pub(crate) fn full_number() -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        name: ODD_TEXT.to_owned(),
        redirect_number: "15550120".to_owned(),
        domain: "pbx.example.com".to_owned(),
        order: Some(7),
        ring_timeout: seconds(25),
        active: Some(false),
        keep_original_cld: Some(true),
        caller_id_mode: pb::CallerIdMode::CallerNumber.into(),
        period: "hr{9am-5pm} wd{mo-fr}, md{1 15}".to_owned(),
        period_description: ODD_TEXT.to_owned(),
        status: Some(true),
        ..pb::FollowMeNumber::default()
    }
}

/// Leaves what a caller can set, for comparing what was read with what was sent.
pub(crate) fn settable(number: &pb::FollowMeNumber) -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        account_id: 0,
        number_id: 0,
        follow_me_id: None,
        etag: String::new(),
        unrecognized: HashMap::new(),
        ..number.clone()
    }
}

/// Asks to add a number to account 1001.
pub(crate) fn add(number: pb::FollowMeNumber) -> pb::AddRequest {
    add_to(1001, number)
}

pub(crate) fn add_to(account: i32, number: pb::FollowMeNumber) -> pb::AddRequest {
    pb::AddRequest {
        account_id: account,
        number: Some(number),
        ..pb::AddRequest::default()
    }
}

/// Asks to change the named fields of a number of account 1001.
pub(crate) fn update(id: i32, paths: &[&str], number: pb::FollowMeNumber) -> pb::UpdateRequest {
    pb::UpdateRequest {
        number: Some(pb::FollowMeNumber {
            account_id: 1001,
            number_id: id,
            ..number
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..pb::UpdateRequest::default()
    }
}

/// Asks to delete a number of account 1001.
pub(crate) fn delete(id: i32) -> pb::DeleteRequest {
    pb::DeleteRequest {
        account_id: 1001,
        number_id: id,
        ..pb::DeleteRequest::default()
    }
}

pub(crate) fn list(account: i32) -> pb::ListRequest {
    pb::ListRequest {
        account_id: account,
        ..pb::ListRequest::default()
    }
}

pub(crate) fn get(account: i32, id: i32) -> pb::GetRequest {
    pb::GetRequest {
        account_id: account,
        number_id: id,
    }
}

pub(crate) fn replace(account: i32, numbers: Vec<pb::FollowMeNumber>) -> pb::ReplaceAllRequest {
    pb::ReplaceAllRequest {
        account_id: account,
        numbers,
        ..pb::ReplaceAllRequest::default()
    }
}

/// Adds a metadata entry to a request.
pub(crate) fn with_metadata<T>(request: T, entries: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(request);
    for (key, value) in entries {
        let value = value.parse().expect("the value is visible ASCII");
        request.metadata_mut().insert(*key, value);
    }
    request
}

/// A number as the simulator keeps one, with every field set.
pub(crate) fn stored_number(name: &str, redirect_number: &str, order: i32) -> StoredNumber {
    let text = |value: &str| Some(value.to_owned());
    StoredNumber {
        redirect_number: text(redirect_number),
        name: text(name),
        order: Some(order),
        domain: text("sip.example.com"),
        timeout: Some(20),
        keep_original_cld: text("N"),
        keep_original_cli: text("Y"),
        period: text("hr{9am-5pm}"),
        period_description: text("Office hours"),
        active: text("Y"),
        ..StoredNumber::default()
    }
}

/// A bound that a test sets where the facade shall give up soon.
pub(crate) const SOON: Duration = Duration::from_millis(300);
