//! The framework between the wire and the service: it finds the route, binds the request object and
//! chooses the format, or answers itself (docs/upstream/wire.md 4 to 8).

use super::aspnet;
use super::body::{self, Reader};
use super::bound::{Bound, Property};
use super::errors::Failure;
use super::formats::{self, Format, Style};
use super::options::Dialect;
use super::params::{Params, decode_path};
use super::reply::Reply;
use super::routing::{self, Endpoint, Predefined, Route, Template};
use super::service::Call;

/// A self-host closes the connection over a longer target (docs/upstream/wire.md 5: 8 kB works, 20
/// kB does not).
const MAX_TARGET: usize = 16 * 1024;

/// Holds one request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) method: String,
    /// The raw target; a client's fragment never gets here.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Exchange {
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

/// Describes the host that reads a request.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    pub(crate) style: Style,
    pub(crate) reads_csv: bool,
    /// The names that `Host` may have; None takes any.
    pub(crate) names: Option<Vec<String>>,
}

/// Says what becomes of a request.
#[derive(Debug)]
pub(crate) enum Understood {
    /// The service runs.
    Run(Box<Run>),
    /// The framework, or what stands before it, answers itself.
    Reply(Box<Reply>),
    /// The host never answers.
    Silence,
    /// The host closes the connection without an answer.
    Close,
}

/// Holds a call of the service and the form of its answer.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) call: Call,
    pub(crate) format: Format,
    /// The operation's name as the request spelt it; it becomes the attachment's name.
    pub(crate) operation: String,
}

/// Reads a request as `host` does.
pub(crate) fn understand(exchange: &Exchange, host: &Host) -> Understood {
    Request::admit(exchange, host)
        .and_then(|request| request.dispatch())
        .unwrap_or_else(|stop| stop)
}

fn stop(reply: Reply) -> Understood {
    Understood::Reply(Box::new(reply))
}

/// Holds a request that the host has let in.
struct Request<'a> {
    exchange: &'a Exchange,
    host: &'a Host,
    method: String,
    path: String,
    query_text: &'a str,
    query: Params,
    content_type: String,
    form: Option<Params>,
}

impl<'a> Request<'a> {
    fn admit(exchange: &'a Exchange, host: &'a Host) -> Result<Self, Understood> {
        let dialect = host.style.dialect;
        check_host(exchange, host)?;
        let target = exchange.target.as_str();
        let (raw_path, raw_query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        let (path, raw_query) = if dialect.is_self_host() {
            if target.len() > MAX_TARGET {
                return Err(Understood::Close);
            }
            self_host_path(raw_path, raw_query, exchange, host)?
        } else {
            let origin = without_authority(raw_path);
            (
                aspnet::path(&exchange.method, origin, raw_query).map_err(Understood::Reply)?,
                raw_query,
            )
        };
        let query = Params::parse(raw_query.unwrap_or_default().as_bytes());
        let content_type = exchange.header("content-type").unwrap_or_default();
        let form = body::form(&content_type, &exchange.body);
        let mut method = exchange.method.clone();
        if dialect.is_self_host() {
            const OVERRIDE: &str = "X-Http-Method-Override";
            let by_value = query.get(OVERRIDE).or_else(|| form.as_ref()?.get(OVERRIDE));
            if let Some(other) = exchange
                .header(OVERRIDE)
                .or_else(|| by_value.map(str::to_owned))
            {
                method = other;
            }
        }
        Ok(Self {
            exchange,
            host,
            method,
            path,
            query_text: raw_query.unwrap_or_default(),
            query,
            content_type,
            form,
        })
    }

    fn dialect(&self) -> Dialect {
        self.host.style.dialect
    }

    fn dispatch(&self) -> Result<Understood, Understood> {
        match routing::predefined(&self.path, self.dialect()) {
            Some(Predefined::Operation(endpoint, operation)) => {
                self.predefined(endpoint, operation)
            }
            Some(Predefined::Unknown) => Err(self.not_found()),
            None => self.routed(),
        }
    }

    fn not_found(&self) -> Understood {
        stop(if self.dialect().is_self_host() {
            Reply::text(404, "404")
        } else {
            aspnet::not_found(&self.method, &self.path, &self.exchange.target)
        })
    }

    fn routed(&self) -> Result<Understood, Understood> {
        let dialect = self.dialect();
        if self.path.trim_matches('/').is_empty() {
            return Err(stop(to_metadata(dialect)));
        }
        let (path, by_suffix) = formats::cut_suffix(&self.path, dialect);
        let (template, values) =
            routing::find(path, &self.method, dialect).ok_or_else(|| self.not_found())?;
        let format = by_suffix
            .or_else(|| formats::asked_by_query(&self.query))
            .unwrap_or_else(|| self.accepted());
        let fail = |failure: Failure| stop(self.host.style.failure(&failure, &format));
        self.refuse_dangerous().map_err(fail)?;
        let (bound, more) = self.bind_route(template, &values).map_err(fail)?;
        self.has_method().map_err(fail)?;
        Ok(Understood::Run(Box::new(Run {
            call: Call {
                route: template.route,
                path: Some(template.values),
                bound,
                more,
            },
            format,
            operation: "PortaFollowMe".to_owned(),
        })))
    }

    fn accepted(&self) -> Format {
        let accept = self.exchange.header("accept").unwrap_or_default();
        formats::asked_by_accept(&accept, &self.content_type, self.dialect())
    }

    fn refuse_dangerous(&self) -> Result<(), Failure> {
        if self.dialect() != Dialect::AspNet {
            return Ok(());
        }
        if let Some((name, value)) = aspnet::dangerous(&self.query) {
            return Err(Failure::dangerous_value("QueryString", name, value));
        }
        match self.form.as_ref().and_then(aspnet::dangerous) {
            Some((name, value)) => Err(Failure::dangerous_value("Form", name, value)),
            None => Ok(()),
        }
    }

    /// The service has a method for GET and one for POST. A verb that is part of theirs, such as
    /// `GE`, has matched a route all the same.
    fn has_method(&self) -> Result<(), Failure> {
        let method = match self.dialect() {
            Dialect::V4 => self.method.to_ascii_uppercase(),
            Dialect::V3 | Dialect::AspNet => self.method.clone(),
        };
        match method.as_str() {
            "GET" | "POST" => Ok(()),
            other => Err(Failure::no_method(other)),
        }
    }

    /// Binds body, path, query and form, each over the one before (docs/upstream/wire.md 6).
    fn bind_route(
        &self,
        template: &Template,
        values: &[&str],
    ) -> Result<(Bound, Vec<Bound>), Failure> {
        let dialect = self.dialect();
        let (mut bound, more) =
            self.read_body(Reader::of(&self.content_type))
                .map_err(|failure| match dialect {
                    Dialect::V4 => failure,
                    Dialect::V3 | Dialect::AspNet => Failure::unable_to_bind(),
                })?;
        if template.misspelt {
            return Err(Failure::misspelt(dialect));
        }
        // A query or form value replaces the path's only where it spells the name exactly; with
        // another case it comes second, after the path value was bound (or failed to).
        let mut pairs: Vec<(&str, &str)> = template
            .values
            .iter()
            .zip(values)
            .map(|(property, value)| (property.name(), *value))
            .collect();
        for (name, value) in self.query.iter().chain(self.form_values()) {
            match pairs.iter_mut().find(|(known, _)| *known == name) {
                Some(pair) => pair.1 = value,
                None => pairs.push((name, value)),
            }
        }
        populate(&mut bound, &pairs, dialect).map_err(|bad| match dialect {
            Dialect::V4 => Failure::invalid_values(&bad),
            Dialect::V3 | Dialect::AspNet => Failure::unable_to_bind(),
        })?;
        Ok((bound, more))
    }

    /// The form's values; a form on a GET is ignored.
    fn form_values(&self) -> impl Iterator<Item = (&str, &str)> {
        let counts = matches!(self.method.as_str(), "POST" | "PUT");
        self.form
            .iter()
            .filter(move |_| counts)
            .flat_map(Params::iter)
    }

    /// Reads the body with the given reader, if there is one and the host knows the length.
    fn read_body(&self, reader: Option<Reader>) -> Result<(Bound, Vec<Bound>), Failure> {
        let dialect = self.dialect();
        let chunked = self.exchange.header("transfer-encoding").is_some();
        // A self-host takes a chunked body for one of no length.
        let unseen = self.exchange.body.is_empty() || (chunked && dialect.is_self_host());
        let Some(reader) = reader.filter(|_| !unseen && self.form.is_none()) else {
            return Ok((Bound::default(), Vec::new()));
        };
        let mut records = reader
            .read(&self.exchange.body, dialect, self.host.reads_csv)
            .map_err(|error| Failure::unreadable_body(reader.content_type(), &error))?
            .into_iter();
        Ok((records.next().unwrap_or_default(), records.collect()))
    }

    /// Serves a predefined path: the query on a GET, the form or the body otherwise.
    ///
    /// The object does not say which operation is meant. Here a POST writes all fields as
    /// `UpdateFollowmeAll` does, and anything else reads.
    fn predefined(&self, endpoint: Endpoint, operation: &str) -> Result<Understood, Understood> {
        let format =
            formats::asked_by_query(&self.query).unwrap_or_else(|| Format::of_endpoint(endpoint));
        let fail = |failure: Failure| stop(self.host.style.failure(&failure, &format));
        if !operation.eq_ignore_ascii_case("PortaFollowMe") {
            return Err(fail(Failure::no_operation(operation)));
        }
        self.refuse_dangerous().map_err(fail)?;
        let by_query = matches!(self.method.as_str(), "GET" | "DELETE" | "OPTIONS");
        let (bound, more) = if by_query {
            (
                self.bind_values(&self.query, self.query_text)
                    .map_err(fail)?,
                Vec::new(),
            )
        } else if let Some(form) = &self.form {
            let text = String::from_utf8_lossy(&self.exchange.body);
            (self.bind_values(form, &text).map_err(fail)?, Vec::new())
        } else {
            let reader = match endpoint {
                Endpoint::Csv => Reader::Csv,
                Endpoint::Json => Reader::Json,
                Endpoint::Jsv => Reader::Jsv,
                Endpoint::Xml => Reader::Xml,
            };
            self.read_body(Some(reader)).map_err(fail)?
        };
        self.has_method().map_err(fail)?;
        let route = match (self.method.as_str(), bound.number) {
            ("POST", _) => Route::UpdateAll,
            (_, 0) => Route::GetAll,
            _ => Route::GetOne,
        };
        Ok(Understood::Run(Box::new(Run {
            call: Call {
                route,
                path: None,
                bound,
                more,
            },
            format,
            operation: operation.to_owned(),
        })))
    }

    fn bind_values(&self, values: &Params, text: &str) -> Result<Bound, Failure> {
        let mut bound = Bound::default();
        let pairs: Vec<(&str, &str)> = values.iter().collect();
        populate(&mut bound, &pairs, self.dialect()).map_err(|bad| match self.dialect() {
            Dialect::V4 => Failure::invalid_values(&bad),
            Dialect::V3 | Dialect::AspNet => Failure::unreadable_values(text),
        })?;
        Ok(bound)
    }
}

/// Binds names and values in their order. Empty values never bind, unknown names are ignored.
fn populate(
    bound: &mut Bound,
    pairs: &[(&str, &str)],
    dialect: Dialect,
) -> Result<(), Vec<(String, String)>> {
    let mut bad = Vec::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        if let Some(property) = Property::named(name)
            && !bound.bind(property, value, dialect)
        {
            bad.push(((*name).to_owned(), (*value).to_owned()));
        }
    }
    if bad.is_empty() { Ok(()) } else { Err(bad) }
}

fn check_host(exchange: &Exchange, host: &Host) -> Result<(), Understood> {
    let refuse = |content_type: &str, text: &str| {
        Err(stop(Reply {
            sized: true,
            ..Reply::html(400, content_type, text)
        }))
    };
    let given = exchange.header("host");
    match (&given, host.style.dialect.is_self_host()) {
        (None, true) => refuse(
            "text/html; charset=utf-8",
            "Bad Request (Invalid host name)",
        ),
        (None, false) => refuse("text/html", "400 Bad Request"),
        (Some(name), true) => match &host.names {
            Some(names) if !names.iter().any(|known| known.eq_ignore_ascii_case(name)) => {
                refuse("text/html; charset=utf-8", "Bad Request (Invalid host)")
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
    exchange: &Exchange,
    host: &Host,
) -> Result<(String, Option<&'a str>), Understood> {
    match decode_path(raw_path.as_bytes(), true) {
        Ok(path) if path.contains(['?', '#']) => Ok((path, None)),
        Ok(path) => Ok((path, raw_query)),
        Err(error) => {
            let Some(query) = raw_query else {
                return Err(Understood::Silence);
            };
            let format =
                formats::asked_by_query(&Params::parse(query.as_bytes())).unwrap_or_else(|| {
                    let accept = exchange.header("accept").unwrap_or_default();
                    formats::asked_by_accept(&accept, "", host.style.dialect)
                });
            Err(stop(host.style.failure(
                &Failure::malformed_escape(error.message),
                &format,
            )))
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

fn to_metadata(dialect: Dialect) -> Reply {
    Reply {
        status: 302,
        location: Some("/metadata".to_owned()),
        content_type: (dialect == Dialect::AspNet).then(|| "text/html".to_owned()),
        powered: true,
        sized: true,
        ..Reply::default()
    }
}
