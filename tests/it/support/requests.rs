//! Requests and numbers that tests send, and parts of requests that the simulator received.

use std::collections::HashMap;

use followme::{
    grpc::pb,
    simulator::{Received, StoredNumber},
};
use tonic::Request;

use super::ODD_TEXT;

/// Returns the path of a request.
pub(crate) fn path(request: &Received) -> &str {
    request
        .target
        .split_once('?')
        .map_or(request.target.as_str(), |(path, _)| path)
}

/// Returns what the framework bound to a property.
pub(crate) fn bound<'a>(request: &'a Received, property: &str) -> Option<&'a str> {
    request.bound.as_ref()?.get(property)?.as_str()
}

pub(crate) fn seconds(seconds: i64) -> Option<prost_types::Duration> {
    Some(prost_types::Duration { seconds, nanos: 0 })
}

/// A new number with its name and destination.
pub(crate) fn new_number(name: &str, redirect_number: &str) -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        name: name.to_owned(),
        redirect_number: redirect_number.to_owned(),
        ..pb::FollowMeNumber::default()
    }
}

/// A new number that says something about every field.
pub(crate) fn full_number() -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        name: ODD_TEXT.to_owned(),
        redirect_number: "15550120".to_owned(),
        domain: "pbx.example.com".to_owned(),
        order: Some(7),
        ring_timeout: seconds(25),
        active: Some(false),
        keep_original_cld: Some(true),
        caller_id_mode: pb::CallerIdMode::CallerNumber.into(),
        period: "hr{9am-5pm} wd{mo-fr}, md{1 15}".to_owned(),
        period_description: ODD_TEXT.to_owned(),
        status: Some(true),
        ..pb::FollowMeNumber::default()
    }
}

/// Leaves what a caller can set, for comparing what was read with what was sent.
pub(crate) fn settable(number: &pb::FollowMeNumber) -> pb::FollowMeNumber {
    pb::FollowMeNumber {
        account_id: 0,
        number_id: 0,
        follow_me_id: None,
        etag: String::new(),
        unrecognized: HashMap::new(),
        ..number.clone()
    }
}

/// Asks to add a number to account 1001.
pub(crate) fn add(number: pb::FollowMeNumber) -> pb::AddRequest {
    add_to(1001, number)
}

pub(crate) fn add_to(account: i32, number: pb::FollowMeNumber) -> pb::AddRequest {
    pb::AddRequest {
        account_id: account,
        number: Some(number),
        ..pb::AddRequest::default()
    }
}

/// Asks to change the named fields of a number of account 1001.
pub(crate) fn update(id: i32, paths: &[&str], number: pb::FollowMeNumber) -> pb::UpdateRequest {
    pb::UpdateRequest {
        number: Some(pb::FollowMeNumber {
            account_id: 1001,
            number_id: id,
            ..number
        }),
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..pb::UpdateRequest::default()
    }
}

/// Asks to delete a number of account 1001.
pub(crate) fn delete(id: i32) -> pb::DeleteRequest {
    pb::DeleteRequest {
        account_id: 1001,
        number_id: id,
        ..pb::DeleteRequest::default()
    }
}

pub(crate) fn list(account: i32) -> pb::ListRequest {
    pb::ListRequest {
        account_id: account,
        ..pb::ListRequest::default()
    }
}

pub(crate) fn get(account: i32, id: i32) -> pb::GetRequest {
    pb::GetRequest {
        account_id: account,
        number_id: id,
    }
}

pub(crate) fn replace(account: i32, numbers: Vec<pb::FollowMeNumber>) -> pb::ReplaceAllRequest {
    pb::ReplaceAllRequest {
        account_id: account,
        numbers,
        ..pb::ReplaceAllRequest::default()
    }
}

/// Adds a metadata entry to a request.
pub(crate) fn with_metadata<T>(request: T, entries: &[(&'static str, &str)]) -> Request<T> {
    let mut request = Request::new(request);
    for (key, value) in entries {
        let value = value.parse().expect("the value is visible ASCII");
        request.metadata_mut().insert(*key, value);
    }
    request
}

/// A number as the simulator keeps one, with every field set.
pub(crate) fn stored_number(name: &str, redirect_number: &str, order: i32) -> StoredNumber {
    let text = |value: &str| Some(value.to_owned());
    StoredNumber {
        redirect_number: text(redirect_number),
        name: text(name),
        order: Some(order),
        domain: text("sip.example.com"),
        timeout: Some(20),
        keep_original_cld: text("N"),
        keep_original_cli: text("Y"),
        period: text("hr{9am-5pm}"),
        period_description: text("Office hours"),
        active: text("Y"),
        ..StoredNumber::default()
    }
}
