//! The host in front of the framework: HTTP.sys or Mono's listener, or nginx and ASP.NET
//! (docs/upstream/wire.md 5).

pub(crate) mod aspnet;
pub(crate) mod gateway;
pub(crate) mod reply;
mod server;
pub(crate) mod stream;

pub(crate) use server::connection;

use reply::Reply;

use super::{
    framework::{
        failure::Failure,
        format::Format,
        parameters::{Parameters, decode_path},
    },
    log::Received,
    options::{Dialect, Newline},
};

/// A self-host closes the connection over a longer target (docs/upstream/wire.md 5: 8 kB works, 20
/// kB does not).
const MAX_TARGET: usize = 16 * 1024;

/// A host: how it reads requests and writes answers.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) dialect: Dialect,
    pub(crate) newline: Newline,
    pub(crate) reads_csv: bool,
    /// The names that `Host` may have; None takes any.
    pub(crate) names: Option<[String; 2]>,
}

/// What becomes of a request that does not reach the service.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The host or the framework answers it.
    Reply(Box<Reply>),
    /// The host never answers.
    NeverAnswer,
    /// The host closes the connection without an answer.
    Close,
}

impl Refusal {
    pub(crate) fn reply(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

impl Host {
    /// Returns the decoded path and the raw query of a request that the host admits.
    pub(crate) fn admit<'a>(&self, received: &'a Received) -> Result<(String, &'a str), Refusal> {
        self.check_name(received.joined("host").as_deref())?;
        let target = received.target.as_str();
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        if self.dialect.is_self_host() {
            if target.len() > MAX_TARGET {
                return Err(Refusal::Close);
            }
            self.self_host_path(path, query, received)
        } else {
            let path = aspnet::path(&received.method, without_authority(path), query)
                .map_err(Refusal::Reply)?;
            Ok((path, query.unwrap_or_default()))
        }
    }

    fn check_name(&self, name: Option<&str>) -> Result<(), Refusal> {
        let known = |name: &str| {
            let is = |known: &String| known.eq_ignore_ascii_case(name);
            self.names.as_ref().is_none_or(|names| names.iter().any(is))
        };
        let title = match name {
            None if !self.dialect.is_self_host() => {
                return Err(Refusal::reply(Reply::html(
                    400,
                    "text/html",
                    "400 Bad Request",
                )));
            }
            None => "Bad Request (Invalid host name)",
            Some(name) if self.dialect.is_self_host() && !known(name) => {
                "Bad Request (Invalid host)"
            }
            Some(_) => return Ok(()),
        };
        Err(Refusal::reply(Reply {
            status: 400,
            content_type: Some("text/html; charset=utf-8".to_owned()),
            body: format!("<h1>{title}</h1>").into_bytes(),
            sized: true,
            ..Reply::default()
        }))
    }

    /// Decodes the path as a self-host does. A `?` or `#` in the decoded path loses the query; a
    /// malformed `%` hangs, or is a 500 if a query follows.
    fn self_host_path<'a>(
        &self,
        path: &str,
        query: Option<&'a str>,
        received: &Received,
    ) -> Result<(String, &'a str), Refusal> {
        match (decode_path(path, true), query) {
            (Ok(path), _) if path.contains(['?', '#']) => Ok((path, "")),
            (Ok(path), query) => Ok((path, query.unwrap_or_default())),
            (Err(_), None) => Err(Refusal::NeverAnswer),
            (Err(message), Some(query)) => {
                let by_accept = || {
                    let accept = received.joined("accept").unwrap_or_default();
                    Format::of_accept(&accept, "", self.dialect)
                };
                let query = Parameters::parse(query.as_bytes());
                let format = Format::of_query(&query).unwrap_or_else(by_accept);
                let failure = Failure::MalformedEscape(message);
                Err(Refusal::reply(self.failure(&failure, &format)))
            }
        }
    }
}

/// Cuts scheme and authority off an absolute-form target, as nginx does.
fn without_authority(target: &str) -> &str {
    match target.split_once("://") {
        Some((scheme, rest)) if !scheme.contains('/') => {
            rest.find('/').map_or("/", |at| &rest[at..])
        }
        _ => target,
    }
}
