//! `log_format`, `admin_*` and `[telemetry]`: logs, admin pages and the audit log; and the
//! variables `RUST_LOG` and `OTEL_*`, which have no key.

use std::{net::SocketAddr, path::PathBuf};

use super::{
    ConfigError, Flags,
    environment::Environment,
    file::File,
    key::to_toml,
    server::address,
    source::{Section, Source},
};
use crate::telemetry::{self, audit, logs};

pub(super) struct Telemetry {
    pub(super) log_format: logs::Format,
    pub(super) admin_listen: Option<SocketAddr>,
    pub(super) audit: audit::Config,
    pub(super) audit_key_file: Option<PathBuf>,
    pub(super) baggage_keys: Vec<String>,
}

pub(super) fn read(source: &mut Source<'_>) -> Telemetry {
    let mut top = source.section("");
    let log_format = log_format(&mut top);
    let admin_insecure = top
        .key("admin_insecure")
        .meaning("Allows a non-loopback address for the admin pages.")
        .value(false);
    let admin_listen = top
        .key("admin_listen")
        .meaning(
            "Address of the admin pages: health, metrics, this configuration, the log filter, \
             calls in flight. They authenticate nobody, so non-loopback addresses require \
             `admin_insecure`. Without it, there are no admin pages.",
        )
        .flag("--admin-listen")
        .example("127.0.0.1:9464")
        .parsed(
            None,
            |text| {
                let address = address(text)?;
                if address.ip().is_loopback() || admin_insecure {
                    return Ok(Some(address));
                }
                let problem = "is not a loopback address, and the admin pages authenticate \
                               nobody: set admin_insecure if only operators can reach it";
                Err(vec![problem.to_owned()])
            },
            |address| address.as_ref().and_then(to_toml),
        );

    let mut s = source.section("telemetry");
    Telemetry {
        log_format,
        admin_listen,
        audit: audit::Config {
            file: s
                .key("audit_file")
                .meaning(
                    "Audit log: the file that receives a line for each write. It is created \
                     readable for its owner only. Without it, lines go to standard error.",
                )
                .path("/var/log/followme/audit.log"),
            required: s
                .key("audit_required")
                .meaning("Refuses writes that cannot be recorded in the audit log.")
                .value(true),
            masking: s
                .key("audit_numbers")
                .meaning(
                    "Redirect numbers, names and descriptions of periods in the audit log: \
                     \"full\", or \"masked\" to at most the last three digits of a number with a \
                     keyed hash beside them.",
                )
                .one_of(&["full", "masked"], audit::Masking::default()),
            ..audit::Config::default()
        },
        audit_key_file: s
            .key("audit_key_file")
            .meaning(
                "File of the key of these hashes, at least 16 bytes. Without it, each process \
                 makes its own.",
            )
            .path("/etc/followme/audit.key"),
        baggage_keys: s
            .key("baggage_keys")
            .meaning("Keys of W3C baggage that are propagated to upstream.")
            .value(Vec::new()),
    }
}

fn log_format(top: &mut Section<'_, '_>) -> logs::Format {
    top.key("log_format")
        .meaning(
            "Format of log lines: \"text\", \"json\", or \"auto\" for text on a terminal and JSON \
         elsewhere. RUST_LOG filters the lines.",
        )
        .flag("--log-format")
        .one_of(&["auto", "text", "json"], logs::Format::default())
}

/// Reads the configuration of commands that have no other: the log format, `RUST_LOG` and `OTEL_*`.
pub(super) fn alone(
    flags: &Flags,
    environment: &impl Environment,
) -> Result<telemetry::Config, Vec<ConfigError>> {
    let mut source = Source::new(File::default(), flags.values(), environment);
    let log_format = log_format(&mut source.section(""));
    let (_, mut errors) = source.into_parts();
    let config = from_environment(log_format, environment, &mut errors);
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(errors)
    }
}

/// Reads `RUST_LOG` and the `OTEL_*` variables that decide what is exported. The OpenTelemetry SDK
/// reads the others itself.
pub(super) fn from_environment(
    log_format: logs::Format,
    environment: &impl Environment,
    errors: &mut Vec<ConfigError>,
) -> telemetry::Config {
    telemetry::Config {
        log_filter: environment.variable("RUST_LOG"),
        log_format,
        export_traces: exports("TRACES", environment, errors),
        export_metrics: exports("METRICS", environment, errors),
    }
}

/// Returns whether a signal is exported by OTLP.
fn exports(signal: &str, environment: &impl Environment, errors: &mut Vec<ConfigError>) -> bool {
    let exporter = format!("OTEL_{signal}_EXPORTER");
    match environment.variable(&exporter).as_deref() {
        None | Some("otlp") => {}
        Some("none") => return false,
        Some(_) => errors.push(ConfigError::new(&exporter, "must be otlp or none")),
    }
    let disabled = environment.variable("OTEL_SDK_DISABLED");
    let is_disabled = disabled.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    let find = |what: &str| {
        let specific = format!("OTEL_EXPORTER_OTLP_{signal}_{what}");
        [specific, format!("OTEL_EXPORTER_OTLP_{what}")]
            .into_iter()
            .find_map(|name| Some((environment.variable(&name)?, name)))
    };
    if is_disabled || find("ENDPOINT").is_none() {
        return false;
    }
    if let Some((_, name)) = find("PROTOCOL").filter(|(protocol, _)| protocol != "grpc") {
        let error = ConfigError::new(name, "must be grpc, or not set");
        // One variable may hold for both signals.
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    true
}
