//! The ten routes of the page, and how a decoded path finds one (docs/upstream/wire.md 5).

use serde::{Deserialize, Serialize};

use super::bound::Property;
use super::options::Dialect;

/// Names an operation of the service; several routes may lead to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Route {
    /// `addfollowme` with 7 or 9 values.
    Add,
    /// `updatefollowme` with 8 or 9 values.
    Update,
    /// `POST UpdateFollowmeAll`, and a POST to the predefined path.
    UpdateAll,
    /// `deletefollowme` with 2 or 4 values.
    Delete,
    /// `getafollowme`.
    GetOne,
    /// `getfollowmes`.
    GetAll,
}

/// Holds one route of the page.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) route: Route,
    verb: &'static str,
    literal: &'static str,
    /// The placeholders in their order.
    pub(crate) values: &'static [Property],
    /// Whether a last placeholder follows that names no property of the request object.
    pub(crate) misspelt: bool,
}

use Property as P;

const fn get(route: Route, literal: &'static str, values: &'static [Property]) -> Template {
    Template {
        route,
        verb: "GET",
        literal,
        values,
        misspelt: false,
    }
}

static TEMPLATES: [Template; 10] = [
    get(
        Route::Add,
        "addfollowme",
        &[
            P::License,
            P::Account,
            P::TimeOut,
            P::Domain,
            P::Name,
            P::Order,
            P::RedirectNumber,
            P::Active,
            P::KeepOriginalCld,
        ],
    ),
    Template {
        route: Route::Add,
        verb: "GET",
        literal: "addfollowme",
        values: &[
            P::License,
            P::Account,
            P::TimeOut,
            P::Name,
            P::Order,
            P::RedirectNumber,
            P::Active,
        ],
        misspelt: true,
    },
    get(
        Route::Add,
        "addfollowme",
        &[
            P::License,
            P::Account,
            P::TimeOut,
            P::Name,
            P::Order,
            P::RedirectNumber,
            P::Active,
        ],
    ),
    get(
        Route::Update,
        "updatefollowme",
        &[
            P::License,
            P::Account,
            P::Number,
            P::TimeOut,
            P::Domain,
            P::Name,
            P::Order,
            P::RedirectNumber,
            P::Active,
        ],
    ),
    get(
        Route::Update,
        "updatefollowme",
        &[
            P::License,
            P::Account,
            P::Number,
            P::TimeOut,
            P::Name,
            P::Order,
            P::RedirectNumber,
            P::Active,
        ],
    ),
    Template {
        route: Route::UpdateAll,
        verb: "POST",
        literal: "UpdateFollowmeAll",
        values: &[],
        misspelt: false,
    },
    get(Route::Delete, "deletefollowme", &[P::License, P::Number]),
    get(
        Route::Delete,
        "deletefollowme",
        &[P::License, P::Number, P::Account, P::DeleteForward],
    ),
    get(
        Route::GetOne,
        "getafollowme",
        &[P::License, P::Account, P::Number],
    ),
    get(Route::GetAll, "getfollowmes", &[P::License, P::Account]),
];

/// Finds the route of a decoded path and returns it with the values in the path.
///
/// Empty segments are dropped, literals match without case. The framework asks whether the list of
/// allowed verbs *contains* the method as text, so `GE` matches a GET route; v4 ignores its case.
pub(crate) fn find<'a>(
    path: &'a str,
    method: &str,
    dialect: Dialect,
) -> Option<(&'static Template, Vec<&'a str>)> {
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    let literal = segments.next()?;
    let values: Vec<&str> = segments.collect();
    let method = match dialect {
        Dialect::V4 => method.to_ascii_uppercase(),
        Dialect::V3 | Dialect::AspNet => method.to_owned(),
    };
    TEMPLATES
        .iter()
        .find(|template| {
            template.literal.eq_ignore_ascii_case(literal)
                && template.values.len() + usize::from(template.misspelt) == values.len()
                && template.verb.contains(&method)
        })
        .map(|template| (template, values))
}

/// Names the serializer of a predefined path such as `/csv/reply/PortaFollowMe`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Csv,
    Json,
    Jsv,
    Xml,
}

/// What a path below a serializer's name asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Predefined<'a> {
    /// An operation, which need not exist.
    Operation(Endpoint, &'a str),
    /// A path that the framework does not know.
    Unknown,
}

/// Recognises a predefined path; None when the path does not start like one.
pub(crate) fn predefined(path: &str, dialect: Dialect) -> Option<Predefined<'_>> {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let endpoint = match first.to_ascii_lowercase().as_str() {
        "csv" => Endpoint::Csv,
        "json" => Endpoint::Json,
        "jsv" => Endpoint::Jsv,
        "xml" => Endpoint::Xml,
        _ => return None,
    };
    let (kind, operation) = rest.split_once('/').unwrap_or((rest, ""));
    let known = match kind.to_ascii_lowercase().as_str() {
        "reply" | "oneway" => true,
        "syncreply" | "asynconeway" => dialect != Dialect::V4,
        _ => false,
    };
    Some(match (known, operation.trim_end_matches('/')) {
        (false, _) => Predefined::Unknown,
        // Without an operation the framework takes what stands there for its name.
        (true, "") => Predefined::Operation(endpoint, rest),
        (true, operation) => Predefined::Operation(endpoint, operation),
    })
}
