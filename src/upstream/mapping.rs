//! The reference table of the documentation: which request carries which value, and how.

use std::{collections::BTreeSet, fmt::Write as _};

use super::{
    Error, Route, Tenant, UnsafeValues,
    body::{self, BodyFormat},
    request::{PROPERTIES, Request},
    routes,
};
use crate::domain::{AccountId, Fields, License, NumberId};

/// Returns the routes and the properties of their requests as two Markdown tables.
///
/// The second table is read off requests that are built with sample values.
#[must_use]
pub fn mapping_reference() -> String {
    let mut text = String::from("| route | request | used for |\n|---|---|---|\n");
    for route in Route::ALL {
        let (method, template) = (route.method(), route.template());
        let _ = writeln!(
            text,
            "| {} | `{method} {template}` | {} |",
            name(route),
            purpose(route)
        );
    }
    text.push_str(
        "\n| property | taken from | by path | by query | by body |\n|---|---|---|---|---|\n",
    );
    let requests = samples();
    for property in &PROPERTIES {
        let routes = |carries: &dyn Fn(&Request) -> bool| {
            let carrying = requests.iter().filter(|request| carries(request));
            let carrying: BTreeSet<_> = carrying.map(|request| name(request.route)).collect();
            let all = carrying.into_iter().collect::<Vec<_>>().join(", ");
            if all.is_empty() { "-".to_owned() } else { all }
        };
        let in_path = |request: &Request| {
            let (_, mut names) = request.route.segments();
            names.any(|name| name == property.name)
        };
        let by_query = |request: &Request| {
            let marker = format!("&{}=", property.name);
            request.target.as_str().contains(&marker)
        };
        let by_body = |request: &Request| {
            let marker = format!("\"{}\":", property.name);
            let body = request.body.as_ref();
            body.is_some_and(|body| String::from_utf8_lossy(&body.bytes).contains(&marker))
        };
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            property.name,
            property.from,
            routes(&in_path),
            routes(&by_query),
            routes(&by_body),
        );
    }
    text
}

fn name(route: Route) -> &'static str {
    match route {
        Route::List => "list",
        Route::Get => "get",
        Route::Add7 => "add (7 values)",
        Route::Add9 => "add (9 values)",
        Route::Update8 => "update (8 values)",
        Route::Update9 => "update (9 values)",
        Route::UpdateAll => "update all",
        Route::Delete2 => "delete (2 values)",
        Route::Delete4 => "delete (4 values)",
    }
}

fn purpose(route: Route) -> &'static str {
    match route {
        Route::List => "List, and reading before and after each write",
        Route::Get => "Get",
        Route::Add7 => "Add, without `domain` or without `keep_original_cld`",
        Route::Add9 => "Add, with `domain` and `keep_original_cld`",
        Route::Update8 => "Update, without a domain",
        Route::Update9 => "Update, with a domain",
        Route::UpdateAll => "Update and ReplaceAll, and repair of fields that were not applied",
        Route::Delete2 => "Delete",
        Route::Delete4 => "Delete with `delete_forward`",
    }
}

/// Builds requests of every route in which every property that the route sends is present.
fn samples() -> Vec<Request> {
    let all = Fields {
        name: "n".to_owned(),
        redirect_number: "1".to_owned(),
        domain: "d".to_owned(),
        order: Some(1),
        ring_timeout: Some(1),
        active: "Y".to_owned(),
        keep_original_cld: "Y".to_owned(),
        keep_original_cli: "Y".to_owned(),
        period: "p".to_owned(),
        period_description: "p".to_owned(),
        status: Some(true),
    };
    let without_domain = Fields {
        domain: String::new(),
        ..all.clone()
    };
    let without_flag = Fields {
        keep_original_cld: String::new(),
        ..all.clone()
    };
    let build = || -> Option<Vec<Result<Request, Error>>> {
        let tenant = &Tenant {
            license: License::new("L").ok()?,
            license_is_callers: false,
            content_id: Some(1),
            feature_name: Some("f".to_owned()),
        };
        let (account, id) = (AccountId::new(1)?, NumberId::new(1)?);
        let by = UnsafeValues::Query;
        Some(vec![
            routes::list(tenant, by, account),
            routes::get_one(tenant, by, account, id),
            routes::add(tenant, by, account, &all),
            routes::add(tenant, by, account, &without_domain),
            routes::add(tenant, by, account, &without_flag),
            routes::update(tenant, by, account, id, &all),
            routes::update(tenant, by, account, id, &without_domain),
            routes::delete(tenant, by, account, id, false),
            routes::delete(tenant, by, account, id, true),
            body::update_all(tenant, account, &[(Some(id), &all)], BodyFormat::Json),
        ])
    };
    build().into_iter().flatten().flatten().collect()
}
