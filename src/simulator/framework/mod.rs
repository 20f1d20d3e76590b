//! The framework between the host and the service: it finds the route, binds the request object and
//! chooses the format, or answers itself (docs/upstream/wire.md 4 to 8).

mod bodies;
pub(crate) mod failure;
pub(crate) mod format;
pub(crate) mod parameters;
mod request_object;
mod routing;
mod value;
mod writer;

pub(crate) use request_object::{Property, RequestObject};
pub use routing::Route;
pub use value::{EmptyString, Value};
pub use writer::write_record;

use failure::Failure;
use format::{Format, Serializer};
use parameters::Parameters;
use routing::{Predefined, Template};

use super::{
    host::{Host, Refusal, aspnet, reply::Reply},
    log::Received,
    options::Dialect,
    service::Call,
};

/// The objects of a request: one, and those behind it in a CSV body.
type Bound = (RequestObject, Vec<RequestObject>);

/// A route, the properties in its path, and the objects bound for it.
type BoundRoute = (Route, Option<&'static [Property]>, Bound);

/// Decides what `host` does with a request: which call of the service it makes, if any.
pub(crate) fn dispatch(received: &Received, host: &Host) -> Result<Call, Refusal> {
    let request = Request::admit(received, host)?;
    match routing::predefined(&request.path, request.dialect()) {
        Some(Predefined::Operation(serializer, operation)) => {
            request.predefined(serializer, operation)
        }
        Some(Predefined::Unknown) => Err(request.not_found()),
        None => request.routed(),
    }
}

/// A request that the host has admitted.
struct Request<'a> {
    received: &'a Received,
    host: &'a Host,
    method: String,
    path: String,
    query_text: &'a str,
    query: Parameters,
    content_type: String,
    form: Option<Parameters>,
}

impl<'a> Request<'a> {
    fn admit(received: &'a Received, host: &'a Host) -> Result<Self, Refusal> {
        const OVERRIDE: &str = "X-Http-Method-Override";
        let self_host = host.dialect.is_self_host();
        let (path, query_text) = host.admit(received)?;
        let query = if self_host {
            Parameters::parse_self_hosted_query(query_text.as_bytes())
        } else {
            Parameters::parse(query_text.as_bytes())
        };
        let content_type = received.joined("content-type").unwrap_or_default();
        let form = Parameters::of_form(&content_type, &received.body);
        let by_value = || query.get(OVERRIDE).or_else(|| form.as_ref()?.get(OVERRIDE));
        let other = received
            .joined(OVERRIDE)
            .or_else(|| by_value().map(str::to_owned));
        let method = other
            .filter(|_| self_host)
            .unwrap_or_else(|| received.method.clone());
        Ok(Self {
            received,
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
        self.host.dialect
    }

    fn not_found(&self) -> Refusal {
        Refusal::reply(if self.dialect().is_self_host() {
            Reply::text(404, "404")
        } else {
            aspnet::not_found(&self.method, &self.path, &self.received.target)
        })
    }

    /// Serves a path of the page.
    fn routed(&self) -> Result<Call, Refusal> {
        let dialect = self.dialect();
        if self.path.trim_matches('/').is_empty() {
            return Err(Refusal::reply(to_metadata(dialect)));
        }
        let (path, by_suffix) = format::cut_suffix(&self.path, dialect);
        let (template, values) =
            routing::find(path, &self.method, dialect).ok_or_else(|| self.not_found())?;
        let accepted = || {
            let accept = self.received.joined("accept").unwrap_or_default();
            Format::of_accept(&accept, &self.content_type, dialect)
        };
        let format = by_suffix
            .or_else(|| Format::of_query(&self.query))
            .unwrap_or_else(accepted);
        self.call(format, "PortaFollowMe", || {
            let bound = self.bind_route(template, &values)?;
            Ok((template.route, Some(&*template.values), bound))
        })
    }

    /// Serves a predefined path: the query on a GET, the form or the body otherwise.
    ///
    /// The object does not say which operation is meant. Here a POST writes all fields as
    /// `UpdateFollowmeAll` does, and anything else reads.
    fn predefined(&self, serializer: Serializer, operation: &str) -> Result<Call, Refusal> {
        let format = Format::of_query(&self.query).unwrap_or(Format::Serialized(serializer));
        if !operation.eq_ignore_ascii_case("PortaFollowMe") {
            let failure = Failure::NoOperation(operation.to_owned());
            return Err(Refusal::reply(self.host.failure(&failure, &format)));
        }
        self.call(format, operation, || {
            let by_query = matches!(self.method.as_str(), "GET" | "DELETE" | "OPTIONS");
            let bound = if by_query {
                self.bind_values(&self.query, self.query_text)?
            } else if let Some(form) = &self.form {
                self.bind_values(form, &parameters::lossy(&self.received.body))?
            } else {
                self.read_body(Some(serializer))?
            };
            let route = match (self.method.as_str(), bound.0.int(Property::Number)) {
                ("POST", _) => Route::UpdateAll,
                (_, 0) => Route::GetAll,
                _ => Route::GetOne,
            };
            Ok((route, None, bound))
        })
    }

    /// Makes the call of the service that `bind` gives, unless the framework refuses it.
    fn call(
        &self,
        format: Format,
        operation: &str,
        bind: impl FnOnce() -> Result<BoundRoute, Failure>,
    ) -> Result<Call, Refusal> {
        let bound = self.refuse_dangerous().and_then(|()| bind());
        match bound.and_then(|bound| self.has_method().map(|()| bound)) {
            Ok((route, path, (bound, more))) => Ok(Call {
                route,
                path,
                bound,
                more,
                format,
                operation: operation.to_owned(),
            }),
            Err(failure) => Err(Refusal::reply(self.host.failure(&failure, &format))),
        }
    }

    fn refuse_dangerous(&self) -> Result<(), Failure> {
        if self.dialect() != Dialect::AspNet {
            return Ok(());
        }
        let parts = [
            ("QueryString", Some(&self.query)),
            ("Form", self.form.as_ref()),
        ];
        for (collection, values) in parts {
            if let Some((name, value)) = values.and_then(aspnet::dangerous) {
                return Err(Failure::DangerousValue {
                    collection,
                    name: name.to_owned(),
                    value: value.to_owned(),
                });
            }
        }
        Ok(())
    }

    /// The service has a method for GET and one for POST. A verb that is part of theirs, such as
    /// `GE`, has matched a route all the same.
    fn has_method(&self) -> Result<(), Failure> {
        match &*self.dialect().verb(&self.method) {
            "GET" | "POST" => Ok(()),
            other => {
                let mut name = other.to_ascii_lowercase();
                if let Some(first) = name.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                Err(Failure::NoMethod(name))
            }
        }
    }

    /// Binds body, path, query and form, each over the one before (docs/upstream/wire.md 6).
    fn bind_route(&self, template: &Template, values: &[&str]) -> Result<Bound, Failure> {
        // Only v4 says what cannot be bound.
        let shown = |failure: Failure| match self.dialect() {
            Dialect::V4 => failure,
            Dialect::V3 | Dialect::AspNet => Failure::UnableToBind,
        };
        let serializer = Serializer::of_content_type(&self.content_type);
        let (mut bound, more) = self.read_body(serializer).map_err(shown)?;
        if template.misspelt {
            return Err(shown(Failure::Misspelt));
        }
        // A query or form value replaces the path's only if it spells the name exactly; with
        // another case it comes second, after the path value was bound (or failed to).
        let names = template.values.iter().map(|property| property.name());
        let mut pairs: Vec<(&str, &str)> = names.zip(values.iter().copied()).collect();
        // A form on a GET is ignored.
        let form = self
            .form
            .iter()
            .filter(|_| matches!(&*self.method, "POST" | "PUT"));
        for (name, value) in self.query.iter().chain(form.flat_map(Parameters::iter)) {
            match pairs.iter_mut().find(|(known, _)| *known == name) {
                Some(pair) => pair.1 = value,
                None => pairs.push((name, value)),
            }
        }
        self.populate(&mut bound, pairs)
            .map_err(|bad| shown(Failure::InvalidValues(bad)))?;
        Ok((bound, more))
    }

    /// Binds the values of a query or form alone; `text` is what they were read from.
    fn bind_values(&self, values: &Parameters, text: &str) -> Result<Bound, Failure> {
        let mut bound = Bound::default();
        self.populate(&mut bound.0, values.iter())
            .map_err(|bad| match self.dialect() {
                Dialect::V4 => Failure::InvalidValues(bad),
                Dialect::V3 | Dialect::AspNet => Failure::UnreadableValues(text.to_owned()),
            })?;
        Ok(bound)
    }

    /// Binds names and values in their order; returns those that cannot be bound. Empty values
    /// never bind, unknown names are ignored.
    fn populate<'v>(
        &self,
        bound: &mut RequestObject,
        pairs: impl IntoIterator<Item = (&'v str, &'v str)>,
    ) -> Result<(), Vec<(String, String)>> {
        let mut bad = Vec::new();
        for (name, value) in pairs.into_iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(property) = Property::named(name)
                && !bound.bind(property, value, self.dialect())
            {
                bad.push((name.to_owned(), value.to_owned()));
            }
        }
        if bad.is_empty() { Ok(()) } else { Err(bad) }
    }

    /// Reads the body with the given serializer, if there is one and the host knows the length.
    fn read_body(&self, serializer: Option<Serializer>) -> Result<Bound, Failure> {
        let (body, dialect) = (&self.received.body, self.dialect());
        // A self-host takes a chunked body for one of no length.
        let chunked = self.received.joined("transfer-encoding").is_some();
        let unseen = body.is_empty() || (chunked && dialect.is_self_host());
        let Some(serializer) = serializer.filter(|_| !unseen && self.form.is_none()) else {
            return Ok(Bound::default());
        };
        let mut records = serializer
            .read(body, dialect, self.host.reads_csv)
            .map_err(|error| Failure::UnreadableBody(serializer.content_type(), error))?
            .into_iter();
        Ok((records.next().unwrap_or_default(), records.collect()))
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
