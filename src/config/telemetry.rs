//! What is told of the facade, and where to: the log, `[telemetry]`, the admin pages; and the
//! variables that are not ours, `RUST_LOG` and `OTEL_*`.

use std::net::SocketAddr;

use super::{Config, ConfigError, Environment, Flags, reader::Reader};
use crate::telemetry;

/// Takes each key into its place.
pub(super) fn keys(file: &mut Reader<'_>, config: &mut Config) {
    file.set("log_format", &mut config.telemetry.log_format);
    file.set("admin_insecure", &mut config.settings.admin_insecure);
    let mut listen = config.admin_listen.map(|address| address.to_string());
    file.set_some("admin_listen", &mut listen);
    if let Some(listen) = listen {
        match listen.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() || config.settings.admin_insecure => {
                config.admin_listen = Some(address);
            }
            Ok(_) => {
                let problem = "is not a loopback address, and the admin pages ask nobody who they \
                               are: set admin_insecure where only the right ones can reach it";
                file.mistake::<()>("admin_listen", problem);
            }
            Err(_) => {
                let problem = "must be an IP address and a port, for example 127.0.0.1:9464";
                file.mistake::<()>("admin_listen", problem);
            }
        }
    }
    let audit = &mut config.audit;
    file.set_some("telemetry.audit_file", &mut audit.file);
    file.set("telemetry.audit_required", &mut audit.required);
    file.set("telemetry.audit_numbers", &mut audit.masking);
    let key = &mut config.settings.audit_key_file;
    file.set_some("telemetry.audit_key_file", key);
    file.set("telemetry.baggage_keys", &mut config.server.baggage_keys);
}

/// Reads the configuration of the commands that have no other: the format of log lines, and what
/// the environment says.
pub(super) fn alone(
    flags: &Flags,
    environment: &impl Environment,
) -> Result<telemetry::Config, Vec<ConfigError>> {
    let mut mistakes = Vec::new();
    let mut config = telemetry::Config::default();
    let flag = flags
        .log_format
        .clone()
        .map(|value| ("--log-format", value));
    let said = flag.or_else(|| {
        let name = "FOLLOWME_LOG_FORMAT";
        environment.variable(name).map(|value| (name, value))
    });
    if let Some((name, value)) = said {
        match value.parse() {
            Ok(format) => config.log_format = format,
            Err(problem) => mistakes.push(mistake(name, problem)),
        }
    }
    of_environment(&mut config, environment, &mut mistakes);
    if mistakes.is_empty() {
        Ok(config)
    } else {
        Err(mistakes)
    }
}

fn mistake(key: &str, problem: &str) -> ConfigError {
    ConfigError {
        key: key.to_owned(),
        problem: problem.to_owned(),
        location: None,
    }
}

/// Takes what `RUST_LOG` and the `OTEL_*` variables say. The rest of the latter is read by the
/// OpenTelemetry SDK itself.
pub(super) fn of_environment(
    config: &mut telemetry::Config,
    environment: &impl Environment,
    mistakes: &mut Vec<ConfigError>,
) {
    config.log_filter = environment.variable("RUST_LOG");
    // Named after the signals as the variables are.
    config.export_traces = exports("TRACES", environment, mistakes);
    config.export_metrics = exports("METRICS", environment, mistakes);
}

/// Tells whether a signal goes out by OTLP.
fn exports(signal: &str, environment: &impl Environment, mistakes: &mut Vec<ConfigError>) -> bool {
    let exporter = format!("OTEL_{signal}_EXPORTER");
    match environment.variable(&exporter).as_deref() {
        None | Some("otlp") => {}
        Some("none") => return false,
        Some(_) => mistakes.push(mistake(&exporter, "must be otlp or none")),
    }
    let disabled = environment.variable("OTEL_SDK_DISABLED");
    let said = |what: &str| {
        [
            format!("OTEL_EXPORTER_OTLP_{signal}_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ]
        .into_iter()
        .find_map(|name| environment.variable(&name).map(|value| (name, value)))
    };
    let is_disabled = disabled.is_some_and(|value| value.eq_ignore_ascii_case("true"));
    if is_disabled || said("ENDPOINT").is_none() {
        return false;
    }
    if let Some((name, _)) = said("PROTOCOL").filter(|(_, protocol)| protocol != "grpc") {
        let mistake = mistake(&name, "must be grpc, or not set");
        // Both signals may be told by the same variable.
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }
    true
}
