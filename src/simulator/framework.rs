//! The framework between the host and the service: it finds the route, binds the request object and
//! chooses the format, or answers itself (docs/upstream/wire.md 4 to 8).

use super::{
    aspnet,
    body::{self, Reader},
    failure::Failure,
    host::{Host, RawRequest, Refusal},
    negotiation::{self, Format},
    options::Dialect,
    parameters::Parameters,
    reply::Reply,
    request_object::{Property, RequestObject},
    routing::{self, Endpoint, Predefined, Route, Template},
    service::Call,
};

/// What becomes of a request.
#[derive(Debug)]
pub(crate) enum Disposition {
    /// The service runs.
    Serve(Box<ServiceCall>),
    /// The service does not run.
    Refuse(Refusal),
}

/// A call of the service and the form of its answer.
#[derive(Debug)]
pub(crate) struct ServiceCall {
    pub(crate) call: Call,
    pub(crate) format: Format,
    /// The operation's name as the request spelt it; it becomes the attachment's name.
    pub(crate) operation: String,
}

/// Decides what `host` does with a request.
pub(crate) fn dispatch(raw: &RawRequest, host: &Host) -> Disposition {
    match Request::admit(raw, host).and_then(|request| request.dispatch()) {
        Ok(call) => Disposition::Serve(Box::new(call)),
        Err(refusal) => Disposition::Refuse(refusal),
    }
}

fn answer(reply: Reply) -> Refusal {
    Refusal::Reply(Box::new(reply))
}

/// A request that the host has admitted.
struct Request<'a> {
    raw: &'a RawRequest,
    host: &'a Host,
    method: String,
    path: String,
    query_text: &'a str,
    query: Parameters,
    content_type: String,
    form: Option<Parameters>,
}

impl<'a> Request<'a> {
    fn admit(raw: &'a RawRequest, host: &'a Host) -> Result<Self, Refusal> {
        let dialect = host.style.dialect;
        let (path, query_text) = host.admit(raw)?;
        let query = if dialect.is_self_host() {
            Parameters::parse_self_hosted_query(query_text.as_bytes())
        } else {
            Parameters::parse(query_text.as_bytes())
        };
        let content_type = raw.header("content-type").unwrap_or_default();
        let form = body::form(&content_type, &raw.body);
        let mut method = raw.method.clone();
        if dialect.is_self_host() {
            const OVERRIDE: &str = "X-Http-Method-Override";
            let by_value = query.get(OVERRIDE).or_else(|| form.as_ref()?.get(OVERRIDE));
            if let Some(other) = raw.header(OVERRIDE).or_else(|| by_value.map(str::to_owned)) {
                method = other;
            }
        }
        Ok(Self {
            raw,
            host,
            method,
            path,
            query_text,
            query,
            content_type,
            form,
        })
    }

    fn dialect(&self) -> Dialect {
        self.host.style.dialect
    }

    fn dispatch(&self) -> Result<ServiceCall, Refusal> {
        match routing::predefined(&self.path, self.dialect()) {
            Some(Predefined::Operation(endpoint, operation)) => {
                self.predefined(endpoint, operation)
            }
            Some(Predefined::Unknown) => Err(self.not_found()),
            None => self.routed(),
        }
    }

    fn not_found(&self) -> Refusal {
        answer(if self.dialect().is_self_host() {
            Reply::text(404, "404")
        } else {
            aspnet::not_found(&self.method, &self.path, &self.raw.target)
        })
    }

    fn routed(&self) -> Result<ServiceCall, Refusal> {
        let dialect = self.dialect();
        if self.path.trim_matches('/').is_empty() {
            return Err(answer(to_metadata(dialect)));
        }
        let (path, by_suffix) = negotiation::cut_suffix(&self.path, dialect);
        let (template, values) =
            routing::find(path, &self.method, dialect).ok_or_else(|| self.not_found())?;
        let format = by_suffix
            .or_else(|| negotiation::of_query(&self.query))
            .unwrap_or_else(|| self.accepted());
        let fail = |failure: Failure| answer(self.host.style.failure(&failure, &format));
        self.refuse_dangerous().map_err(fail)?;
        let (bound, more) = self.bind_route(template, &values).map_err(fail)?;
        self.has_method().map_err(fail)?;
        Ok(ServiceCall {
            call: Call {
                route: template.route,
                path: Some(&template.values),
                bound,
                more,
            },
            format,
            operation: "PortaFollowMe".to_owned(),
        })
    }

    fn accepted(&self) -> Format {
        let accept = self.raw.header("accept").unwrap_or_default();
        negotiation::of_accept(&accept, &self.content_type, self.dialect())
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
    ) -> Result<(RequestObject, Vec<RequestObject>), Failure> {
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
            .flat_map(Parameters::iter)
    }

    /// Reads the body with the given reader, if there is one and the host knows the length.
    fn read_body(
        &self,
        reader: Option<Reader>,
    ) -> Result<(RequestObject, Vec<RequestObject>), Failure> {
        let dialect = self.dialect();
        let chunked = self.raw.header("transfer-encoding").is_some();
        // A self-host takes a chunked body for one of no length.
        let unseen = self.raw.body.is_empty() || (chunked && dialect.is_self_host());
        let Some(reader) = reader.filter(|_| !unseen && self.form.is_none()) else {
            return Ok((RequestObject::default(), Vec::new()));
        };
        let mut records = reader
            .read(&self.raw.body, dialect, self.host.reads_csv)
            .map_err(|error| Failure::unreadable_body(reader.content_type(), &error))?
            .into_iter();
        Ok((records.next().unwrap_or_default(), records.collect()))
    }

    /// Serves a predefined path: the query on a GET, the form or the body otherwise.
    ///
    /// The object does not say which operation is meant. Here a POST writes all fields as
    /// `UpdateFollowmeAll` does, and anything else reads.
    fn predefined(&self, endpoint: Endpoint, operation: &str) -> Result<ServiceCall, Refusal> {
        let format =
            negotiation::of_query(&self.query).unwrap_or_else(|| Format::of_endpoint(endpoint));
        let fail = |failure: Failure| answer(self.host.style.failure(&failure, &format));
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
            let text = String::from_utf8_lossy(&self.raw.body);
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
        let route = match (self.method.as_str(), bound.int(Property::Number)) {
            ("POST", _) => Route::UpdateAll,
            (_, 0) => Route::GetAll,
            _ => Route::GetOne,
        };
        Ok(ServiceCall {
            call: Call {
                route,
                path: None,
                bound,
                more,
            },
            format,
            operation: operation.to_owned(),
        })
    }

    fn bind_values(&self, values: &Parameters, text: &str) -> Result<RequestObject, Failure> {
        let mut bound = RequestObject::default();
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
    bound: &mut RequestObject,
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
