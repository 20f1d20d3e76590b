//! The tenant and the options of upstream requests.

use std::{sync::Arc, time::Duration};

use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use super::Permit;
use crate::{domain::License, telemetry::in_flight::Progress};

/// The tenant that a request is made for, as upstream knows it.
#[derive(Debug, Clone)]
pub struct Tenant {
    /// The tenant's key.
    pub license: License,
    /// Whether the caller sent the License itself, so that the caller can correct a refused one.
    pub license_is_callers: bool,
    /// The portal context of the caller (docs/upstream/domain.md 2).
    pub content_id: Option<i32>,
    /// The portal context of the caller (docs/upstream/domain.md 2).
    pub feature_name: Option<String>,
}

impl Tenant {
    /// Returns a hash of the License, made by `hash`, which holds a key.
    pub(crate) fn hash(&self, hash: impl FnOnce(&str) -> String) -> String {
        hash(self.license.expose())
    }

    /// Returns a name that stays the same when a License that is configured is rotated: a caller
    /// has one configured License at most. One that the caller sends is named by its hash.
    #[must_use]
    pub fn name(&self) -> String {
        if !self.license_is_callers {
            return "configured".to_owned();
        }
        let hash = Sha256::digest(self.license.expose());
        let digits = hash[..16].iter().map(|byte| format!("{byte:02x}"));
        digits.collect()
    }
}

/// What a read is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ReadPurpose {
    /// To answer a call: retried, and refused while the breaker is open.
    #[default]
    Serve,
    /// To verify a write that was sent: a probe of the breaker instead of being refused by it, and
    /// not retried, since the verification repeats it.
    Verify,
}

/// How the requests of a call are made.
#[derive(Debug, Clone)]
pub struct RequestOptions {
    /// When requests time out, unless the timeouts of the configuration end them before.
    pub deadline: Option<Instant>,
    /// The share of the concurrency limiter that permits are acquired from.
    pub fairness_key: Arc<str>,
    /// The permit of the call. Without one, each read acquires its own.
    pub permit: Option<Arc<Permit>>,
    /// What reads are for.
    pub purpose: ReadPurpose,
    /// The progress of the call, which counts requests.
    pub progress: Progress,
}

impl RequestOptions {
    /// Returns when a request that is sent now times out: after `cap`, or at the deadline.
    pub(super) fn until(&self, cap: Duration) -> Instant {
        let cap = Instant::now() + cap;
        self.deadline.map_or(cap, |deadline| deadline.min(cap))
    }
}
