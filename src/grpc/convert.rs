//! Converts between the messages of the contract and the types of the domain.

use std::collections::{HashMap, HashSet};

use super::pb;
use crate::{
    domain::{
        AccountId, CallerIdMode, Desired, Draft, Etag, Field, FieldSet, Fields, Number, NumberId,
        Settings, Step, Value, Violations, check, flag_letter,
    },
    operations::{ListRequest, NumberView, StepOutcome, StepReport},
};

/// The paths of FollowMeNumber that an update ignores: the output-only ones (AIP-203), the ids,
/// which name the number, and its etag, which is checked. Clients that send back what they read
/// name them all.
const IGNORED: [&str; 5] = [
    "account_id",
    "number_id",
    "follow_me_id",
    "etag",
    "unrecognized",
];

/// The longest text of a number in a ReplaceAll, and the longest etag.
const MAX_TEXT_BYTES: usize = 4096;

/// Checks the length of an etag that a request names.
pub(super) fn etag_length(path: &str, etag: &str, violations: &mut Violations) {
    if etag.len() > MAX_TEXT_BYTES {
        violations.push(path, format!("must have at most {MAX_TEXT_BYTES} bytes"));
    }
}

/// The most paths of a mask. There are 16 fields.
const MAX_PATHS: usize = 100;

/// Converts an account id.
pub(super) fn account(id: i32, path: &str, violations: &mut Violations) -> Option<AccountId> {
    let account = AccountId::new(id);
    if account.is_none() {
        violations.push(path, "must be the id of an account, greater than 0");
    }
    account
}

/// Converts the id of a number.
pub(super) fn number_id(id: i32, path: &str, violations: &mut Violations) -> Option<NumberId> {
    let number = NumberId::new(id);
    if number.is_none() {
        violations.push(path, "must be the id of a number, greater than 0");
    }
    number
}

/// Converts a number that a request sets. Output-only fields are ignored.
pub(super) fn draft(number: &pb::FollowMeNumber) -> Draft {
    let mut unrepresentable = Vec::new();
    let ring_timeout = number.ring_timeout.and_then(|timeout| {
        check::whole_seconds(timeout.seconds, timeout.nanos)
            .map_err(|rule| unrepresentable.push((Field::RingTimeout, rule)))
            .ok()
    });
    let caller_id_mode = match pb::CallerIdMode::try_from(number.caller_id_mode) {
        Ok(pb::CallerIdMode::Unspecified) => "",
        Ok(pb::CallerIdMode::CallerNumberAndName) => CallerIdMode::CallerNumberAndName.letter(),
        Ok(pb::CallerIdMode::CallerNumber) => CallerIdMode::CallerNumber.letter(),
        Ok(pb::CallerIdMode::Forwarder) => CallerIdMode::Forwarder.letter(),
        Err(_) => {
            let rule = "is a value that this version does not know".to_owned();
            unrepresentable.push((Field::CallerIdMode, rule));
            ""
        }
    };
    Draft {
        fields: Fields {
            name: number.name.clone(),
            redirect_number: number.redirect_number.clone(),
            domain: number.domain.clone(),
            order: number.order,
            ring_timeout,
            active: number.active.map_or("", flag_letter).to_owned(),
            keep_original_cld: number.keep_original_cld.map_or("", flag_letter).to_owned(),
            keep_original_cli: caller_id_mode.to_owned(),
            period: number.period.clone(),
            period_description: number.period_description.clone(),
            status: number.status,
        },
        unrepresentable,
    }
}

/// Converts the list that an account is to have.
pub(super) fn desired_list(
    request: &pb::ReplaceAllRequest,
    max: usize,
    violations: &mut Violations,
) -> Vec<Desired> {
    let count = request.numbers.len();
    if count > max {
        violations.push(
            "numbers",
            format!("holds {count} numbers; send at most {max}"),
        );
        return Vec::new();
    }
    if count == 0 && !request.allow_empty {
        violations.push(
            "numbers",
            "is empty, which deletes every number of the account: set allow_empty to do that",
        );
    }
    let mut ids = HashSet::new();
    request
        .numbers
        .iter()
        .enumerate()
        .map(|(index, number)| {
            let path = format!("numbers[{index}]");
            if number.number_id > 0 && !ids.insert(number.number_id) {
                violations.push(
                    format!("{path}.number_id"),
                    format!("is in the list twice: {}", number.number_id),
                );
            }
            desired(number, request.account_id, &path, violations)
        })
        .collect()
}

/// Returns the etag that a number of the list must have, if the request names one.
pub(super) fn number_etag(number: pb::FollowMeNumber) -> Option<(NumberId, String)> {
    let id = NumberId::new(number.number_id)?;
    (!number.etag.is_empty()).then_some((id, number.etag))
}

/// Converts a number of the list that an account is to have.
fn desired(
    number: &pb::FollowMeNumber,
    account: i32,
    path: &str,
    violations: &mut Violations,
) -> Desired {
    same_account(number, account, path, violations);
    // What upstream holds may break the rules of a field, and stay. Nothing is as long as this.
    for (field, text) in [
        ("name", &number.name),
        ("redirect_number", &number.redirect_number),
        ("domain", &number.domain),
        ("period", &number.period),
        ("period_description", &number.period_description),
        ("etag", &number.etag),
    ] {
        if text.len() > MAX_TEXT_BYTES {
            violations.push(
                format!("{path}.{field}"),
                format!(
                    "must have at most {MAX_TEXT_BYTES} bytes in UTF-8, has {}",
                    text.len()
                ),
            );
        }
    }
    if number.number_id < 0 {
        violations.push(
            format!("{path}.number_id"),
            "must be 0 for a new number, or the id of the number to replace",
        );
    }
    if number.number_id == 0 && !number.etag.is_empty() {
        violations.push(
            format!("{path}.etag"),
            "must be empty for a number without number_id: set number_id to the number that it is of",
        );
    }
    Desired {
        id: NumberId::new(number.number_id),
        draft: draft(number),
    }
}

/// Checks that a number names no other account than the request.
pub(super) fn same_account(
    number: &pb::FollowMeNumber,
    account: i32,
    path: &str,
    violations: &mut Violations,
) {
    if number.account_id != 0 && number.account_id != account {
        violations.push(
            format!("{path}.account_id"),
            "must be 0 or the account_id of the request",
        );
    }
}

/// Returns the fields that the mask of an update names, and checks that each is present.
pub(super) fn mask(
    mask: Option<&prost_types::FieldMask>,
    draft: &Draft,
    violations: &mut Violations,
) -> FieldSet {
    let paths = mask.map(|mask| mask.paths.as_slice()).unwrap_or_default();
    if paths.is_empty() {
        violations.push(
            "update_mask",
            "must name the fields to change, for example {\"paths\": [\"name\"]}",
        );
    }
    if paths.len() > MAX_PATHS {
        let count = paths.len();
        violations.push(
            "update_mask",
            format!("names {count} paths; send at most {MAX_PATHS}"),
        );
        return FieldSet::empty();
    }
    let mut named = FieldSet::empty();
    for path in paths {
        if path == "*" {
            named = named.union(draft.present());
        } else if let Some(field) = Field::from_name(path) {
            named.insert(field);
            if !draft.present().contains(field) {
                violations.push(
                    format!("number.{path}"),
                    "is named by update_mask but absent: set it, since upstream cannot unset a field",
                );
            }
        } else if !is_ignored(path) {
            violations.push("update_mask", unknown_path(path));
        }
    }
    named
}

/// Checks that a mask that names the etag of the number does not name another one than the request.
pub(super) fn one_etag(request: &pb::UpdateRequest, of_number: &str, violations: &mut Violations) {
    let paths = request.update_mask.iter().flat_map(|mask| &mask.paths);
    let differs = ![request.etag.as_str(), ""].contains(&of_number) && !request.etag.is_empty();
    if differs && paths.clone().any(|path| path == "etag") {
        violations.push(
            "number.etag",
            "differs from the etag of the request, and cannot be changed",
        );
    }
}

/// Returns whether a path of a mask is ignored: an entry of a map is a part of it.
fn is_ignored(path: &str) -> bool {
    let field = path.split_once('.').map_or(path, |(field, _)| field);
    IGNORED.contains(&path) || field == "unrecognized"
}

/// Returns what is wrong with a path, and the path that is meant, if it is one in another case.
fn unknown_path(path: &str) -> String {
    let shown: String = path.chars().take(40).collect();
    let fields = FieldSet::all();
    let known = fields.iter().map(Field::name);
    let letters = |text: &str| text.replace(['_', '-'], "").to_ascii_lowercase();
    let asked = letters(path.strip_prefix("number.").unwrap_or(path));
    let meant = known
        .clone()
        .chain(IGNORED)
        .find(|known| letters(known) == asked);
    match meant {
        Some(meant) => format!("names an unknown field, {shown:?}: write {meant:?}"),
        None => {
            let known: Vec<&str> = known.collect();
            format!(
                "names an unknown field, {shown:?}; known are {}",
                known.join(", ")
            )
        }
    }
}

/// Returns the message of a number that may be only planned.
pub(super) fn number(view: &NumberView) -> pb::FollowMeNumber {
    match view {
        NumberView::Stored(number) => stored(number.clone()),
        NumberView::Planned(account, fields) => pb::FollowMeNumber {
            account_id: account.value(),
            ..of_fields(fields.clone())
        },
    }
}

/// Returns the message of a number of the list.
pub(super) fn stored(number: Number) -> pb::FollowMeNumber {
    let etag = Etag::of_number(&number).into();
    let fields = number.fields;
    let mut unrecognized: HashMap<String, String> = number
        .unreadable
        .into_iter()
        .map(|(name, raw)| (name.to_owned(), raw))
        .collect();
    for field in FieldSet::all() {
        if !fields.is_recognized(field)
            && let Value::Text(raw) = fields.get(field)
        {
            unrecognized.insert(field.column().to_owned(), raw.to_owned());
        }
    }
    pb::FollowMeNumber {
        account_id: number.account_id.value(),
        number_id: number.id.value(),
        follow_me_id: number.follow_me_id,
        etag,
        unrecognized,
        ..of_fields(fields)
    }
}

fn of_fields(fields: Fields) -> pb::FollowMeNumber {
    let caller_id_mode = match fields.caller_id_mode() {
        None => pb::CallerIdMode::Unspecified,
        Some(CallerIdMode::CallerNumberAndName) => pb::CallerIdMode::CallerNumberAndName,
        Some(CallerIdMode::CallerNumber) => pb::CallerIdMode::CallerNumber,
        Some(CallerIdMode::Forwarder) => pb::CallerIdMode::Forwarder,
    };
    pb::FollowMeNumber {
        active: fields.is_active(),
        keep_original_cld: fields.keeps_original_cld(),
        name: fields.name,
        redirect_number: fields.redirect_number,
        domain: fields.domain,
        order: fields.order,
        ring_timeout: fields.ring_timeout.map(duration),
        caller_id_mode: caller_id_mode.into(),
        period: fields.period,
        period_description: fields.period_description,
        status: fields.status,
        ..pb::FollowMeNumber::default()
    }
}

fn duration(seconds: i32) -> prost_types::Duration {
    prost_types::Duration {
        seconds: seconds.into(),
        nanos: 0,
    }
}

/// Returns the message of the settings of a list.
pub(super) fn settings(settings: &Settings) -> pb::FollowMeSettings {
    let sequence = match settings.sequence.as_str() {
        "" => pb::Sequence::Unspecified,
        "Order" => pb::Sequence::Order,
        "Random" => pb::Sequence::Random,
        "Simultaneous" => pb::Sequence::Simultaneous,
        _ => pb::Sequence::Other,
    };
    pb::FollowMeSettings {
        follow_me_id: settings.follow_me_id,
        sequence: sequence.into(),
        sequence_text: settings.sequence.clone(),
        ring_timeout: settings.ring_timeout.map(duration),
        sip_status: settings.sip_status,
    }
}

/// Returns the names of fields.
pub(super) fn names(fields: FieldSet) -> Vec<String> {
    fields.iter().map(|field| field.name().to_owned()).collect()
}

/// Returns the message of a step and its outcome.
pub(super) fn step(report: &StepReport) -> pb::ReplaceStep {
    use pb::replace_step::{Action, Outcome};
    let index_of = |index: usize| i32::try_from(index).unwrap_or(i32::MAX);
    let (index, action) = match &report.step {
        Step::Keep { index, .. } => (index_of(*index), Action::Keep),
        Step::Update { index, .. } => (index_of(*index), Action::Update),
        Step::Add { index, .. } => (index_of(*index), Action::Add),
        Step::Delete { .. } => (-1, Action::Delete),
    };
    let outcome = match report.outcome {
        StepOutcome::Done => Outcome::Done,
        StepOutcome::Failed => Outcome::Failed,
        StepOutcome::Unknown => Outcome::Unknown,
        StepOutcome::NotStarted => Outcome::NotStarted,
    };
    pb::ReplaceStep {
        index,
        action: action.into(),
        number_id: report.id.map_or(0, NumberId::value),
        outcome: outcome.into(),
        reason: report.reason.to_owned(),
        unapplied_fields: names(report.unapplied),
    }
}

/// Converts the request of a page. A token is the position and the etag of the list that the page
/// before was cut from.
pub(super) fn page(request: &pb::ListRequest, violations: &mut Violations) -> ListRequest {
    let size = match usize::try_from(request.page_size) {
        Ok(0) => None,
        Ok(size) => Some(size),
        Err(_) => {
            violations.push(
                "page_size",
                "must be 0 for all numbers, or the size of a page",
            );
            None
        }
    };
    if request.page_token.is_empty() {
        return ListRequest {
            size,
            ..ListRequest::default()
        };
    }
    let token = request
        .page_token
        .split_once('-')
        .and_then(|(start, etag)| {
            let start = start.parse().ok()?;
            Etag::is_well_formed(etag).then(|| (start, etag.to_owned()))
        });
    if token.is_none() {
        violations.push(
            "page_token",
            "must be the next_page_token of an earlier response",
        );
    }
    let (start, etag) = token.unzip();
    ListRequest {
        size,
        start: start.unwrap_or(0),
        etag,
    }
}
