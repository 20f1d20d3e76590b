//! Builds the GET requests.

use super::{
    Error, Route, Tenant, UnsafeValues,
    request::{PROPERTIES, Request, Source, Value, personal_data},
    target::Builder,
};
use crate::domain::{AccountId, Fields, NumberId};

/// Builds a GET: the values of the template's properties by path, all others by query.
fn get(route: Route, unsafe_values: UnsafeValues, source: &Source<'_>) -> Result<Request, Error> {
    let (literal, in_path) = route.segments();
    let in_path: Vec<_> = in_path.collect();
    let value = |name| {
        let property = PROPERTIES.iter().find(|property| property.name == name);
        property.map_or(Value::Absent, |property| (property.value)(source))
    };
    let mut builder = Builder::new(route, literal, unsafe_values);
    for name in &in_path {
        builder = builder.segment(name, value(*name).in_target());
    }
    for property in PROPERTIES
        .iter()
        .filter(|property| !in_path.contains(&property.name))
    {
        builder = builder.query(property.name, (property.value)(source).in_target());
    }
    Ok(Request {
        route,
        target: builder.build()?,
        body: None,
        personal_data: source.fields.map(personal_data).unwrap_or_default(),
    })
}

pub(super) fn list(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
) -> Result<Request, Error> {
    let source = Source {
        account: Some(account),
        ..Source::new(tenant)
    };
    get(Route::List, unsafe_values, &source)
}

pub(super) fn get_one(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    id: NumberId,
) -> Result<Request, Error> {
    let source = Source {
        account: Some(account),
        number: Some(id.value()),
        ..Source::new(tenant)
    };
    get(Route::Get, unsafe_values, &source)
}

/// Builds an add: with 9 values if domain and flag are both set, else with 7, never with 8
/// (docs/upstream/wire.md 5).
pub(super) fn add(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    fields: &Fields,
) -> Result<Request, Error> {
    let nine = !fields.domain.is_empty() && !fields.keep_original_cld.is_empty();
    let source = Source {
        account: Some(account),
        fields: Some(fields),
        ..Source::new(tenant)
    };
    let route = if nine { Route::Add9 } else { Route::Add7 };
    get(route, unsafe_values, &source)
}

/// Builds an update: with 9 values if a domain is set, else with 8.
pub(super) fn update(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    id: NumberId,
    fields: &Fields,
) -> Result<Request, Error> {
    let source = Source {
        account: Some(account),
        number: Some(id.value()),
        fields: Some(fields),
        ..Source::new(tenant)
    };
    let route = if fields.domain.is_empty() {
        Route::Update8
    } else {
        Route::Update9
    };
    get(route, unsafe_values, &source)
}

/// Builds a delete: with 4 values and `true` if `delete_forward`, else with 2. The 4-value form is
/// never sent with `false` (docs/upstream/domain.md 4).
pub(super) fn delete(
    tenant: &Tenant,
    unsafe_values: UnsafeValues,
    account: AccountId,
    id: NumberId,
    delete_forward: bool,
) -> Result<Request, Error> {
    let source = Source {
        number: Some(id.value()),
        ..Source::new(tenant)
    };
    if delete_forward {
        let source = Source {
            account: Some(account),
            delete_forward: Some(true),
            ..source
        };
        return get(Route::Delete4, unsafe_values, &source);
    }
    get(Route::Delete2, unsafe_values, &source)
}
