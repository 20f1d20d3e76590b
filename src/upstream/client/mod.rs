//! The client: one method per operation of upstream.

mod send;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{sync::watch, time::Instant};

use super::{
    Config, Error, Kind, Permit, PostFormat, RequestOptions, Route, Tenant, UpdateAll,
    body::{self, BodyFormat},
    breaker::Breaker,
    classify::Written,
    concurrency::ConcurrencyLimiter,
    retry::RetryPolicy,
    routes,
    transport::Transport,
};
use crate::{
    domain::{AccountId, Fields, List, NumberId},
    telemetry::metrics::{self, UpstreamFigures},
};

/// The client of PortaFollowMe.
///
/// It never repeats a write. It retries a read after a transient failure, unless the read
/// verifies a write. Dropping a future aborts the request: a write that must be finished needs a
/// task of its own.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    config: Config,
    /// The body format that the host was seen to accept.
    body_format: Mutex<Option<BodyFormat>>,
    /// Whether `UpdateFollowmeAll` is off because it changed other numbers.
    update_all_off: AtomicBool,
    limiter: Arc<ConcurrencyLimiter>,
    breaker: Breaker,
    retry_policy: RetryPolicy,
}

impl Client {
    /// Creates a client. It connects with the first request.
    ///
    /// # Errors
    /// Fails if the TLS roots cannot be loaded.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        for route in Route::ALL {
            metrics::expect_upstream_requests(route.template());
        }
        Ok(Self {
            transport: Transport::new(&config.transport)?,
            limiter: ConcurrencyLimiter::new(config.limits),
            breaker: Breaker::new(config.breaker),
            retry_policy: RetryPolicy::new(config.read_retries),
            config,
            body_format: Mutex::default(),
            update_all_off: AtomicBool::new(false),
        })
    }

    /// Returns how long a request that writes may take.
    #[must_use]
    pub fn write_timeout(&self) -> Duration {
        self.config.write_timeout
    }

    /// Returns how many requests may be in flight.
    #[must_use]
    pub fn permits(&self) -> usize {
        self.config.limits.requests
    }

    /// Returns what `UpdateFollowmeAll` may be used for: as configured, and nothing after
    /// [`Client::stop_using_update_all`].
    #[must_use]
    pub fn update_all_mode(&self) -> UpdateAll {
        if self.update_all_off.load(Ordering::Relaxed) {
            UpdateAll::Off
        } else {
            self.config.update_all
        }
    }

    /// Stops the use of `UpdateFollowmeAll` in this process, because it changed other numbers.
    pub fn stop_using_update_all(&self) {
        self.update_all_off.store(true, Ordering::Relaxed);
    }

    /// Reads the list of an account.
    ///
    /// # Errors
    /// See [`Kind`]. An answer without a list is [`Kind::Refused`], unless it has `success=True` and
    /// the configuration says that this means an empty list.
    pub async fn list(
        &self,
        tenant: &Tenant,
        account: AccountId,
        options: &RequestOptions,
    ) -> Result<List, Error> {
        let request = routes::list(tenant, self.config.unsafe_values, account)?;
        self.read(tenant, account, request, options).await
    }

    /// Reads one number. The list holds it if it exists.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn get(
        &self,
        tenant: &Tenant,
        account: AccountId,
        id: NumberId,
        options: &RequestOptions,
    ) -> Result<List, Error> {
        let request = routes::get_one(tenant, self.config.unsafe_values, account, id)?;
        self.read(tenant, account, request, options).await
    }

    /// Adds a number. A text that no GET can carry is stored empty: see [`Client::carried_by_add`].
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], the number may have been added.
    pub async fn add(
        &self,
        tenant: &Tenant,
        account: AccountId,
        fields: &Fields,
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let carried = self.carried_by_add(tenant, account, fields)?;
        let request = routes::add(tenant, self.config.unsafe_values, account, &carried)?;
        self.write(tenant, account, request, options).await
    }

    /// Returns a new number as [`Client::add`] sends it: without the texts that no GET can carry,
    /// which a POST of the whole number can add afterwards.
    ///
    /// # Errors
    /// [`Kind::NotCarried`] if a text cannot be left out, or if no POST of a single number can carry it;
    /// [`Kind::DoesNotFit`], [`Kind::UnsafeValue`].
    pub fn carried_by_add(
        &self,
        tenant: &Tenant,
        account: AccountId,
        fields: &Fields,
    ) -> Result<Fields, Error> {
        let mut carried = fields.clone();
        // A whole list cannot be relied on: the other numbers can keep it out of CSV.
        let postable = || {
            self.update_all_mode() == UpdateAll::One && self.posts(tenant, account, None, fields)
        };
        loop {
            let error = match routes::add(tenant, self.config.unsafe_values, account, &carried) {
                Ok(_) => return Ok(carried),
                Err(error) => error,
            };
            match error.kind() {
                Kind::NotCarried("Name") if postable() => carried.name.clear(),
                Kind::NotCarried("Period_desc") if postable() => carried.period_description.clear(),
                // A number without any other text is another number.
                _ => return Err(error),
            }
        }
    }

    /// Checks that a request can carry the values of an update.
    ///
    /// # Errors
    /// [`Kind::NotCarried`], [`Kind::DoesNotFit`], [`Kind::UnsafeValue`].
    pub fn check_update(
        &self,
        tenant: &Tenant,
        account: AccountId,
        id: NumberId,
        fields: &Fields,
    ) -> Result<(), Error> {
        let by_get = routes::update(tenant, self.config.unsafe_values, account, id, fields);
        let posts = self.update_all_mode() != UpdateAll::Off;
        match by_get {
            Err(_) if posts && self.posts(tenant, account, Some(id), fields) => Ok(()),
            by_get => by_get.map(drop),
        }
    }

    /// Returns whether a POST of a number can carry its values.
    fn posts(
        &self,
        tenant: &Tenant,
        account: AccountId,
        id: Option<NumberId>,
        fields: &Fields,
    ) -> bool {
        let mut formats = self.post_formats(1).into_iter();
        formats.any(|format| body::update_all(tenant, account, &[(id, fields)], format).is_ok())
    }

    /// Updates a number by GET.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], the number may have changed.
    pub async fn update(
        &self,
        tenant: &Tenant,
        account: AccountId,
        id: NumberId,
        fields: &Fields,
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let request = routes::update(tenant, self.config.unsafe_values, account, id, fields)?;
        self.write(tenant, account, request, options).await
    }

    /// Deletes a number.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], the number may be gone.
    pub async fn delete(
        &self,
        tenant: &Tenant,
        account: AccountId,
        id: NumberId,
        delete_forward: bool,
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let request = routes::delete(
            tenant,
            self.config.unsafe_values,
            account,
            id,
            delete_forward,
        )?;
        self.write(tenant, account, request, options).await
    }

    /// Posts whole numbers to `UpdateFollowmeAll` in one of the formats that
    /// [`post_formats`](Self::post_formats) returns; an id of `None` is a new number.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], numbers may have changed.
    pub async fn update_all(
        &self,
        tenant: &Tenant,
        account: AccountId,
        numbers: &[(Option<NumberId>, &Fields)],
        format: BodyFormat,
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let request = body::update_all(tenant, account, numbers, format)?;
        let written = self.write(tenant, account, request, options).await?;
        *self.body_format.lock() = Some(format);
        Ok(written)
    }

    /// Returns the formats in which so many numbers can be posted, the one that the host accepted
    /// before first. Only CSV can hold more than one number.
    #[must_use]
    pub fn post_formats(&self, numbers: usize) -> Vec<BodyFormat> {
        let mut formats = match self.config.post_format {
            _ if numbers != 1 => vec![BodyFormat::Csv],
            PostFormat::Csv => vec![BodyFormat::Csv],
            PostFormat::Json => vec![BodyFormat::Json],
            PostFormat::Form => vec![BodyFormat::Form],
            PostFormat::Auto => vec![BodyFormat::Json, BodyFormat::Csv, BodyFormat::Form],
        };
        let accepted = *self.body_format.lock();
        formats.sort_by_key(|format| Some(*format) != accepted);
        formats
    }

    /// Acquires a permit for requests, waiting in the queue of its share if none is free. While the
    /// breaker is open it fails at once.
    ///
    /// # Errors
    /// [`Kind::Overloaded`], [`Kind::BreakerOpen`].
    pub async fn acquire(&self, fairness_key: &Arc<str>, route: Route) -> Result<Permit, Error> {
        self.breaker
            .would_admit()
            .map_err(|rejected| Error::new(Kind::BreakerOpen(rejected.0), route))?;
        self.limiter
            .acquire(fairness_key)
            .await
            .map_err(|_| Error::new(Kind::Overloaded, route))
    }

    /// Subscribes to whether upstream answers; `None` before the first reply.
    #[must_use]
    pub fn availability(&self) -> watch::Receiver<Option<bool>> {
        self.breaker.availability()
    }

    /// Returns what the breaker and the concurrency limiter do now.
    pub(crate) fn figures(&self) -> UpstreamFigures {
        let (permits, waiting) = self.limiter.figures();
        UpstreamFigures {
            breaker: self.breaker.state_name(),
            permits,
            waiting,
            waiting_writes: 0,
        }
    }

    /// Sends a health probe if no request ended for `idle`, so that an outage is found before the
    /// next call needs upstream. The probe carries no License.
    pub async fn probe_when_idle(&self, idle: Duration) {
        if self.breaker.last_outcome().elapsed() < idle {
            return;
        }
        let Ok(admission) = self.breaker.try_admit() else {
            return;
        };
        let until = Instant::now() + self.config.transport.connect_timeout;
        if self.transport.probe(until).await {
            self.breaker.record_success();
        } else {
            self.breaker.record_failure(admission.is_probe());
        }
    }
}
