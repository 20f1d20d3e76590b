//! Command line of followme: `serve`, `demo`, `simulate`, `config`.

use std::{
    io::{self, Write as _},
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};
use followme::{
    app::App,
    config::{self, Config, ConfigError, DEFAULT_LISTEN, Flags, ProcessEnvironment},
    domain::License,
    format::csv::Newline,
    simulator::{Dialect, Knobs, Options, Simulator},
    telemetry,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
    sync::watch,
};

/// The License that the simulated upstream knows from the start.
const DEMO_LICENSE: &str = "DEMO-KEY";

/// Bad configuration: EX_USAGE of sysexits.
const EXIT_CONFIG: u8 = 64;

#[derive(Parser)]
#[command(version, about, disable_help_subcommand = true)]
struct Cli {
    /// How log lines are written: auto, text or json [env: FOLLOWME_LOG_FORMAT] [default: auto].
    #[arg(long, value_name = "FORMAT", global = true)]
    log_format: Option<String>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serves the facade in front of a PortaFollowMe service.
    Serve(Serve),
    /// Serves the facade and a simulated upstream in one process, and says what to type.
    Demo(Demo),
    /// Serves the simulated upstream alone.
    Simulate(Simulate),
    /// Checks or prints the configuration that `serve` would have with the same flags.
    #[command(subcommand, disable_help_subcommand = true)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Reads the configuration and every file that it names, and says what is wrong.
    Check(Serve),
    /// Prints the configuration in force, without secrets, as TOML that can be read back.
    Print(Serve),
}

#[derive(Args)]
struct Serve {
    /// A TOML file [env: FOLLOWME_CONFIG].
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The address of the gRPC server [env: FOLLOWME_LISTEN] [default: 127.0.0.1:50051].
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// The address of the service [env: FOLLOWME_UPSTREAM_URL].
    #[arg(long, value_name = "URL")]
    upstream_url: Option<String>,
    /// A file that holds the License [env: FOLLOWME_LICENSE_FILE; or the License itself in
    /// FOLLOWME_LICENSE].
    #[arg(long, value_name = "FILE")]
    license_file: Option<PathBuf>,
    /// Listens to others than this machine even without TLS or without callers
    /// [env: FOLLOWME_INSECURE].
    #[arg(long)]
    insecure: bool,
    /// The address of the admin pages; off where it is not set [env: FOLLOWME_ADMIN_LISTEN].
    #[arg(long, value_name = "ADDR")]
    admin_listen: Option<String>,
}

#[derive(Args)]
struct Demo {
    /// The address of the gRPC server.
    #[arg(long, value_name = "ADDR", default_value_t = DEFAULT_LISTEN)]
    listen: SocketAddr,
    /// The address of the simulated upstream.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    simulator_listen: SocketAddr,
    /// Listens to others than this machine.
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    host: Host,
}

#[derive(Args)]
struct Simulate {
    /// The address of the simulated upstream.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    #[command(flatten)]
    host: Host,
}

/// What kind of host the simulated upstream plays.
#[derive(Args)]
struct Host {
    /// The framework that is imitated.
    #[arg(long, value_enum, default_value = "v3")]
    dialect: DialectName,
    /// The newline of CSV answers.
    #[arg(long, value_enum, default_value = "lf")]
    newline: NewlineName,
    /// What is unknown of a live host, as JSON: `{"update_all": "every"}`; see the README.
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

/// A command that is ready to run.
enum Task {
    Serve(Box<Config>),
    Demo(Demo),
    Simulate(Simulate),
}

/// How long the threads that may block have to come to their end.
const THREADS_END: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = writeln!(io::stderr(), "followme: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(run());
    // A name that is not resolved, or a file that is not read, must not keep the process.
    runtime.shutdown_timeout(THREADS_END);
    code
}

async fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Prints help and version to standard output, mistakes to standard error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_CONFIG } else { 0 });
        }
    };
    let Cli {
        log_format,
        command,
    } = cli;
    let flags = Flags {
        log_format,
        ..Flags::default()
    };
    let ready = match command {
        Command::Serve(args) => serve_config(&args, flags).map(|config| {
            let told = config.telemetry.clone();
            (Task::Serve(Box::new(config)), told)
        }),
        Command::Demo(args) => {
            config::telemetry(&flags, &ProcessEnvironment).map(|told| (Task::Demo(args), told))
        }
        Command::Simulate(args) => {
            config::telemetry(&flags, &ProcessEnvironment).map(|told| (Task::Simulate(args), told))
        }
        Command::Config(command) => return show_config(&command, flags),
    };
    let (task, told) = match ready {
        Ok(ready) => ready,
        Err(mistakes) => return misconfigured(&mistakes),
    };
    let telemetry = match telemetry::install(&told) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            let cause = std::error::Error::source(&error);
            let cause = cause.map_or(String::new(), |cause| format!(": {cause}"));
            let _ = writeln!(io::stderr(), "followme: {error}{cause}");
            return ExitCode::from(EXIT_CONFIG);
        }
    };
    telemetry::install_panic_hook();
    let result = match task {
        Task::Serve(config) => serve(*config).await,
        Task::Demo(args) => demo(args).await,
        Task::Simulate(args) => simulate(args).await,
    };
    telemetry.shutdown().await;
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "followme: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Says that the configuration is good, or prints it.
fn show_config(command: &ConfigCommand, flags: Flags) -> ExitCode {
    let (ConfigCommand::Check(args) | ConfigCommand::Print(args)) = command;
    let config = match serve_config(args, flags) {
        Ok(config) => config,
        Err(mistakes) => return misconfigured(&mistakes),
    };
    let said = announce(&match command {
        ConfigCommand::Check(_) => "the configuration is good".to_owned(),
        ConfigCommand::Print(_) => config.redacted().trim_end().to_owned(),
    });
    ExitCode::from(u8::from(said.is_err()))
}

fn serve_config(args: &Serve, flags: Flags) -> Result<Config, Vec<ConfigError>> {
    let flags = Flags {
        config: args.config.clone(),
        listen: args.listen.clone(),
        upstream_url: args.upstream_url.clone(),
        license_file: args.license_file.clone(),
        insecure: args.insecure,
        admin_listen: args.admin_listen.clone(),
        ..flags
    };
    Config::load(&flags, &ProcessEnvironment)
}

fn misconfigured(mistakes: &[ConfigError]) -> ExitCode {
    let mut stderr = io::stderr();
    for mistake in mistakes {
        let _ = writeln!(stderr, "followme: {mistake}");
    }
    ExitCode::from(EXIT_CONFIG)
}

async fn build(config: Config) -> io::Result<App> {
    let listen = config.listen;
    App::build(config)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot serve on {listen}: {error}")))
}

async fn serve(config: Config) -> io::Result<()> {
    let signals = Signals::new()?;
    let app = build(config).await?;
    if let Some(admin) = app.admin_addr()? {
        announce(&format!("admin listening on {admin}"))?;
    }
    announce(&format!("grpc listening on {}", app.local_addr()?))?;
    tokio::select! {
        result = app.run(signals.nth(1)) => result,
        () = signals.nth(2) => Ok(()),
    }
}

async fn demo(args: Demo) -> io::Result<()> {
    let signals = Signals::new()?;
    let simulator = bind(args.host.options(args.simulator_listen)).await?;
    let address = simulator.local_addr();
    announce(&format!("simulator listening on {address}"))?;
    let url = format!("http://{address}/")
        .parse()
        .map_err(io::Error::other)?;
    let license = License::new(DEMO_LICENSE).map_err(io::Error::other)?;
    let mut config = Config::new(url, Some(license));
    config.listen = args.listen;
    config.insecure = args.insecure;
    // Nobody has to take note that a demo ends.
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
         Ctrl-C ends it."
    ))?;
    tokio::select! {
        result = app.run(signals.nth(1)) => result,
        () = simulator.run(signals.nth(2)) => Ok(()),
    }
}

async fn simulate(args: Simulate) -> io::Result<()> {
    let signals = Signals::new()?;
    let simulator = bind(args.host.options(args.listen)).await?;
    announce(&format!(
        "simulator listening on {}",
        simulator.local_addr()
    ))?;
    simulator.run(signals.nth(1)).await;
    Ok(())
}

/// Binds the simulator, or says which address cannot be had.
async fn bind(options: Options) -> io::Result<Simulator> {
    let listen = options.listen;
    Simulator::bind(options)
        .await
        .map_err(|error| io::Error::new(error.kind(), format!("cannot serve on {listen}: {error}")))
}

fn announce(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}

/// Counts the signals that ask the process to end: SIGTERM and SIGINT. The first asks it to end
/// well, the second at once.
struct Signals(watch::Receiver<u32>);

impl Signals {
    fn new() -> io::Result<Self> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let (count, receiver) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                count.send_modify(|count| *count += 1);
            }
        });
        Ok(Self(receiver))
    }

    /// Completes at the signal with this number.
    fn nth(&self, number: u32) -> impl Future<Output = ()> + Send + use<> {
        let mut count = self.0.clone();
        async move {
            // The sender lives as long as the process.
            let _ = count.wait_for(|count| *count >= number).await;
        }
    }
}
