//! What happens to a call that a fault hits.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, IntoStaticStr, VariantNames};

use crate::simulator::store::StoredNumber;

/// On which side of the effect a fault acts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage)]
pub enum When {
    /// The effect never happens; for a hold, it happens after the release.
    Before,
    /// The effect has happened.
    #[default]
    After,
    /// The effect happens after the answer has been sent or the connection has ended; for a hold,
    /// after the release.
    Late {
        /// How many milliseconds later.
        ms: u64,
    },
}

/// When the service runs a call that a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// Never.
    Never,
    /// Before it answers.
    Now,
    /// Before it answers, and after a wait.
    AfterWaiting,
    /// That long after the answer.
    Late(Duration),
    /// Before it answers, and once more.
    Twice,
}

/// What the service does otherwise than asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Nothing.
    #[default]
    Normal,
    /// It changes nothing, and answers success.
    Idle,
    /// It changes this field as well when it updates a number.
    Unasked(Unasked),
}

/// A field that a write changes unasked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Unasked {
    /// The name loses its second half.
    #[default]
    Name,
    /// The domain is gone.
    Domain,
    /// The order grows by one.
    Order,
    /// The period is gone.
    Period,
    /// `Y` becomes `N`, and anything else `Y`.
    Active,
}

impl Unasked {
    /// Changes the field.
    pub(crate) fn change(self, number: &mut StoredNumber) {
        match self {
            Self::Name => {
                if let Some(name) = &mut number.name {
                    let half = name.chars().count() / 2;
                    *name = name.chars().take(half).collect();
                }
            }
            Self::Domain => number.domain = None,
            Self::Order => number.order = Some(number.order.unwrap_or(0) + 1),
            Self::Period => number.period = None,
            Self::Active => {
                let active = number.active.as_deref() == Some("Y");
                number.active = Some(if active { "N" } else { "Y" }.to_owned());
            }
        }
    }
}

/// At which point of an answer the host falls silent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum HangAt {
    /// Before the first byte.
    #[default]
    BeforeHead,
    /// Within the status line and header fields.
    MidHead,
    /// In the middle of the body.
    MidBody,
}

/// What is odd about the first element of a list.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Odd {
    /// A null element: `{}`, every key missing.
    #[default]
    Null,
    /// No `i_follow_me_number`.
    NoId,
    /// An `i_follow_me_number` of 0.
    ZeroId,
    /// The `i_account` of another account.
    OtherAccount,
    /// A timeout that is no number.
    TextTimeout,
}

/// What happens to one call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
#[derive(EnumIter, EnumMessage, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "`when`, `at`, `odd` and `field` are documented at their types; `status`, `reason`, \
              `body` and `content_type` are those of the response, none being the usual ones; `ms` \
              and `every_ms` are milliseconds"
)]
pub enum FaultKind {
    /// Waits, then serves as usual.
    Delay { ms: u64 },
    /// Waits until it is released, then serves as usual.
    Hold {
        #[serde(default)]
        when: When,
    },
    /// Answers with a status of its own before the effect, as a proxy in front would.
    Status {
        status: u16,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        body: String,
        #[serde(default)]
        content_type: Option<String>,
    },
    /// Throws in the service: status from the type, its name as reason phrase, a default record.
    Exception {
        /// The .NET type's name, such as `ArgumentException`.
        type_name: String,
        #[serde(default)]
        when: When,
    },
    /// Throws or returns an `HttpError`.
    HttpError {
        status: u16,
        /// The error code, which is the reason phrase; None as in `HttpError.NotFound(message)`,
        /// where v3 takes the message for it and v4 the name of the status.
        #[serde(default)]
        code: Option<String>,
        message: String,
        /// Whether it is returned rather than thrown: v3 then sends an empty body.
        #[serde(default)]
        returned: bool,
        #[serde(default)]
        when: When,
    },
    /// Resets the connection (RST) without a byte of an answer.
    Reset {
        #[serde(default)]
        when: When,
    },
    /// Closes the connection (FIN) without a byte of an answer.
    Close {
        #[serde(default)]
        when: When,
    },
    /// Announces the whole body's length, sends only part of it and closes.
    Truncated {
        /// How many bytes of the body are sent, at most all but one.
        bytes: usize,
    },
    /// Cuts the body and announces the length of what is left.
    TruncatedQuietly {
        /// How many bytes of the body are left.
        bytes: usize,
    },
    /// Answers with an HTML page after the effect.
    Html {
        #[serde(default = "ok")]
        status: u16,
    },
    /// Answers `success` False and a null list.
    NotSuccess {
        #[serde(default)]
        when: When,
    },
    /// Answers as usual but with a null list.
    NullList,
    /// Answers with the default record and a status of its own.
    DefaultRecord {
        status: u16,
        #[serde(default)]
        when: When,
    },
    /// Answers as a service does that returns null: no body, no Content-Type (ASP.NET: 204).
    NullResult,
    /// Falls silent after the effect and keeps the connection open.
    Hang { at: HangAt },
    /// Sends the answer a few bytes at a time.
    Trickle {
        /// How many bytes at once, at least 1.
        bytes_per: usize,
        every_ms: u64,
    },
    /// Shows the list as it was before the effect.
    Stale,
    /// Shows the last element of the list twice.
    Duplicate,
    /// Shows the first element with something odd about it.
    OddElement { odd: Odd },
    /// Throws in the service, answered as a lone `ResponseStatus` with the status of the exception.
    ResponseStatus {
        /// The .NET type's name, such as `SqlException`.
        error_code: String,
        #[serde(default)]
        message: String,
        #[serde(default)]
        reason: Option<String>,
        #[serde(default)]
        when: When,
    },
    /// A gateway in front answers a page of its own: 408, 499, 503 of a mesh, 520, 522, 524, 598,
    /// 599, 3xx to a login page, or an HTML page with any other status.
    Gateway {
        status: u16,
        #[serde(default)]
        when: When,
    },
    /// HTTP.sys answers 503 with its own page, and the service does not run.
    HttpSys,
    /// A hop in front sends the request twice, and passes the second answer on.
    Doubled,
    /// Answers success and does nothing.
    NoEffect,
    /// Changes one more field than asked when it updates a number.
    ChangesUnasked { field: Unasked },
    /// Sends these bytes for an answer after the effect, and closes.
    Raw {
        /// The bytes, head included.
        text: String,
    },
}

fn ok() -> u16 {
    200
}

impl FaultKind {
    /// Returns the names of all kinds.
    #[must_use]
    pub fn names() -> &'static [&'static str] {
        Self::VARIANTS
    }

    /// Returns the name of the kind, as in its JSON.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.into()
    }

    /// Returns when the service runs the call.
    pub(crate) fn run(&self) -> Run {
        match self {
            Self::Delay { .. } => Run::AfterWaiting,
            Self::Hold { when } if *when != When::After => Run::AfterWaiting,
            Self::Status { .. } | Self::HttpSys => Run::Never,
            Self::Doubled => Run::Twice,
            Self::Exception { when, .. }
            | Self::HttpError { when, .. }
            | Self::ResponseStatus { when, .. }
            | Self::Gateway { when, .. }
            | Self::Reset { when }
            | Self::Close { when }
            | Self::NotSuccess { when }
            | Self::DefaultRecord { when, .. } => match *when {
                When::Before => Run::Never,
                When::After => Run::Now,
                When::Late { ms } => Run::Late(Duration::from_millis(ms)),
            },
            _ => Run::Now,
        }
    }

    /// Returns what the service does otherwise than asked.
    pub(crate) fn behaviour(&self) -> Behaviour {
        match self {
            Self::NoEffect => Behaviour::Idle,
            Self::ChangesUnasked { field } => Behaviour::Unasked(*field),
            _ => Behaviour::Normal,
        }
    }
}
