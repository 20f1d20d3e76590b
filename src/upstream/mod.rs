//! The typed client of PortaFollowMe: routes, requests, answers, errors, and what is remembered of
//! the host.
//!
//! Architecture invariant: wire records and the text of a License stop here.

mod answer;
mod error;
mod record;
mod routes;
mod scrub;
mod target;
mod transport;

use std::{
    sync::atomic::{AtomicBool, AtomicU8, Ordering},
    time::Duration,
};

use tokio::time::Instant;

pub use error::{Error, Kind};
pub use routes::Route;
pub use target::{PLACEHOLDER, UnsafeValues};
pub use transport::TransportConfig;

use crate::domain::{AccountId, Fields, License, List, NumberId};
use answer::Answer;
use routes::{BodyFormat, Request};
use transport::Transport;

/// On whose behalf a request is made.
#[derive(Debug, Clone)]
pub struct Context {
    /// The tenant's key.
    pub license: License,
    /// Whether the caller brought the License, so that its refusal is the caller's affair.
    pub license_is_callers: bool,
    /// The portal context of the caller (DOMAIN.md 2).
    pub content_id: Option<i32>,
    /// The portal context of the caller (DOMAIN.md 2).
    pub feature_name: Option<String>,
    /// Until when requests are to be answered.
    pub deadline: Option<Instant>,
}

impl Context {
    /// Returns until when a request is to be answered that starts now and may take so long.
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

/// What `UpdateFollowmeAll` is used for (DOMAIN.md 4).
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
    /// CSV, then JSON, then a form: the next only after an answer that proves that nothing ran.
    /// What the host takes is remembered.
    #[default]
    Auto,
    /// `text/csv`, as the metadata page documents it. No 3.9.x reads it (WIRE.md 7).
    Csv,
    /// `application/json`.
    Json,
    /// `application/x-www-form-urlencoded`. It cannot clear a field (WIRE.md 7).
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
    /// What an empty list field is taken for.
    pub null_list: NullList,
    /// What `UpdateFollowmeAll` is used for.
    pub update_all: UpdateAll,
    /// How its body is written.
    pub post_format: PostFormat,
}

/// What a write was answered.
#[derive(Debug)]
pub struct Written {
    /// The service's own word; weak (DOMAIN.md 2).
    pub success: Option<bool>,
    /// The numbers that the answer held. Not always the whole list.
    pub list: Option<List>,
}

/// The client.
///
/// It makes one request per call and never repeats one by itself, but for the body formats of
/// [`Client::update_all`], each tried after the proof that the one before did nothing. Dropping a
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
}

const FORMATS: [BodyFormat; 3] = [BodyFormat::Csv, BodyFormat::Json, BodyFormat::Form];
const UNKNOWN_FORMAT: u8 = u8::MAX;

impl Client {
    /// Makes a client. No connection is made yet.
    ///
    /// # Errors
    /// Fails where the TLS roots cannot be loaded.
    pub fn new(config: Config) -> Result<Self, reqwest::Error> {
        Ok(Self {
            transport: Transport::new(&config.transport)?,
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
    pub async fn list(&self, context: &Context, account: AccountId) -> Result<List, Error> {
        let request = routes::list(context, self.config.unsafe_values, account)?;
        self.read(context, account, request).await
    }

    /// Reads one number: a list that holds it, or does not.
    ///
    /// # Errors
    /// As [`Client::list`].
    pub async fn get(
        &self,
        context: &Context,
        account: AccountId,
        id: NumberId,
    ) -> Result<List, Error> {
        let request = routes::get_one(context, self.config.unsafe_values, account, id)?;
        self.read(context, account, request).await
    }

    /// Adds a number.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], the number may have been added.
    pub async fn add(
        &self,
        context: &Context,
        account: AccountId,
        fields: &Fields,
    ) -> Result<Written, Error> {
        let request = routes::add(context, self.config.unsafe_values, account, fields)?;
        self.write(context, account, request).await
    }

    /// Updates a number by GET.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], the number may have changed.
    pub async fn update(
        &self,
        context: &Context,
        account: AccountId,
        id: NumberId,
        fields: &Fields,
    ) -> Result<Written, Error> {
        let request = routes::update(context, self.config.unsafe_values, account, id, fields)?;
        self.write(context, account, request).await
    }

    /// Deletes a number.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], the number may be gone.
    pub async fn delete(
        &self,
        context: &Context,
        account: AccountId,
        id: NumberId,
        delete_forward: bool,
    ) -> Result<Written, Error> {
        let request = routes::delete(
            context,
            self.config.unsafe_values,
            account,
            id,
            delete_forward,
        )?;
        self.write(context, account, request).await
    }

    /// Posts whole numbers to `UpdateFollowmeAll`; an id of `None` is a new one. More than one
    /// number can only be written as CSV.
    ///
    /// # Errors
    /// See [`Kind`]. Unless [`Error::nothing_ran`], numbers may have changed.
    pub async fn update_all(
        &self,
        context: &Context,
        account: AccountId,
        numbers: &[(Option<NumberId>, &Fields)],
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
            let request = routes::update_all(context, account, numbers, format)?;
            match self.write(context, account, request).await {
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

    async fn read(
        &self,
        context: &Context,
        account: AccountId,
        request: Request,
    ) -> Result<List, Error> {
        let route = request.route;
        let until = context.until(self.config.read_timeout);
        let answer = self.send(context, account, request, until).await?;
        let success = answer.success;
        let settings = answer.settings.clone();
        match answer.into_list() {
            Some(list) => Ok(list),
            None if success == Some(true) && self.config.null_list == NullList::Empty => {
                Ok(List::new(Vec::new(), settings))
            }
            None => Err(Error::new(Kind::Refused, route).with_status(200)),
        }
    }

    async fn write(
        &self,
        context: &Context,
        account: AccountId,
        request: Request,
    ) -> Result<Written, Error> {
        let until = context.until(self.config.write_timeout);
        let answer = self.send(context, account, request, until).await?;
        Ok(Written {
            success: answer.success,
            list: answer.into_list(),
        })
    }

    #[tracing::instrument(
        name = "upstream",
        skip_all,
        fields(
            otel.name = if request.body.is_some() { format!("POST {}", request.route.template()) } else { format!("GET {}", request.route.template()) },
            otel.kind = "client",
            http.response.status_code = tracing::field::Empty,
            error.type = tracing::field::Empty,
        )
    )]
    async fn send(
        &self,
        context: &Context,
        account: AccountId,
        request: Request,
        until: Instant,
    ) -> Result<Answer, Error> {
        let route = request.route;
        let answer = match self.transport.send(request, until).await {
            Ok(reply) => {
                tracing::Span::current().record("http.response.status_code", reply.status);
                answer::understand(&reply, route, account, &context.license)
            }
            Err(error) => Err(error),
        };
        if let Err(error) = &answer {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                detail = error.detail(),
                nothing_ran = error.nothing_ran(),
                "upstream request failed"
            );
        }
        answer
    }
}
