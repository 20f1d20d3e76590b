//! The checks before a write is sent: etags, destinations, values.

use super::{Error, Etags};
use crate::{
    domain::{
        AccountId, DestinationPolicy, Etag, Field, FieldSet, Fields, List, Number, NumberId,
        Violations,
    },
    upstream::{DIRECTION_MARKS, Kind},
};

/// Checks that a number or a list still has the etag of the request.
pub(super) fn check_etag(
    wanted: Option<&str>,
    now: Etag,
    number: Option<&Number>,
) -> Result<(), Error> {
    match wanted {
        Some(wanted) if wanted != now.as_str() => Err(Error::EtagMismatch {
            etag: Some(now),
            number: number.map(|number| number.id),
        }),
        _ => Ok(()),
    }
}

/// Checks the etags of a list and of its numbers.
pub(super) fn check_etags(etags: &Etags, list: &List) -> Result<(), Error> {
    check_etag(etags.list.as_deref(), Etag::of_list(list), None)?;
    for (id, etag) in &etags.numbers {
        match list.find(*id) {
            Some(number) => check_etag(Some(etag), Etag::of_number(number), Some(number))?,
            None if list.unidentified > 0 => return Err(Error::UnidentifiedNumbers),
            None => {
                return Err(Error::EtagMismatch {
                    etag: None,
                    number: Some(*id),
                });
            }
        }
    }
    Ok(())
}

/// Checks that the caller may forward calls to the destination of a number, which is new at the
/// path. A domain that upstream holds already is not checked.
pub(super) fn check_destination(
    destinations: &DestinationPolicy,
    path: &str,
    target: &Fields,
    held: Option<&Fields>,
) -> Result<(), Error> {
    let is_held = held.is_some_and(|held| !target.differences(held).contains(Field::Domain));
    let domain = if is_held { "" } else { &target.domain };
    match destinations.denies(&target.redirect_number, domain) {
        None => Ok(()),
        Some(field) => Err(Error::DestinationDenied {
            field: format!("{path}.{}", field.name()),
        }),
    }
}

/// Makes an error of a number that is not in the list.
pub(super) fn missing(list: &List, account: AccountId, number: NumberId) -> Error {
    if list.unidentified > 0 {
        Error::UnidentifiedNumbers
    } else {
        Error::NumberNotFound { account, number }
    }
}

/// Checks that what is not changed can be sent back: a position or ring time that is no 32-bit
/// integer fits no request.
pub(super) fn sendable(number: &Number, named: FieldSet) -> Result<(), Error> {
    let unreadable = [
        ("i_follow_order", Field::Order),
        ("timeout", Field::RingTimeout),
    ]
    .into_iter()
    .find(|(name, field)| number.unreadable.contains_key(name) && !named.contains(*field));
    match unreadable {
        Some((_, field)) => Err(Error::Unreadable { field }),
        None => Ok(()),
    }
}

/// Names the fields that a request could not carry, where that is why nothing ran.
pub(super) fn violations(kind: Kind, target: &Fields, path: &str) -> Option<Violations> {
    let texts = [
        ("name", &target.name),
        ("redirect_number", &target.redirect_number),
        ("domain", &target.domain),
        ("period", &target.period),
        ("period_description", &target.period_description),
    ];
    let mut violations = Violations::default();
    let mut blame = |wanted: &dyn Fn(&str) -> bool, description: &str| {
        for (field, text) in texts {
            if wanted(text) {
                violations.push(format!("{path}.{field}"), description);
            }
        }
    };
    match kind {
        Kind::LooksLikeHtml => blame(
            &looks_like_html,
            "looks like HTML, which upstream refuses in an add: leave out `&#`, and `<` before a \
             letter or one of `!/?`",
        ),
        Kind::DoesNotFit => blame(
            &|text| text.len() > 64,
            "is too long together with the other fields: upstream takes at most 2,000 bytes, \
             percent-encoded, in all; shorten it",
        ),
        Kind::NotCarried("FeatureName") => return None,
        Kind::NotCarried(_) => blame(
            &|text| text.contains(DIRECTION_MARKS),
            "holds a direction mark (U+200E, U+200F, U+202A to U+202E), which upstream would drop: \
             leave it out",
        ),
        Kind::UnsafeValue(property) => {
            let field = match property {
                "Name" => "name",
                "Domain" => "domain",
                "RedirectNumber" => "redirect_number",
                _ => return None,
            };
            violations.push(
                format!("{path}.{field}"),
                "holds characters that an upstream path cannot carry, and the configuration \
                 (upstream.unsafe_values) refuses those",
            );
        }
        _ => return None,
    }
    (!violations.is_empty()).then_some(violations)
}

/// Returns whether ASP.NET's request validation takes a text for HTML (docs/upstream/wire.md 5).
fn looks_like_html(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).any(|pair| match pair {
        [b'<', next] => next.is_ascii_alphabetic() || b"!/?".contains(next),
        [b'&', b'#'] => true,
        _ => false,
    })
}
