//! Checks of the fields that a caller writes (docs/upstream/domain.md 2, 3).
//!
//! They are for writes only: a value that is read from the upstream may be anything, and is never
//! refused. An error is a text that follows the name of the field: the rule that is broken, and
//! what to change. It never repeats the value, which is personal.

use std::net::{IpAddr, Ipv6Addr};

use super::period::check_period;

/// What the checks and the defaults depend on.
#[derive(Debug, Clone, Copy)]
pub struct Rules {
    /// Whether the leading `+` of a redirect number is stripped, since PortaBilling stores none.
    pub strip_plus: bool,
    /// The ring timeout in seconds of a new number that sets none.
    pub default_ring_timeout: i32,
}

/// The maximum length of a name, in characters.
pub const MAX_NAME_CHARS: usize = 128;
/// The maximum length of a redirect number, in characters.
pub const MAX_REDIRECT_NUMBER_CHARS: usize = 64;
/// The maximum length of a period, and of its description, in bytes.
pub const MAX_PERIOD_BYTES: usize = 512;
/// The maximum ring timeout, in seconds.
pub const MAX_RING_TIMEOUT_SECONDS: i32 = 3600;
/// The maximum position in a list.
pub const MAX_ORDER: i32 = 32_767;

/// Checks the name of a number: 1 to [`MAX_NAME_CHARS`] characters, none a control character.
///
/// An empty name is not sent: the longest update route would take the domain for the name
/// (docs/upstream/wire.md 5).
///
/// # Errors
/// The first rule that is broken.
pub fn name(text: &str) -> Result<(), String> {
    characters(text, MAX_NAME_CHARS)?;
    no_control_characters(text)
}

/// Checks a redirect number: 1 to [`MAX_REDIRECT_NUMBER_CHARS`] letters, digits and `*#!._-`.
///
/// It may start with a plus sign, which does not count if `strip_plus` is set: then it is stripped,
/// since the billing system stores E.164 without it (docs/upstream/domain.md 2).
///
/// # Errors
/// The first rule that is broken. For a SIP or `tel` URI, or a text with an `@`, it refers to the
/// domain.
pub fn redirect_number(text: &str, strip_plus: bool) -> Result<(), String> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let is_uri = digits.split_once(':').is_some_and(|(scheme, _)| {
        ["sip", "sips", "tel"]
            .iter()
            .any(|known| scheme.trim().eq_ignore_ascii_case(known))
    });
    if is_uri || text.contains('@') {
        return Err("must be a number without scheme and host: put the host in domain".to_owned());
    }
    if digits.is_empty() {
        return Err("must not be empty".to_owned());
    }
    let stored = if strip_plus { digits } else { text };
    characters(stored, MAX_REDIRECT_NUMBER_CHARS)?;
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || "*#!._-".contains(character);
    match digits.chars().position(|character| !allowed(character)) {
        Some(index) => {
            let position = index + 1 + text.len() - digits.len();
            Err(format!(
                "must hold letters, digits and * # ! . _ - only: remove character {position}"
            ))
        }
        None => Ok(()),
    }
}

/// Checks the SIP host of a redirect number: a host name (RFC 1123), an IPv4 address, or an IPv6
/// address with or without brackets. Empty means none.
///
/// # Errors
/// The first rule that is broken.
pub fn domain(text: &str) -> Result<(), String> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    host(text).map_err(|what| format!("must be a host name or an IP address: {what}"))
}

/// Checks a host that is not a bare address; the error tells what to change.
fn host(text: &str) -> Result<(), &'static str> {
    const PORT: &str = "remove the colon and the port";
    if let Some(inner) = text.strip_prefix('[') {
        return match inner.split_once(']') {
            Some((address, rest)) if address.parse::<Ipv6Addr>().is_ok() => match rest {
                "" => Ok(()),
                rest if rest.starts_with(':') => Err(PORT),
                _ => Err("remove what follows the bracket"),
            },
            _ => Err("put a whole IPv6 address in the brackets"),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => return Err(PORT),
        Some(_) => return Err("remove the scheme, or correct the address"),
        None => {}
    }
    if text.len() > 253 {
        return Err("a host name has at most 253 characters");
    }
    if text.ends_with('.') {
        return Err("remove the dot at the end");
    }
    text.split('.').try_for_each(label)?;
    // RFC 1123 2.1: a name that looks like an address is read as one.
    let last = text.rsplit('.').next().unwrap_or(text);
    let hexadecimal = last.strip_prefix("0x").or(last.strip_prefix("0X"));
    let is_hexadecimal =
        hexadecimal.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if is_hexadecimal || last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a name that ends in a number is read as an IPv4 address: correct it");
    }
    Ok(())
}

/// Checks one part of a host name.
fn label(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Err("remove the empty part between dots");
    }
    if text.len() > 63 {
        return Err("a part between dots has at most 63 characters");
    }
    if text.starts_with('-') || text.ends_with('-') {
        return Err("a part between dots starts and ends with a letter or a digit");
    }
    if !text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err("use ASCII letters, digits, hyphens and dots only");
    }
    Ok(())
}

/// Returns the whole seconds of a ring timeout.
///
/// # Errors
/// The rule that is broken, where no number can hold the duration.
pub fn whole_seconds(seconds: i64, nanos: i32) -> Result<i32, String> {
    if nanos != 0 {
        return Err("must be whole seconds".to_owned());
    }
    i32::try_from(seconds).map_err(|_| ring_timeout_range())
}

/// Checks a ring timeout: 1 to [`MAX_RING_TIMEOUT_SECONDS`].
///
/// # Errors
/// The rule that is broken.
pub fn ring_timeout(seconds: i32) -> Result<(), String> {
    if !(1..=MAX_RING_TIMEOUT_SECONDS).contains(&seconds) {
        return Err(ring_timeout_range());
    }
    Ok(())
}

fn ring_timeout_range() -> String {
    format!("must be from 1 to {MAX_RING_TIMEOUT_SECONDS} seconds")
}

/// Checks a position in the list: 1 to [`MAX_ORDER`].
///
/// # Errors
/// The rule that is broken.
pub fn order(position: i32) -> Result<(), String> {
    if !(1..=MAX_ORDER).contains(&position) {
        return Err(format!("must be from 1 to {MAX_ORDER}"));
    }
    Ok(())
}

/// Checks a period: its grammar (see [`check_period`]), and at most [`MAX_PERIOD_BYTES`] bytes.
/// Empty means always.
///
/// # Errors
/// The first rule that is broken.
pub fn period(text: &str) -> Result<(), String> {
    bytes(text, MAX_PERIOD_BYTES)?;
    check_period(text).map_err(|error| format!("is no period: {error}"))
}

/// Checks the description of a period: at most [`MAX_PERIOD_BYTES`] bytes without control
/// characters. It may be empty.
///
/// # Errors
/// The first rule that is broken.
pub fn period_description(text: &str) -> Result<(), String> {
    bytes(text, MAX_PERIOD_BYTES)?;
    no_control_characters(text)
}

fn characters(text: &str, max: usize) -> Result<(), String> {
    match text.chars().count() {
        0 => Err("must not be empty".to_owned()),
        found if found > max => Err(format!("must have at most {max} characters, has {found}")),
        _ => Ok(()),
    }
}

fn bytes(text: &str, max: usize) -> Result<(), String> {
    match text.len() {
        found if found > max => Err(format!(
            "must have at most {max} bytes in UTF-8, has {found}"
        )),
        _ => Ok(()),
    }
}

fn no_control_characters(text: &str) -> Result<(), String> {
    match text.chars().position(char::is_control) {
        Some(index) => Err(format!(
            "must hold no control characters: remove character {}",
            index + 1
        )),
        None => Ok(()),
    }
}
