//! The ten routes of the page, and how a decoded path finds one (docs/upstream/wire.md 5).

use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, IntoStaticStr};

use super::{format::Serializer, request_object::Property};
use crate::simulator::Dialect;

/// An operation of the service; several routes may lead to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
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

impl Route {
    /// Returns whether the operation changes nothing.
    pub(crate) fn is_read(self) -> bool {
        matches!(self, Self::GetOne | Self::GetAll)
    }
}

/// The routes as the page shows them.
const PAGE: &str = "
GET/addfollowme/{License}/{IAccount}/{TimeOut}/{Domain}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}/{KeepOriginalCld}
GET/addfollowme/{License}/{IAccount}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}/{KeepupdateAccountsOriginalCld}
GET/addfollowme/{License}/{IAccount}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}
GET/updatefollowme/{License}/{IAccount}/{IFollowMeNumber}/{TimeOut}/{Domain}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}
GET/updatefollowme/{License}/{IAccount}/{IFollowMeNumber}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}
POST/UpdateFollowmeAll
GET/deletefollowme/{License}/{IFollowMeNumber}
GET/deletefollowme/{License}/{IFollowMeNumber}/{IAccount}/{isDeleteForward}
GET/getafollowme/{License}/{IAccount}/{IFollowMeNumber}
GET/getfollowmes/{License}/{IAccount}";

/// One route of the page.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) route: Route,
    verb: &'static str,
    literal: &'static str,
    /// The placeholders in their order.
    pub(crate) values: Vec<Property>,
    /// Whether a last placeholder follows that names no property of the request object.
    pub(crate) misspelt: bool,
}

impl Template {
    fn parse(line: &'static str) -> Option<Self> {
        let mut segments = line.split('/');
        let (verb, literal) = (segments.next()?, segments.next()?);
        let route = match literal {
            "addfollowme" => Route::Add,
            "updatefollowme" => Route::Update,
            "UpdateFollowmeAll" => Route::UpdateAll,
            "deletefollowme" => Route::Delete,
            "getafollowme" => Route::GetOne,
            _ => Route::GetAll,
        };
        let names: Vec<&str> = segments.collect();
        let property = |name: &&str| Property::named(name.trim_matches(['{', '}']));
        let values: Vec<Property> = names.iter().filter_map(property).collect();
        Some(Self {
            route,
            verb,
            literal,
            misspelt: values.len() < names.len(),
            values,
        })
    }
}

static TEMPLATES: LazyLock<Vec<Template>> =
    LazyLock::new(|| PAGE.lines().filter_map(Template::parse).collect());

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
    let method = dialect.verb(method);
    let template = TEMPLATES.iter().find(|template| {
        template.literal.eq_ignore_ascii_case(literal)
            && template.values.len() + usize::from(template.misspelt) == values.len()
            && template.verb.contains(&*method)
    })?;
    Some((template, values))
}

/// What a path below a serializer's name asks for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Predefined<'a> {
    /// An operation, which need not exist.
    Operation(Serializer, &'a str),
    /// A path that the framework does not know.
    Unknown,
}

/// Recognises a predefined path such as `/csv/reply/PortaFollowMe`; None when the path does not
/// start like one.
pub(crate) fn predefined(path: &str, dialect: Dialect) -> Option<Predefined<'_>> {
    let path = path.trim_start_matches('/');
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    let serializer: Serializer = first.to_ascii_lowercase().parse().ok()?;
    let (kind, operation) = rest.split_once('/').unwrap_or((rest, ""));
    let known = match kind.to_ascii_lowercase().as_str() {
        "reply" | "oneway" => true,
        "syncreply" | "asynconeway" => dialect != Dialect::V4,
        _ => false,
    };
    Some(match (known, operation.trim_end_matches('/')) {
        (false, _) => Predefined::Unknown,
        // If the operation is missing, the framework takes the rest of the path for its name.
        (true, "") => Predefined::Operation(serializer, rest),
        (true, operation) => Predefined::Operation(serializer, operation),
    })
}
