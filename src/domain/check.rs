//! Checks of the fields that a caller writes (DOMAIN.md 2, 3).
//!
//! For writes only: what is read from the upstream may be anything, and is never refused.
//! A message says which rule is broken and what to do; it never repeats the value, which is
//! somebody's number or name.

use std::net::{IpAddr, Ipv6Addr};

use super::period::{PeriodError, check_period};

/// The most characters of a name.
pub const MAX_NAME_CHARS: usize = 128;
/// The most characters of a redirect number.
pub const MAX_REDIRECT_NUMBER_CHARS: usize = 64;
/// The most bytes of a period, and of its description.
pub const MAX_PERIOD_BYTES: usize = 512;
/// The longest ring timeout, in seconds.
pub const MAX_RING_TIMEOUT_SECONDS: i32 = 3600;
/// The last place in a list.
pub const MAX_ORDER: i32 = 32_767;

/// Why a value is refused; the text says what to do. The caller of a check knows the field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// Nothing was given.
    #[error("must not be empty")]
    Empty,
    /// More characters than the field may have.
    #[error("must have at most {max} characters, has {found}")]
    TooManyCharacters {
        /// The most it may have.
        max: usize,
        /// How many it has.
        found: usize,
    },
    /// More bytes than the field may have.
    #[error("must have at most {max} bytes in UTF-8, has {found}")]
    TooManyBytes {
        /// The most it may have.
        max: usize,
        /// How many it has.
        found: usize,
    },
    /// A control character, such as a newline or a tab.
    #[error("must hold no control characters: remove character {0}")]
    ControlCharacter(
        /// Its place, the first character being 1.
        usize,
    ),
    /// A redirect number that is an address of SIP or mail form.
    #[error("must be a number without scheme and host: put the host in domain")]
    NumberWithHost,
    /// A plus sign elsewhere than at the start, or a blank, a bracket or the like.
    #[error("must hold letters, digits and * # ! . _ - only: remove character {0}")]
    NumberCharacter(
        /// Its place, the first character being 1.
        usize,
    ),
    /// A domain with a port.
    #[error("must be a host without port: remove the colon and the port")]
    DomainWithPort,
    /// A domain that is neither a host name (RFC 1123) nor an address.
    #[error("must be a host name or an IP address: {0}")]
    Domain(
        /// What to do.
        &'static str,
    ),
    /// A number outside its limits.
    #[error("must be from {min} to {max}")]
    OutOfRange {
        /// The least value.
        min: i32,
        /// The greatest value.
        max: i32,
    },
    /// A malformed period.
    #[error(transparent)]
    Period(#[from] PeriodError),
}

/// Checks the name of a number: 1 to [`MAX_NAME_CHARS`] characters, none a control character.
///
/// An empty name is worse than none: it makes the longest update route take the domain for the
/// name (WIRE.md 5).
///
/// # Errors
/// The first rule that is broken.
pub fn name(text: &str) -> Result<&str, FieldError> {
    characters(text, MAX_NAME_CHARS)?;
    no_control_characters(text)?;
    Ok(text)
}

/// Checks a redirect number and returns it as it is to be stored: letters, digits and `*#!._-`,
/// 1 to [`MAX_REDIRECT_NUMBER_CHARS`] characters.
///
/// A plus sign at the start is taken off if `strip_plus` says so, since the billing system
/// stores E.164 without it (DOMAIN.md 2), and kept otherwise.
///
/// # Errors
/// The first rule that is broken; [`FieldError::NumberWithHost`] for SIP and `tel` URIs and
/// everything with an `@`.
pub fn redirect_number(text: &str, strip_plus: bool) -> Result<&str, FieldError> {
    let digits = text.strip_prefix('+').unwrap_or(text);
    let number = if strip_plus { digits } else { text };
    let scheme = digits.split_once(':').map(|(scheme, _)| scheme);
    let known = |scheme: &str| {
        ["sip", "sips", "tel"]
            .iter()
            .any(|known| scheme.trim().eq_ignore_ascii_case(known))
    };
    if text.contains('@') || scheme.is_some_and(known) {
        return Err(FieldError::NumberWithHost);
    }
    if digits.is_empty() {
        return Err(FieldError::Empty);
    }
    characters(number, MAX_REDIRECT_NUMBER_CHARS)?;
    let allowed =
        |character: char| character.is_ascii_alphanumeric() || "*#!._-".contains(character);
    if let Some(index) = digits.chars().position(|character| !allowed(character)) {
        let plus = usize::from(digits.len() < text.len());
        return Err(FieldError::NumberCharacter(index + plus + 1));
    }
    Ok(number)
}

/// Checks the SIP host of a redirect number: a host name (RFC 1123), an IPv4 address, or an IPv6
/// address with or without brackets. Empty means none.
///
/// # Errors
/// The first rule that is broken.
pub fn domain(text: &str) -> Result<&str, FieldError> {
    if text.is_empty() || text.parse::<IpAddr>().is_ok() {
        return Ok(text);
    }
    if let Some(inner) = text.strip_prefix('[') {
        return match inner.split_once(']') {
            Some((address, rest)) if address.parse::<Ipv6Addr>().is_ok() => match rest {
                "" => Ok(text),
                rest if rest.starts_with(':') => Err(FieldError::DomainWithPort),
                _ => Err(FieldError::Domain("remove what follows the bracket")),
            },
            _ => Err(FieldError::Domain("brackets hold an IPv6 address only")),
        };
    }
    match text.split_once(':') {
        Some((_, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            return Err(FieldError::DomainWithPort);
        }
        Some(_) => return Err(FieldError::Domain("remove the scheme, or mend the address")),
        None => {}
    }
    host_name(text).map_err(FieldError::Domain)?;
    Ok(text)
}

fn host_name(text: &str) -> Result<(), &'static str> {
    if text.len() > 253 {
        return Err("a host name has at most 253 characters");
    }
    if text.ends_with('.') {
        return Err("remove the dot at the end");
    }
    for label in text.split('.') {
        if label.is_empty() {
            return Err("remove the empty part between dots");
        }
        if label.len() > 63 {
            return Err("a part between dots has at most 63 characters");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return Err("a part between dots starts and ends with a letter or a digit");
        }
        if !label
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        {
            return Err("use ASCII letters, digits, hyphens and dots only");
        }
    }
    // RFC 1123 2.1: what looks like an address is one, or is nothing.
    let last = text.rsplit('.').next().unwrap_or(text);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a name that ends in a number is read as an IPv4 address: mend it");
    }
    Ok(())
}

/// Checks a ring timeout: whole seconds, 1 to [`MAX_RING_TIMEOUT_SECONDS`].
///
/// # Errors
/// [`FieldError::OutOfRange`].
pub fn ring_timeout(seconds: i64) -> Result<i32, FieldError> {
    in_range(seconds, 1, MAX_RING_TIMEOUT_SECONDS)
}

/// Checks a place in the list: 1 to [`MAX_ORDER`].
///
/// # Errors
/// [`FieldError::OutOfRange`].
pub fn order(place: i64) -> Result<i32, FieldError> {
    in_range(place, 1, MAX_ORDER)
}

/// Checks a period: its grammar (see [`check_period`]), and at most [`MAX_PERIOD_BYTES`] bytes.
/// Empty means always.
///
/// # Errors
/// The first rule that is broken.
pub fn period(text: &str) -> Result<&str, FieldError> {
    bytes(text, MAX_PERIOD_BYTES)?;
    check_period(text)?;
    Ok(text)
}

/// Checks the description of a period: at most [`MAX_PERIOD_BYTES`] bytes without control
/// characters. It may be empty.
///
/// # Errors
/// The first rule that is broken.
pub fn period_description(text: &str) -> Result<&str, FieldError> {
    bytes(text, MAX_PERIOD_BYTES)?;
    no_control_characters(text)?;
    Ok(text)
}

fn characters(text: &str, max: usize) -> Result<(), FieldError> {
    match text.chars().count() {
        0 => Err(FieldError::Empty),
        found if found > max => Err(FieldError::TooManyCharacters { max, found }),
        _ => Ok(()),
    }
}

fn bytes(text: &str, max: usize) -> Result<(), FieldError> {
    match text.len() {
        found if found > max => Err(FieldError::TooManyBytes { max, found }),
        _ => Ok(()),
    }
}

fn no_control_characters(text: &str) -> Result<(), FieldError> {
    match text.chars().position(char::is_control) {
        Some(index) => Err(FieldError::ControlCharacter(index + 1)),
        None => Ok(()),
    }
}

fn in_range(value: i64, min: i32, max: i32) -> Result<i32, FieldError> {
    i32::try_from(value)
        .ok()
        .filter(|value| (min..=max).contains(value))
        .ok_or(FieldError::OutOfRange { min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_names_of_1_to_128_characters() {
        for text in ["H", "Büro, \"alt\" 世界", " ", &"é".repeat(128)] {
            assert_eq!(name(text), Ok(text));
        }
        assert_eq!(name(""), Err(FieldError::Empty));
        assert_eq!(
            name(&"é".repeat(129)),
            Err(FieldError::TooManyCharacters {
                max: 128,
                found: 129
            })
        );
    }

    #[test]
    fn refuses_control_characters_in_names_and_descriptions() {
        for (text, place) in [
            ("a\nb", 2),
            ("\tb", 1),
            ("é\u{7f}", 2),
            ("ab\u{85}", 3),
            ("\0", 1),
        ] {
            let refused = Err(FieldError::ControlCharacter(place));
            assert_eq!(name(text), refused, "{text:?}");
            assert_eq!(period_description(text), refused, "{text:?}");
        }
    }

    #[test]
    fn takes_every_kind_of_redirect_number() {
        let longest = "1".repeat(64);
        for text in [
            "15550100",
            "*98",
            "#31#15550101",
            "15550102!",
            "ext.a_b-c",
            "101",
            &longest,
        ] {
            assert_eq!(redirect_number(text, true), Ok(text));
            assert_eq!(redirect_number(text, false), Ok(text));
        }
    }

    #[test]
    fn strips_or_keeps_a_plus_sign_at_the_start() {
        assert_eq!(redirect_number("+15550100", true), Ok("15550100"));
        assert_eq!(redirect_number("+15550100", false), Ok("+15550100"));
        let longest = format!("+{}", "1".repeat(64));
        assert_eq!(redirect_number(&longest, true), Ok(&longest[1..]));
        assert_eq!(
            redirect_number(&longest, false),
            Err(FieldError::TooManyCharacters { max: 64, found: 65 })
        );
        for strip in [true, false] {
            assert_eq!(redirect_number("+", strip), Err(FieldError::Empty));
            assert_eq!(redirect_number("", strip), Err(FieldError::Empty));
            for (text, place) in [("++1", 2), ("1+1", 2), ("+1 5", 3), ("1(2)", 2), ("1é", 2)] {
                let refused = Err(FieldError::NumberCharacter(place));
                assert_eq!(redirect_number(text, strip), refused, "{text}");
            }
        }
    }

    #[test]
    fn points_to_the_domain_when_a_redirect_number_names_a_host() {
        for text in [
            "sip:15550100",
            "SIPS:15550100@sip.example.com",
            "tel:+15550100",
            "15550100@sip.example.com",
            "+15550100@sip.example.com",
            "@",
        ] {
            let refused = redirect_number(text, true);
            assert_eq!(refused, Err(FieldError::NumberWithHost), "{text}");
        }
        assert_eq!(
            redirect_number("1:2", true),
            Err(FieldError::NumberCharacter(2))
        );
    }

    #[test]
    fn takes_host_names_addresses_and_no_domain() {
        let label = "a".repeat(63);
        let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
        assert_eq!(longest.len(), 253);
        for text in [
            "",
            "sip.example.com",
            "localhost",
            "PBX-1",
            "1.example",
            "3com.example.1a",
            "xn--bcher-kva.example",
            &longest,
            "192.0.2.1",
            "2001:db8::1",
            "[2001:db8::1]",
            "::ffff:192.0.2.1",
        ] {
            assert_eq!(domain(text), Ok(text));
        }
    }

    #[test]
    fn refuses_what_is_no_host() {
        let label = "a".repeat(63);
        let too_long = format!("{label}.{label}.{label}.{}", "a".repeat(62));
        for text in [
            "sip.example.com.",
            ".",
            ".example.com",
            "sip..example.com",
            "sip_1.example.com",
            "-sip.example.com",
            "sip-.example.com",
            "sip example.com",
            "bücher.example",
            "sip.example.com/x",
            "user@sip.example.com",
            "sip:sip.example.com",
            "sip.example.com:x",
            "192.0.2.256",
            "192.0.2",
            "1001",
            "2001:db8::g",
            "[2001:db8::1",
            "[2001:db8::1]x",
            "[192.0.2.1]",
            "fe80::1%eth0",
            &format!("a{label}.example"),
            &too_long,
        ] {
            assert!(matches!(domain(text), Err(FieldError::Domain(_))), "{text}");
        }
        for text in [
            "sip.example.com:5060",
            "192.0.2.1:5060",
            "[2001:db8::1]:5060",
            "sip:",
        ] {
            assert_eq!(domain(text), Err(FieldError::DomainWithPort), "{text}");
        }
    }

    #[test]
    fn bounds_timeouts_and_places() {
        assert_eq!(ring_timeout(1), Ok(1));
        assert_eq!(ring_timeout(3600), Ok(3600));
        assert_eq!(order(1), Ok(1));
        assert_eq!(order(32_767), Ok(32_767));
        for value in [0, -1, 3601, i64::MAX, i64::MIN, 1 << 32 | 1] {
            let refused = Err(FieldError::OutOfRange { min: 1, max: 3600 });
            assert_eq!(ring_timeout(value), refused);
        }
        for value in [0, -1, 32_768, i64::MAX, i64::MIN, 1 << 32 | 1] {
            let refused = Err(FieldError::OutOfRange {
                min: 1,
                max: 32_767,
            });
            assert_eq!(order(value), refused);
        }
    }

    #[test]
    fn checks_the_length_of_periods_and_descriptions_in_bytes() {
        let longest = format!("{:<512}", "hr{9-17}");
        assert_eq!(period(&longest), Ok(&*longest));
        let too_long = format!("{longest} ");
        let refused = Err(FieldError::TooManyBytes {
            max: 512,
            found: 513,
        });
        assert_eq!(period(&too_long), refused);
        let description = "é".repeat(256);
        assert_eq!(period_description(&description), Ok(&*description));
        let description = "é".repeat(257);
        let refused = Err(FieldError::TooManyBytes {
            max: 512,
            found: 514,
        });
        assert_eq!(period_description(&description), refused);
        assert_eq!(period_description(""), Ok(""));
    }

    #[test]
    fn refuses_a_malformed_period_with_its_place() {
        assert_eq!(period("wd{mo-fr} hr{9am-5pm}"), Ok("wd{mo-fr} hr{9am-5pm}"));
        assert_eq!(period(""), Ok(""));
        let message = period("hr{9-17},").map_err(|error| error.to_string());
        assert_eq!(
            message,
            Err("comma without a sub-period on both sides: remove it (at offset 9)".to_owned())
        );
    }

    #[test]
    fn says_what_to_do() {
        let message = |error: FieldError| error.to_string();
        assert_eq!(
            redirect_number("1 555", true).map_err(message),
            Err("must hold letters, digits and * # ! . _ - only: remove character 2".to_owned())
        );
        assert_eq!(
            domain("sip.example.com.").map_err(message),
            Err("must be a host name or an IP address: remove the dot at the end".to_owned())
        );
        assert_eq!(
            ring_timeout(0).map_err(message),
            Err("must be from 1 to 3600".to_owned())
        );
    }
}
