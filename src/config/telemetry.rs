//! `[telemetry]`: the audit log and baggage; and the variables `RUST_LOG` and `OTEL_*`, which have
//! no key.

use std::{path::PathBuf, time::Duration};

use super::{
    ConfigError,
    environment::Environment,
    section::{Check, section},
};
use crate::telemetry::{self, audit, logs};

section! {
    /// `[telemetry]`.
    struct Telemetry |key| {
        /// Audit log: the file that receives a line for each write. It is created readable for its
        /// owner only. Without it, lines go to standard error.
        audit_file: Option<PathBuf> = key.path("/var/log/followme/audit.log"),
        /// Refuses writes that cannot be recorded in the audit log.
        audit_required: bool = key.value(true),
        /// Redirect numbers, names and descriptions of periods in the audit log: "full", or
        /// "masked" to at most the last three digits of a number with a keyed hash beside them.
        audit_numbers: audit::Masking = key.one_of(&["full", "masked"], audit::Masking::default()),
        /// File of the key of these hashes, at least 16 bytes. Without it, each process makes its
        /// own.
        audit_key_file: Option<PathBuf> = key.path("/etc/followme/audit.key"),
        /// Keys of W3C baggage that are propagated to upstream.
        baggage_keys: Vec<String> = key.value(Vec::new()),
    }
}

impl Check for Telemetry {}

impl Telemetry {
    pub(super) fn audit(&self, timeout: Duration) -> audit::Config {
        audit::Config {
            file: self.audit_file.clone(),
            required: self.audit_required,
            masking: self.audit_numbers,
            timeout,
            ..audit::Config::default()
        }
    }
}

/// Reads `RUST_LOG` and the `OTEL_*` variables that decide what is exported. The OpenTelemetry SDK
/// reads the others itself.
pub(super) fn from_environment(
    log_format: logs::Format,
    environment: &Environment,
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
fn exports(signal: &str, environment: &Environment, errors: &mut Vec<ConfigError>) -> bool {
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
