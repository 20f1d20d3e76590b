//! The `followme` command.

mod cli;
#[cfg(feature = "simulator")]
mod demo;
mod journal_command;
mod signals;

use std::{
    error::Error as _,
    io::{self, Write as _},
    pin::Pin,
    process::ExitCode,
    time::Duration,
};

use clap::Parser as _;
use followme::{
    app::App,
    config::{Config, ConfigError, Environment, Flags},
    journal::OpenError,
    telemetry,
};
use mimalloc::MiMalloc;
use tokio::runtime::Runtime;

use cli::{Cli, Command, ConfigCommand};
use signals::Signals;

/// A call makes some hundred short-lived allocations, which glibc's allocator serves more slowly.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// The exit status of a wrong command line or configuration: EX_USAGE of sysexits.
const EXIT_CONFIG: u8 = 64;

/// How long the process waits at its end for threads that block, such as in a name lookup.
const BLOCKED_THREADS_LIMIT: Duration = Duration::from_secs(1);

/// The work of a command.
type Task = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Why a command failed: lines for standard error, and the exit status.
struct Failure(Vec<String>, u8);

impl From<Vec<ConfigError>> for Failure {
    fn from(errors: Vec<ConfigError>) -> Self {
        Self(
            errors.iter().map(ToString::to_string).collect(),
            EXIT_CONFIG,
        )
    }
}

impl From<telemetry::Error> for Failure {
    fn from(error: telemetry::Error) -> Self {
        let source = error.source().map(|source| format!(": {source}"));
        Self(
            vec![format!("{error}{}", source.unwrap_or_default())],
            EXIT_CONFIG,
        )
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        let inner = error.get_ref();
        let is_config = inner.is_some_and(|inner| inner.is::<OpenError>());
        let status = if is_config { EXIT_CONFIG } else { 1 };
        Self(vec![error.to_string()], status)
    }
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, errors to standard error.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_CONFIG } else { 0 });
        }
    };
    let result = Runtime::new().map_err(Failure::from).and_then(|runtime| {
        let result = runtime.block_on(run(cli));
        runtime.shutdown_timeout(BLOCKED_THREADS_LIMIT);
        telemetry::flush_logs();
        result
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure(lines, status)) => {
            for line in lines {
                let _ = writeln!(io::stderr(), "followme: {line}");
            }
            ExitCode::from(status)
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    let log_format = cli.log_format;
    let (telemetry, task): (telemetry::Config, Task) = match cli.command {
        Command::Config(ConfigCommand::Check(flags)) => {
            load(flags, log_format)?;
            return Ok(announce("the configuration is valid")?);
        }
        Command::Config(ConfigCommand::Print(flags)) => {
            let config = load(flags, log_format)?;
            return Ok(announce(config.redacted().trim_end())?);
        }
        Command::Journal(command) => return journal_command::run(command, log_format),
        Command::Serve(flags) => {
            let config = load(flags, log_format)?;
            (config.telemetry.clone(), Box::pin(serve(config)))
        }
        #[cfg(feature = "simulator")]
        Command::Demo(args) => (without_config(log_format)?, Box::pin(demo::demo(args))),
        #[cfg(feature = "simulator")]
        Command::Simulate(args) => (without_config(log_format)?, Box::pin(demo::simulate(args))),
    };
    let telemetry = telemetry::install(&telemetry)?;
    telemetry::install_panic_hook();
    let result = task.await;
    telemetry.shutdown().await;
    Ok(result?)
}

fn load(flags: Flags, log_format: Option<String>) -> Result<Config, Vec<ConfigError>> {
    let flags = Flags {
        log_format,
        ..flags
    };
    Config::load(&flags, &Environment::of_process())
}

/// Reads the configuration of telemetry for a command that has no other.
#[cfg(feature = "simulator")]
fn without_config(log_format: Option<String>) -> Result<telemetry::Config, Vec<ConfigError>> {
    followme::config::telemetry(log_format, &Environment::of_process())
}

async fn serve(config: Config) -> io::Result<()> {
    let signals = Signals::new()?;
    // It may wait for the process that has the journal.
    let app = tokio::select! {
        app = build(config) => app?,
        () = signals.nth(1) => return Ok(()),
    };
    if let Some(admin) = app.admin_addr()? {
        announce(&format!("admin listening on {admin}"))?;
    }
    announce(&format!("grpc listening on {}", app.local_addr()?))?;
    tokio::select! {
        result = app.run(signals.nth(1)) => result,
        () = signals.nth(2) => Ok(()),
    }
}

/// Builds the facade, or names the address that cannot be bound.
async fn build(config: Config) -> io::Result<App> {
    let listen = config.listen;
    App::build(config).await.map_err(|error| {
        if error.get_ref().is_some_and(|inner| inner.is::<OpenError>()) {
            return error;
        }
        io::Error::new(error.kind(), format!("cannot serve on {listen}: {error}"))
    })
}

/// Writes to standard output at once.
fn announce(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}")?;
    stdout.flush()
}
