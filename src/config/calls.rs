//! `[calls]`: what holds for each call.

use std::time::Duration;

use super::section::{Check, Section, section};
use crate::{
    domain::{Field, Rules, check},
    operations::{Config, RequestIdLimits},
};

section! {
    /// `[calls]`.
    struct Calls |key| {
        /// Strips a leading + from redirect numbers.
        strip_plus: bool = key.value(true),
        /// Ring timeout of a new number whose request sets none: whole seconds, 1 s to 1 h.
        default_ring_timeout: Duration = key.duration(Duration::from_secs(30)),
        /// Time limit of one write, including its verification.
        write_limit: Duration = key.duration(Duration::from_secs(30)),
        /// Time limit of a ReplaceAll that has begun. It stops between two steps, and the same
        /// request id continues it.
        replace_limit: Duration = key.duration(Duration::from_secs(5 * 60)),
        /// Maximum number of follow-me numbers in a ReplaceAll request.
        max_numbers: usize = key.within(1..=1000, 100),
        /// Fields that must be stored as requested: a write fails with FIELDS_NOT_APPLIED if
        /// upstream does not apply one of them.
        strict_fields: Vec<String> = key.value(strict_fields()),
        /// Time for which the outcome of a write is kept under its request id.
        request_id_ttl: Duration = key.duration(Duration::from_secs(60 * 60)),
        /// Maximum number of request ids that are kept. The oldest are evicted first.
        request_id_entries: usize = key.within(1..=10_000_000, 100_000),
        /// Approximate memory limit of the outcomes that are kept, in bytes.
        request_id_bytes: usize = key.within(1024..=1 << 40, 64 * 1024 * 1024),
    }
}

impl Check for Calls {
    fn check(&self, section: &mut Section<'_, '_>) {
        let timeout = self.default_ring_timeout;
        let seconds = i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
        let checked = check::whole_seconds(seconds, timeout.subsec_nanos().cast_signed());
        if let Err(problem) = checked.and_then(check::ring_timeout) {
            section.error("default_ring_timeout", problem);
        }
        for name in &self.strict_fields {
            let problem = format!("{name:?} is not a field of FollowMeNumber");
            section.ensure("strict_fields", Field::from_name(name).is_some(), &problem);
        }
    }
}

impl Calls {
    pub(super) fn config(&self, write_horizon: Option<Duration>) -> Config {
        Config {
            rules: Rules {
                strip_plus: self.strip_plus,
                // The check keeps it within an hour.
                default_ring_timeout: i32::try_from(self.default_ring_timeout.as_secs())
                    .unwrap_or(i32::MAX),
            },
            write_limit: self.write_limit,
            replace_limit: self.replace_limit,
            write_horizon,
            max_numbers: self.max_numbers,
            strict_fields: self
                .strict_fields
                .iter()
                .filter_map(|name| Field::from_name(name))
                .collect(),
            request_ids: RequestIdLimits {
                ttl: self.request_id_ttl,
                entries: self.request_id_entries,
                bytes: self.request_id_bytes,
            },
        }
    }
}

fn strict_fields() -> Vec<String> {
    let fields = [
        Field::RedirectNumber,
        Field::Domain,
        Field::Order,
        Field::RingTimeout,
        Field::Active,
    ];
    fields.iter().map(|field| field.name().to_owned()).collect()
}
