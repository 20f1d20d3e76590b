//! When a call has to be answered.

use std::time::Duration;

use http::HeaderMap;
use tokio::time::Instant;

/// How long before the deadline the answer leaves, at most: so that it still reaches the caller.
const LEAD: Duration = Duration::from_millis(50);

/// The instants that matter to a call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Times {
    /// When its handler has to answer: 50 ms, at most a tenth of the time, before the deadline.
    pub(super) answer_by: Instant,
    /// When it is answered in the place of a handler that has not got its message: whatever the
    /// deadline, a message has the default time to come.
    pub(super) last_call: Instant,
    /// When a call that lasts is over; `None` where the caller named no time.
    pub(super) ends: Option<Instant>,
}

/// Returns the instants of a call that starts now.
pub(super) fn times(headers: &HeaderMap, default: Duration) -> Times {
    let named = headers
        .get("grpc-timeout")
        .and_then(|value| value.to_str().ok())
        .and_then(timeout);
    // A time beyond what a clock can tell is none.
    let now = Instant::now();
    let total = named
        .filter(|total| now.checked_add(*total).is_some())
        .unwrap_or(default);
    let lead = LEAD.min(total / 10);
    let answer_by = now + (total - lead);
    Times {
        answer_by,
        last_call: now + (total - lead / 2).min(default),
        ends: named.map(|_| answer_by),
    }
}

/// Reads `grpc-timeout`: at most eight digits and a unit.
fn timeout(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if digits.is_empty() || digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let value: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(value * 3600),
        "M" => Duration::from_secs(value * 60),
        "S" => Duration::from_secs(value),
        "m" => Duration::from_millis(value),
        "u" => Duration::from_micros(value),
        "n" => Duration::from_nanos(value),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_unit_and_refuses_the_rest() {
        for (text, wanted) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("99999999S", Some(Duration::from_secs(99_999_999))),
            ("100m", Some(Duration::from_millis(100))),
            ("7u", Some(Duration::from_micros(7))),
            ("7n", Some(Duration::from_nanos(7))),
            ("", None),
            ("S", None),
            ("1", None),
            ("-1S", None),
            ("123456789S", None),
            ("1é", None),
        ] {
            assert_eq!(timeout(text), wanted, "{text:?}");
        }
    }
}
