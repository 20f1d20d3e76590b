//! `[calls]`: what holds for each call.

use std::time::Duration;

use super::{
    key::{each, to_toml},
    source::Source,
};
use crate::{
    domain::{Field, FieldSet, Rules, check},
    operations::{Config, RequestIdLimits},
};

pub(super) fn read(source: &mut Source<'_>) -> Config {
    let mut s = source.section("calls");
    Config {
        rules: Rules {
            strip_plus: s
                .key("strip_plus")
                .meaning("Strips a leading + from redirect numbers.")
                .value(true),
            default_ring_timeout: ring_timeout(s.key("default_ring_timeout").meaning(
                "Ring timeout of a new number whose request sets none: whole seconds, 1 s to 1 h.",
            )),
        },
        write_limit: s
            .key("write_limit")
            .meaning("Time limit of one write, including its verification.")
            .duration(Duration::from_secs(30)),
        replace_limit: s
            .key("replace_limit")
            .meaning(
                "Time limit of a ReplaceAll that has begun. It stops between two steps, and the \
                 same request id continues it.",
            )
            .duration(Duration::from_secs(5 * 60)),
        write_horizon: None,
        max_numbers: s
            .key("max_numbers")
            .meaning("Maximum number of follow-me numbers in a ReplaceAll request.")
            .within(1..=1000, 100),
        strict_fields: s
            .key("strict_fields")
            .meaning(
                "Fields that must be stored as requested: a write fails with FIELDS_NOT_APPLIED \
                 if upstream does not apply one of them.",
            )
            .parsed(strict_fields(), field_set, |fields: &FieldSet| {
                to_toml(&fields.iter().map(Field::name).collect::<Vec<_>>())
            }),
        request_ids: RequestIdLimits {
            ttl: s
                .key("request_id_ttl")
                .meaning("Time for which the outcome of a write is kept under its request id.")
                .duration(Duration::from_secs(60 * 60)),
            entries: s
                .key("request_id_entries")
                .meaning(
                    "Maximum number of request ids that are kept. The oldest are evicted first.",
                )
                .within(1..=10_000_000, 100_000),
            bytes: s
                .key("request_id_bytes")
                .meaning("Approximate memory limit of the outcomes that are kept, in bytes.")
                .within(1024..=1 << 40, 64 * 1024 * 1024),
        },
    }
}

fn strict_fields() -> FieldSet {
    let fields = [
        Field::RedirectNumber,
        Field::Domain,
        Field::Order,
        Field::RingTimeout,
        Field::Active,
    ];
    fields.into_iter().collect()
}

fn field_set(names: Vec<String>) -> Result<FieldSet, Vec<String>> {
    let fields = each(names, |name| {
        let problem = || format!("{name:?} is not a field of FollowMeNumber");
        Field::from_name(name).ok_or_else(problem)
    })?;
    Ok(fields.into_iter().collect())
}

/// Reads a ring timeout; returns it in seconds.
fn ring_timeout(key: super::key::Key<'_, '_>) -> i32 {
    let timeout = key.checked_duration(Duration::from_secs(30), |timeout| {
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        check::whole_seconds(seconds, timeout.subsec_nanos().cast_signed())
            .and_then(check::ring_timeout)
    });
    // The check keeps it within an hour.
    i32::try_from(timeout.as_secs()).unwrap_or(i32::MAX)
}
