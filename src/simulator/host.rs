//! The host in front of the framework: HTTP.sys or Mono's listener, or nginx and ASP.NET
//! (docs/upstream/wire.md 5).

use super::{
    aspnet,
    failure::Failure,
    negotiation,
    parameters::{Parameters, decode_path},
    reply::Reply,
    writer::Style,
};

/// A self-host closes the connection over a longer target (docs/upstream/wire.md 5: 8 kB works, 20
/// kB does not).
const MAX_TARGET: usize = 16 * 1024;

/// One request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct RawRequest {
    pub(crate) method: String,
    /// The raw target; a client's fragment never gets here.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl RawRequest {
    /// Returns a header field, repeats joined with a comma.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let values: Vec<&str> = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
            .collect();
        (!values.is_empty()).then(|| values.join(","))
    }
}

/// The host that reads a request.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) style: Style,
    pub(crate) reads_csv: bool,
    /// The names that `Host` may have; None takes any.
    pub(crate) names: Option<Vec<String>>,
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

impl Host {
    /// Returns the decoded path and the raw query of a request that the host admits.
    pub(crate) fn admit<'a>(&self, raw: &'a RawRequest) -> Result<(String, &'a str), Refusal> {
        check_host(raw, self)?;
        let target = raw.target.as_str();
        let (raw_path, raw_query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let (path, raw_query) = if self.style.dialect.is_self_host() {
            if target.len() > MAX_TARGET {
                return Err(Refusal::Close);
            }
            self_host_path(raw_path, raw_query, raw, self)?
        } else {
            let origin = without_authority(raw_path);
            let path = aspnet::path(&raw.method, origin, raw_query).map_err(Refusal::Reply)?;
            (path, raw_query)
        };
        Ok((path, raw_query.unwrap_or_default()))
    }
}

fn check_host(raw: &RawRequest, host: &Host) -> Result<(), Refusal> {
    let page = |text: &str| {
        Err(Refusal::Reply(Box::new(Reply {
            status: 400,
            content_type: Some("text/html; charset=utf-8".to_owned()),
            body: format!("<h1>{text}</h1>").into_bytes(),
            sized: true,
            ..Reply::default()
        })))
    };
    let given = raw.header("host");
    match (&given, host.style.dialect.is_self_host()) {
        (None, true) => page("Bad Request (Invalid host name)"),
        (None, false) => Err(Refusal::Reply(Box::new(Reply::html(
            400,
            "text/html",
            "400 Bad Request",
        )))),
        (Some(name), true) => match &host.names {
            Some(names) if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
                page("Bad Request (Invalid host)")
            }
            _ => Ok(()),
        },
        (Some(_), false) => Ok(()),
    }
}

/// Decodes the path as a self-host does. A `?` or `#` in the decoded path loses the query; a
/// malformed `%` hangs, or is a 500 where a query follows.
fn self_host_path<'a>(
    raw_path: &str,
    raw_query: Option<&'a str>,
    raw: &RawRequest,
    host: &Host,
) -> Result<(String, Option<&'a str>), Refusal> {
    match decode_path(raw_path.as_bytes(), true) {
        Ok(path) if path.contains(['?', '#']) => Ok((path, None)),
        Ok(path) => Ok((path, raw_query)),
        Err(error) => {
            let Some(query) = raw_query else {
                return Err(Refusal::NeverAnswer);
            };
            let format = negotiation::of_query(&Parameters::parse(query.as_bytes()))
                .unwrap_or_else(|| {
                    let accept = raw.header("accept").unwrap_or_default();
                    negotiation::of_accept(&accept, "", host.style.dialect)
                });
            Err(Refusal::Reply(Box::new(host.style.failure(
                &Failure::malformed_escape(error.message),
                &format,
            ))))
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
