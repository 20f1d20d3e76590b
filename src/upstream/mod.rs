//! The typed client of PortaFollowMe: routes, requests, answers, errors, and what is remembered of
//! the host.
//!
//! Architecture invariant: wire records and the text of a License stop here.

mod body;
mod breaker;
mod classify;
mod concurrency;
mod error;
mod mapping;
mod record;
mod redact;
mod request;
mod request_telemetry;
mod route;
mod routes;
mod target;
mod transport;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU8, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep},
};
use tower::retry::budget::{Budget as _, TpsBudget};
use tracing::Instrument as _;

pub use breaker::BreakerConfig;
pub use concurrency::{ConcurrencyConfig, Permit};
pub use error::{Error, Kind};
pub use mapping::mapping_reference;
pub use route::Route;
pub use target::{DIRECTION_MARKS, PLACEHOLDER, UnsafeValues};
pub use transport::TransportConfig;

use crate::{
    domain::{AccountId, Fields, License, List, NumberId},
    telemetry::in_flight::Progress,
};
use body::BodyFormat;
use breaker::Breaker;
use classify::Answer;
use concurrency::ConcurrencyLimiter;
use request::Request;
use transport::Transport;

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
    /// Until when replies are awaited; the timeouts of the configuration hold besides.
    pub deadline: Option<Instant>,
    /// The share of the concurrency limiter that permits are acquired from.
    pub fairness_key: Arc<str>,
    /// The permit that is held already. Without one, each read acquires its own.
    pub permit: Option<Arc<Permit>>,
    /// What reads are for.
    pub purpose: ReadPurpose,
    /// The call, where requests are counted.
    pub progress: Progress,
}

impl RequestOptions {
    /// Returns until when a reply is awaited to a request that is sent now and may take `cap`.
    fn until(&self, cap: Duration) -> Instant {
        let cap = Instant::now() + cap;
        self.deadline.map_or(cap, |deadline| deadline.min(cap))
    }
}

/// What an empty `FollowMeNumbers` with `success=True` is taken for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NullList {
    /// A list without numbers.
    Empty,
    /// No list: nothing can be concluded from it.
    #[default]
    Refused,
}

/// What `UpdateFollowmeAll` is used for (docs/upstream/domain.md 4).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateAll {
    /// One record per POST, with a look at all other numbers after each.
    #[default]
    One,
    /// The whole desired list as one CSV, for a host whose own reader takes many records.
    WholeList,
    /// Nothing.
    Off,
}

/// How the body of a POST is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PostFormat {
    /// JSON, then CSV, then a form: the next only after an answer that proves that nothing ran.
    /// What the host takes is remembered.
    #[default]
    Auto,
    /// `text/csv`, as the metadata page documents it. No 3.9.x reads it (docs/upstream/wire.md 7).
    Csv,
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`. It cannot clear a field (docs/upstream/wire.md 7).
    Form,
}

/// How upstream is used.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it is.
    pub transport: TransportConfig,
    /// How long a read may take.
    pub read_timeout: Duration,
    /// How long a single write may take.
    pub write_timeout: Duration,
    /// What to do with values that a path cannot carry.
    pub unsafe_values: UnsafeValues,
    /// Whether something that answers in the service's place may stand between: a proxy, a load
    /// balancer, a mesh. If not, every HTTP reply proves that the service is done with the request.
    pub gateway: bool,
    /// What an empty list field is taken for.
    pub null_list: NullList,
    /// What `UpdateFollowmeAll` is used for.
    pub update_all: UpdateAll,
    /// How its body is written.
    pub post_format: PostFormat,
    /// How often a read that fails in a way that passes is sent again at most.
    pub read_retries: u32,
    /// How many requests there may be at once.
    pub limits: ConcurrencyConfig,
    /// When an upstream that does not answer is left alone.
    pub breaker: BreakerConfig,
}

/// What a write was answered.
#[derive(Debug)]
pub struct Written {
    /// The service's own word; weak (docs/upstream/domain.md 2).
    pub success: Option<bool>,
    /// The numbers that the answer held. Not always the whole list.
    pub list: Option<List>,
}

/// The client.
///
/// It makes one request for a write and never repeats one, but for the body formats of
/// [`Client::update_all`], each tried after the proof that the one before did nothing. A read that
/// fails in a way that passes is sent again, unless it settles a write. Dropping a
/// future ends the request: a write that must be finished needs a task of its own.
#[derive(Debug)]
pub struct Client {
    transport: Transport,
    config: Config,
    /// The body format that the host was seen to take: an index into [`FORMATS`], or
    /// [`UNKNOWN_FORMAT`].
    format: AtomicU8,
    /// Whether `UpdateFollowmeAll` was seen to touch more than one number.
    wrote_too_much: AtomicBool,
    limiter: Arc<ConcurrencyLimiter>,
    breaker: Breaker,
    retry_budget: TpsBudget,
}

/// How much time a request has to have had for its lateness to say something of upstream. A caller
/// in more of a hurry must not make the breaker open for all others.
const MIN_TIMEOUT_FOR_BREAKER: Duration = Duration::from_millis(500);

/// How long to wait before a read is sent again: at first, doubling; and the longest wait that
/// upstream may ask for.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const MAX_RETRY_PAUSE: Duration = Duration::from_secs(5);

const FORMATS: [BodyFormat; 3] = [BodyFormat::Json, BodyFormat::Csv, BodyFormat::Form];
const UNKNOWN_FORMAT: u8 = u8::MAX;

impl Client {
    /// Makes a client. No connection is made yet.
    ///
    /// # Errors
    /// Fails where the TLS roots cannot be loaded.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            transport: Transport::new(&config.transport)?,
            limiter: ConcurrencyLimiter::new(config.limits),
            breaker: Breaker::new(config.breaker),
            // A tenth of the calls, and one in a second, so that a quiet service may retry too.
            retry_budget: TpsBudget::new(Duration::from_secs(10), 1, 0.1),
            config,
            format: AtomicU8::new(UNKNOWN_FORMAT),
            wrote_too_much: AtomicBool::new(false),
        })
    }

    /// Returns what `UpdateFollowmeAll` may be used for now: what is configured, and nothing after
    /// it was seen to touch more than it should.
    #[must_use]
    pub fn update_all_mode(&self) -> UpdateAll {
        if self.wrote_too_much.load(Ordering::Relaxed) {
            UpdateAll::Off
        } else {
            self.config.update_all
        }
    }

    /// Ends the use of `UpdateFollowmeAll` until restart.
    pub fn stop_using_update_all(&self) {
        self.wrote_too_much.store(true, Ordering::Relaxed);
    }

    /// Reads the list of an account.
    ///
    /// # Errors
    /// See [`Kind`]. Absence is concluded only from a list that is there: an empty field is
    /// [`Kind::Refused`], unless `success=True` and the configuration takes it for empty.
    pub async fn list(
        &self,
        tenant: &Tenant,
        account: AccountId,
        options: &RequestOptions,
    ) -> Result<List, Error> {
        let request = routes::list(tenant, self.config.unsafe_values, account)?;
        self.read(tenant, account, request, options).await
    }

    /// Reads one number: a list that holds it, or does not.
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
    /// [`Kind::NotCarried`] if a text cannot be left out, or if `UpdateFollowmeAll` is not used;
    /// [`Kind::DoesNotFit`], [`Kind::UnsafeValue`].
    pub fn carried_by_add(
        &self,
        tenant: &Tenant,
        account: AccountId,
        fields: &Fields,
    ) -> Result<Fields, Error> {
        let mut carried = fields.clone();
        loop {
            let error = match routes::add(tenant, self.config.unsafe_values, account, &carried) {
                Ok(_) => return Ok(carried),
                Err(error) => error,
            };
            let repairable = self.update_all_mode() != UpdateAll::Off;
            match error.kind() {
                Kind::NotCarried("Name") if repairable => carried.name.clear(),
                Kind::NotCarried("Period_desc") if repairable => carried.period_description.clear(),
                // A number without any other text is another number.
                _ => return Err(error),
            }
        }
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

    /// Posts whole numbers to `UpdateFollowmeAll`; an id of `None` is a new one. More than one
    /// number can only be written as CSV.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], numbers may have changed.
    pub async fn update_all(
        &self,
        tenant: &Tenant,
        account: AccountId,
        numbers: &[(Option<NumberId>, &Fields)],
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let remembered = usize::from(self.format.load(Ordering::Relaxed));
        let mut formats = match self.config.post_format {
            _ if numbers.len() != 1 => vec![BodyFormat::Csv],
            PostFormat::Csv => vec![BodyFormat::Csv],
            PostFormat::Json => vec![BodyFormat::Json],
            PostFormat::Form => vec![BodyFormat::Form],
            PostFormat::Auto => FORMATS.to_vec(),
        };
        if remembered < formats.len() {
            formats[..=remembered].rotate_right(1);
        }
        let mut refused = None;
        for format in formats {
            // A format that cannot hold the numbers says nothing of the others.
            let request = match body::update_all(tenant, account, numbers, format) {
                Ok(request) => request,
                Err(error) => {
                    refused.get_or_insert(error);
                    continue;
                }
            };
            match self.write(tenant, account, request, options).await {
                Ok(written) => {
                    let place = FORMATS.iter().position(|known| *known == format);
                    if let Some(place) = place.and_then(|place| u8::try_from(place).ok()) {
                        self.format.store(place, Ordering::Relaxed);
                    }
                    return Ok(written);
                }
                // The body was not taken: the next format. A route that is missing is so for all.
                Err(error)
                    if error.nothing_ran()
                        && matches!(
                            error.kind(),
                            Kind::Refused | Kind::ServerError | Kind::LooksLikeHtml
                        ) =>
                {
                    refused = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refused.unwrap_or_else(|| Error::new(Kind::DoesNotFit, Route::UpdateAll)))
    }

    /// Takes a place for requests, waiting for it where there is none. While the breaker is open,
    /// nobody waits.
    ///
    /// # Errors
    /// [`Kind::Overloaded`], [`Kind::BreakerOpen`].
    pub async fn acquire(&self, fairness_key: &Arc<str>, route: Route) -> Result<Permit, Error> {
        self.breaker
            .would_admit()
            .map_err(|open| Error::new(Kind::BreakerOpen(open.0), route))?;
        self.limiter
            .acquire(fairness_key)
            .await
            .map_err(|_| Error::new(Kind::Overloaded, route))
    }

    /// Returns whether upstream was seen to work, and what it becomes.
    #[must_use]
    pub fn availability(&self) -> watch::Receiver<Option<bool>> {
        self.breaker.availability()
    }

    /// Asks upstream for nothing, where nothing was heard of it for so long: so that it is known
    /// whether it works before the next call needs it. It does not need a License.
    pub async fn probe_when_idle(&self, idle: Duration) {
        if self.breaker.last_outcome().elapsed() < idle {
            return;
        }
        let Ok(_pass) = self.breaker.try_admit() else {
            return;
        };
        let until = Instant::now() + self.config.transport.connect_timeout;
        if self.transport.probe(until).await {
            self.breaker.record_success();
        } else {
            self.breaker.record_failure();
        }
    }

    async fn read(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: Request,
        options: &RequestOptions,
    ) -> Result<List, Error> {
        let route = request.route;
        let answer = if options.purpose == ReadPurpose::Verify {
            let until = options.until(self.config.read_timeout);
            self.send(tenant, account, &request, options, until, 0)
                .await?
        } else {
            self.read_again(tenant, account, &request, options).await?
        };
        if self.refuses(route, &answer) {
            return Err(Error::new(Kind::Refused, route)
                .with_status(200)
                .with_answered(true));
        }
        let settings = answer.settings.clone();
        Ok(answer
            .into_list()
            .unwrap_or_else(|| List::new(Vec::new(), settings, 0)))
    }

    /// Tells whether an answer with a good status says no: of a read one without a list, unless that
    /// is taken for an empty one.
    fn refuses(&self, route: Route, answer: &Answer) -> bool {
        if route.writes() {
            return answer.success == Some(false);
        }
        let is_empty = answer.success == Some(true) && self.config.null_list == NullList::Empty;
        answer.numbers.is_none() && !is_empty
    }

    /// Sends a read, and a few times more where it fails in a way that passes: within the deadline,
    /// the budget, and upstream's own `Retry-After`.
    async fn read_again(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: &Request,
        options: &RequestOptions,
    ) -> Result<Answer, Error> {
        self.retry_budget.deposit();
        let mut resends = 0;
        let mut pause = RETRY_PAUSE;
        loop {
            let mut place = match &options.permit {
                Some(_) => None,
                None => Some(self.acquire(&options.fairness_key, request.route).await?),
            };
            let pass = self
                .breaker
                .try_admit()
                .map_err(|open| Error::new(Kind::BreakerOpen(open.0), request.route))?;
            let until = options.until(self.config.read_timeout);
            if let Some(place) = &mut place {
                place.set_in_flight(true);
            }
            let result = self
                .send(tenant, account, request, options, until, resends)
                .await;
            drop(pass);
            if let Some(mut place) = place {
                let given_up = matches!(&result, Err(error) if error.kind() == Kind::Timeout);
                place.set_in_flight(given_up);
            }
            let error = match result {
                Err(error) if error.is_passing() && resends < self.config.read_retries => error,
                result => return result,
            };
            // Half of the pause is random, so that callers do not come in step.
            let wait = pause.mul_f64(0.5 + fastrand::f64() / 2.0);
            let wait = error.retry_after().unwrap_or_default().max(wait);
            let in_time = options
                .deadline
                .is_none_or(|deadline| Instant::now() + wait < deadline);
            if wait > MAX_RETRY_PAUSE || !in_time || !self.retry_budget.withdraw() {
                return Err(error);
            }
            sleep(wait).await;
            pause *= 2;
            resends += 1;
        }
    }

    async fn write(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: Request,
        options: &RequestOptions,
    ) -> Result<Written, Error> {
        let until = options.until(self.config.write_timeout);
        let answer = self
            .send(tenant, account, &request, options, until, 0)
            .await?;
        Ok(Written {
            success: answer.success,
            list: answer.into_list(),
        })
    }

    /// Makes one request, in a span of its own.
    async fn send(
        &self,
        tenant: &Tenant,
        account: AccountId,
        request: &Request,
        options: &RequestOptions,
        until: Instant,
        resends: u32,
    ) -> Result<Answer, Error> {
        let route = request.route;
        let fair = until.saturating_duration_since(Instant::now())
            >= MIN_TIMEOUT_FOR_BREAKER.min(self.config.read_timeout);
        let observed = request_telemetry::RequestTelemetry::begin(
            &options.progress,
            request,
            self.transport.host(),
            resends,
        );
        let reply = self
            .transport
            .send(request, until)
            .instrument(observed.span())
            .await;
        let (status, bytes) = match &reply {
            Ok(reply) => (Some(reply.status), reply.body.len()),
            Err(error) => (error.status(), 0),
        };
        let answer = reply.and_then(|reply| {
            classify::classify_response(
                &reply,
                route,
                account,
                &tenant.license,
                &request.personal_data,
            )
        });
        let answer = answer.map_err(|error| {
            let is_last = !self.config.gateway && error.status().is_some();
            error.with_answered(is_last)
        });
        match &answer {
            Err(error) if error.kind() == Kind::Timeout && !fair => {}
            Err(error) if error.is_outage() => self.breaker.record_failure(),
            _ => self.breaker.record_success(),
        }
        let refused = matches!(&answer, Ok(answer) if self.refuses(route, answer));
        observed.end(status, bytes, answer.as_ref().err(), refused);
        answer
    }
}
