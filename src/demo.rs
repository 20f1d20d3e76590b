//! The commands with the simulated upstream: `demo` and `simulate`.

use std::{io, net::SocketAddr, time::Duration};

use clap::{Args, ValueEnum};
use followme::{
    config::{Config, DEFAULT_LISTEN},
    domain::License,
    simulator::{Dialect, Knobs, Newline, Options, Simulator},
};

use crate::{announce, build, signals::Signals};

/// The License that the simulator knows from the start.
const DEMO_LICENSE: &str = "DEMO-KEY";

#[derive(Args)]
pub(crate) struct Demo {
    /// Address of the gRPC server.
    #[arg(long, value_name = "ADDR", default_value_t = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// Address of the simulated service.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    simulator_listen: SocketAddr,
    /// Allows a non-loopback address for the gRPC server.
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    host: Host,
}

#[derive(Args)]
pub(crate) struct Simulate {
    /// Address of the simulated service.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    host: Host,
}

/// The host that the simulator imitates.
#[derive(Args)]
struct Host {
    /// ServiceStack version, or hosting, that the simulated service imitates.
    #[arg(long, value_enum, default_value = "v3")]
    dialect: DialectName,
    /// Newline of CSV answers.
    #[arg(long, value_enum, default_value = "lf")]
    newline: NewlineName,
    /// Behaviours that differ between hosts, as JSON such as `{"update_all": "every"}`; see
    /// docs/simulator.md.
    #[arg(long, value_name = "JSON", value_parser = knobs, default_value = "{}")]
    knobs: Knobs,
}

#[derive(Clone, Copy, ValueEnum)]
enum DialectName {
    V3,
    V4,
    Aspnet,
}

#[derive(Clone, Copy, ValueEnum)]
enum NewlineName {
    Lf,
    Crlf,
}

fn knobs(text: &str) -> Result<Knobs, String> {
    serde_json::from_str(text).map_err(|error| error.to_string())
}

impl Host {
    fn options(self, listen: SocketAddr) -> Options {
        Options {
            listen,
            dialect: match self.dialect {
                DialectName::V3 => Dialect::V3,
                DialectName::V4 => Dialect::V4,
                DialectName::Aspnet => Dialect::AspNet,
            },
            newline: match self.newline {
                NewlineName::Lf => Newline::Lf,
                NewlineName::Crlf => Newline::CrLf,
            },
            knobs: self.knobs,
            seed_demo: true,
            ..Options::default()
        }
    }
}

/// Serves gRPC in front of a simulated upstream until a signal.
pub(crate) async fn demo(args: Demo) -> io::Result<()> {
    let signals = Signals::new()?;
    let simulator = bind(args.host.options(args.simulator_listen)).await?;
    let url = format!("http://{}/", simulator.local_addr());
    let url = url.parse().map_err(io::Error::other)?;
    let license = License::new(DEMO_LICENSE).map_err(io::Error::other)?;
    let mut config = Config::new(url, Some(license));
    config.listen = args.listen;
    config.insecure = args.insecure;
    // No load balancer has to notice that a demo ends.
    config.server.drain_delay = Duration::ZERO;
    let app = build(config).await?;
    let grpc = app.local_addr()?;
    announce(&format!(
        "grpc listening on {grpc}\n\
         \n\
         Account 1001 has three numbers. In another terminal, with grpcurl:\n\
         \n\
         grpcurl -plaintext -d '{{\"account_id\": 1001}}' {grpc} \
         porta.followme.v1.FollowMeService/List\n\
         grpcurl -plaintext {grpc} describe porta.followme.v1.FollowMeService\n\
         \n\
         Press Ctrl-C to stop."
    ))?;
    tokio::select! {
        result = app.run(signals.nth(1)) => result,
        () = simulator.run(signals.nth(2)) => Ok(()),
    }
}

/// Serves the simulated upstream until a signal.
pub(crate) async fn simulate(args: Simulate) -> io::Result<()> {
    let signals = Signals::new()?;
    let simulator = bind(args.host.options(args.listen)).await?;
    simulator.run(signals.nth(1)).await;
    Ok(())
}

/// Binds the simulator and prints its address, or names the address that cannot be bound.
async fn bind(options: Options) -> io::Result<Simulator> {
    let listen = options.listen;
    let simulator = Simulator::bind(options).await.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot serve on {listen}: {error}"))
    })?;
    announce(&format!(
        "simulator listening on {}",
        simulator.local_addr()
    ))?;
    Ok(simulator)
}
