//! The facade as production builds it, in front of the simulator, and a client of it.

use std::net::SocketAddr;

use followme::{
    app::App,
    config::Config,
    domain::License,
    grpc::pb::{self, follow_me_service_client::FollowMeServiceClient},
    simulator::{
        Dialect, Effect, Fault, FaultKind, Handle, Knobs, Newline, Options, Received, Route,
        Settings, Simulator, StoredNumber,
    },
};
use tokio::{task::JoinSet, time::timeout};
use tonic::{IntoRequest, Status, transport::Channel};

use super::{LICENSE, config, demo, install_telemetry, path};
use crate::support::raw_http::PATIENCE;

/// The facade in front of a simulator. Dropping it ends both.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) addr: SocketAddr,
    client: FollowMeServiceClient<Channel>,
    tasks: JoinSet<()>,
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

    /// Replaces the facade by one with another License.
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
