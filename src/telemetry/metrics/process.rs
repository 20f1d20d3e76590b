//! The metrics of the process, as Linux has them in `/proc/self`.
//!
//! prometheus' own collector of them is not used: its metrics have other names, and do not go out
//! by OTLP.

use std::{fs, time::Instant};

use opentelemetry::KeyValue;

use super::registrar::Registrar;
use crate::telemetry::{line_writer::STDERR, names};

/// Registers the metrics of the build and of the process.
pub(super) fn register(metrics: &mut Registrar<'_>) {
    metrics
        .observed_gauge(
            ("porta.build.info", ""),
            &[(names::SERVICE_VERSION, &[])],
            "Always 1; the label is the version that runs.",
        )
        .with_callback(|build| {
            let version = env!("CARGO_PKG_VERSION");
            build.observe(1, &[KeyValue::new(names::SERVICE_VERSION, version)]);
        })
        .build();
    let started = Instant::now();
    metrics
        .observed_seconds("process.uptime", &[], "Time since the process started.")
        .with_callback(move |uptime| uptime.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
    metrics
        .observed_counter(
            ("process.cpu.time", "s"),
            &[(names::CPU_MODE, &["user", "system"])],
            "CPU time of the process.",
        )
        .with_callback(|cpu| {
            if let Some(usage) = usage() {
                cpu.observe(usage.cpu_user, &[KeyValue::new(names::CPU_MODE, "user")]);
                let system = [KeyValue::new(names::CPU_MODE, "system")];
                cpu.observe(usage.cpu_system, &system);
            }
        })
        .build();
    metrics
        .observed_counter(
            ("porta.log.dropped", ""),
            &[],
            "Log lines that were dropped, since standard error did not take them.",
        )
        .with_callback(|counter| {
            #[expect(clippy::cast_precision_loss, reason = "a count of events")]
            counter.observe(STDERR.dropped() as f64, &[]);
        })
        .build();
    type Value = fn(Usage) -> u64;
    let gauges: [((&str, &str), &str, Value); 3] = [
        (
            ("process.memory.usage", "By"),
            "Physical memory in use.",
            |usage| usage.memory,
        ),
        (("process.threads", ""), "Threads.", |usage| usage.threads),
        (
            ("process.open_fds", ""),
            "Open file descriptors.",
            |usage| usage.descriptors,
        ),
    ];
    for (name, description, value) in gauges {
        metrics
            .observed_gauge(name, &[], description)
            .with_callback(move |gauge| {
                if let Some(usage) = usage() {
                    gauge.observe(value(usage), &[]);
                }
            })
            .build();
    }
}

/// What the process uses.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Usage {
    /// CPU time in user mode, in seconds.
    cpu_user: f64,
    /// CPU time in the kernel, in seconds.
    cpu_system: f64,
    /// Physical memory, in bytes.
    memory: u64,
    threads: u64,
    descriptors: u64,
}

/// The unit of CPU times in `/proc`: a constant of the interface, whatever the kernel's own tick.
const TICKS_PER_SECOND: f64 = 100.0;

/// Reads what the process uses; `None` where there is no `/proc`.
fn usage() -> Option<Usage> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let descriptors = fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    parse(&stat, &status, descriptors)
}

fn parse(stat: &str, status: &str, descriptors: u64) -> Option<Usage> {
    // The second field is the name in parentheses, which may hold blanks and parentheses.
    let mut after_name = stat.rsplit_once(')')?.1.split_ascii_whitespace();
    // utime and stime are the fields 14 and 15 of proc(5).
    let cpu_user: f64 = after_name.nth(11)?.parse().ok()?;
    let cpu_system: f64 = after_name.next()?.parse().ok()?;
    let line = |name: &str| {
        status
            .lines()
            .find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next())
            .and_then(|value| value.parse::<u64>().ok())
    };
    Some(Usage {
        cpu_user: cpu_user / TICKS_PER_SECOND,
        cpu_system: cpu_system / TICKS_PER_SECOND,
        memory: line("VmRSS:")? * 1024,
        threads: line("Threads:")?,
        descriptors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usage_is_parsed_whatever_the_name_of_the_process() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 150 25 0 0 20 0 4 0 100 1000 50";
        let status = "Name:\ta) b\nVmRSS:\t    2048 kB\nThreads:\t4\n";
        assert_eq!(
            parse(stat, status, 9),
            Some(Usage {
                cpu_user: 1.5,
                cpu_system: 0.25,
                memory: 2 * 1024 * 1024,
                threads: 4,
                descriptors: 9,
            })
        );
        assert!(usage().is_some_and(|usage| usage.memory > 0 && usage.descriptors > 0));
    }
}
