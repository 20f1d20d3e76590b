//! Checks of the fields that a caller writes (docs/upstream/domain.md 2, 3).
//!
//! For writes only: what is read from the upstream may be anything, and is never refused.
//! An error is a text to follow the name of the field: the rule that is broken, and what to do.
//! It never repeats the value, which is somebody's number or name.

use std::net::{IpAddr, Ipv6Addr};

use super::period::check_period;

/// The most characters of a name.
pub const MAX_NAME_CHARS: usize = 128;
/// The most characters of a redirect number.
pub const MAX_REDIRECT_NUMBER_CHARS: usize = 64;
/// The most bytes of a period, and of its description.
pub const MAX_PERIOD_BYTES: usize = 512;
/// The longest ring timeout, in seconds.
pub const MAX_RING_TIMEOUT_SECONDS: i64 = 3600;
/// The last place in a list.
pub const MAX_ORDER: i32 = 32_767;

/// Checks the name of a number: 1 to [`MAX_NAME_CHARS`] characters, none a control character.
///
/// An empty name is worse than none: it makes the longest update route take the domain for the
/// name (docs/upstream/wire.md 5).
///
/// # Errors
/// The first rule that is broken.
pub fn name(text: &str) -> Result<(), String> {
    characters(text, MAX_NAME_CHARS)?;
    no_control_characters(text)
}

/// Checks a redirect number: 1 to [`MAX_REDIRECT_NUMBER_CHARS`] letters, digits and `*#!._-`.
///
/// A plus sign at the start is fine. It is not counted if `strip_plus` says that it is going to
/// be taken off, since the billing system stores E.164 without it (docs/upstream/domain.md 2).
///
/// # Errors
/// The first rule that is broken. SIP and `tel` URIs, and whatever holds an `@`, are pointed to
/// the domain.
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
            let place = index + 1 + text.len() - digits.len();
            Err(format!(
                "must hold letters, digits and * # ! . _ - only: remove character {place}"
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

/// Checks a host that is no bare address; the error says what to do.
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
        Some(_) => return Err("remove the scheme, or mend the address"),
        None => {}
    }
    if text.len() > 253 {
        return Err("a host name has at most 253 characters");
    }
    if text.ends_with('.') {
        return Err("remove the dot at the end");
    }
    text.split('.').try_for_each(label)?;
    // RFC 1123 2.1: what looks like an address is one, or is nothing.
    let last = text.rsplit('.').next().unwrap_or(text);
    if last.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("a name that ends in a number is read as an IPv4 address: mend it");
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

/// Checks a ring timeout: whole seconds, 1 to [`MAX_RING_TIMEOUT_SECONDS`].
///
/// # Errors
/// The rule that is broken.
pub fn ring_timeout(seconds: i64, nanos: i32) -> Result<(), String> {
    if nanos != 0 {
        return Err("must be whole seconds".to_owned());
    }
    if !(1..=MAX_RING_TIMEOUT_SECONDS).contains(&seconds) {
        return Err(format!(
            "must be from 1 to {MAX_RING_TIMEOUT_SECONDS} seconds"
        ));
    }
    Ok(())
}

/// Checks a place in the list: 1 to [`MAX_ORDER`].
///
/// # Errors
/// The rule that is broken.
pub fn order(place: i32) -> Result<(), String> {
    if !(1..=MAX_ORDER).contains(&place) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const TAKEN: Result<(), String> = Ok(());

    fn refused(message: &str) -> Result<(), String> {
        Err(message.to_owned())
    }

    #[test]
    fn takes_names_of_1_to_128_characters() {
        for text in ["H", "Büro, \"alt\" 世界", " ", &"é".repeat(128)] {
            assert_eq!(name(text), TAKEN, "{text}");
        }
        assert_eq!(name(""), refused("must not be empty"));
        assert_eq!(
            name(&"é".repeat(129)),
            refused("must have at most 128 characters, has 129")
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
            let message = format!("must hold no control characters: remove character {place}");
            assert_eq!(name(text), refused(&message), "{text:?}");
            assert_eq!(period_description(text), refused(&message), "{text:?}");
        }
    }

    #[test]
    fn takes_every_kind_of_redirect_number() {
        let longest = "1".repeat(64);
        for text in [
            "15550100",
            "+15550100",
            "*98",
            "#31#15550101",
            "15550102!",
            "ext.a_b-c",
            "101",
            &longest,
        ] {
            assert_eq!(redirect_number(text, true), TAKEN, "{text}");
            assert_eq!(redirect_number(text, false), TAKEN, "{text}");
        }
    }

    #[test]
    fn counts_a_plus_sign_only_where_it_stays() {
        let longest = format!("+{}", "1".repeat(64));
        assert_eq!(redirect_number(&longest, true), TAKEN);
        assert_eq!(
            redirect_number(&longest, false),
            refused("must have at most 64 characters, has 65")
        );
        assert_eq!(
            redirect_number(&format!("{longest}1"), true),
            refused("must have at most 64 characters, has 65")
        );
    }

    #[test]
    fn refuses_empty_redirect_numbers_and_signs_out_of_place() {
        for strip_plus in [true, false] {
            for text in ["", "+"] {
                assert_eq!(
                    redirect_number(text, strip_plus),
                    refused("must not be empty")
                );
            }
            for (text, place) in [
                ("++1", 2),
                ("1+1", 2),
                ("+1 5", 3),
                ("1(2)", 2),
                ("1é", 2),
                ("1:2", 2),
                ("1/2", 2),
                ("1\n", 2),
            ] {
                let message = format!(
                    "must hold letters, digits and * # ! . _ - only: remove character {place}"
                );
                assert_eq!(
                    redirect_number(text, strip_plus),
                    refused(&message),
                    "{text}"
                );
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
            assert_eq!(
                redirect_number(text, true),
                refused("must be a number without scheme and host: put the host in domain"),
                "{text}"
            );
        }
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
            assert_eq!(domain(text), TAKEN, "{text}");
        }
    }

    #[test]
    fn refuses_what_is_no_host_and_says_what_to_do() {
        let label = "a".repeat(63);
        let name_too_long = format!("{label}.{label}.{label}.{}", "a".repeat(62));
        let label_too_long = format!("a{label}.example");
        let characters = "use ASCII letters, digits, hyphens and dots only";
        let hyphen = "a part between dots starts and ends with a letter or a digit";
        let number = "a name that ends in a number is read as an IPv4 address: mend it";
        let colon = "remove the scheme, or mend the address";
        let brackets = "put a whole IPv6 address in the brackets";
        let port = "remove the colon and the port";
        for (text, what) in [
            ("sip.example.com.", "remove the dot at the end"),
            (".example.com", "remove the empty part between dots"),
            ("sip..example.com", "remove the empty part between dots"),
            ("sip_1.example.com", characters),
            ("sip example.com", characters),
            ("b\u{fc}cher.example", characters),
            ("sip.example.com/x", characters),
            ("user@sip.example.com", characters),
            ("-sip.example.com", hyphen),
            ("sip-.example.com", hyphen),
            ("192.0.2.256", number),
            ("192.0.2", number),
            ("1001", number),
            ("sip:sip.example.com", colon),
            ("sip.example.com:x", colon),
            ("2001:db8::g", colon),
            ("fe80::1%eth0", colon),
            ("[2001:db8::1", brackets),
            ("[192.0.2.1]", brackets),
            ("[2001:db8::1]x", "remove what follows the bracket"),
            ("sip.example.com:5060", port),
            ("192.0.2.1:5060", port),
            ("[2001:db8::1]:5060", port),
            (
                &label_too_long,
                "a part between dots has at most 63 characters",
            ),
            (&name_too_long, "a host name has at most 253 characters"),
        ] {
            let message = format!("must be a host name or an IP address: {what}");
            assert_eq!(domain(text), refused(&message), "{text}");
        }
    }

    #[test]
    fn bounds_ring_timeouts_and_places() {
        assert_eq!(ring_timeout(1, 0), TAKEN);
        assert_eq!(ring_timeout(3600, 0), TAKEN);
        for seconds in [0, -1, 3601, i64::MAX, i64::MIN] {
            let message = "must be from 1 to 3600 seconds";
            assert_eq!(ring_timeout(seconds, 0), refused(message));
        }
        for nanos in [1, -1, 500_000_000] {
            assert_eq!(ring_timeout(30, nanos), refused("must be whole seconds"));
        }
        assert_eq!(order(1), TAKEN);
        assert_eq!(order(32_767), TAKEN);
        for place in [0, -1, 32_768, i32::MAX, i32::MIN] {
            assert_eq!(order(place), refused("must be from 1 to 32767"));
        }
    }

    #[test]
    fn bounds_periods_and_descriptions_in_bytes() {
        let too_long = refused("must have at most 512 bytes in UTF-8, has 513");
        let text = format!("{:<512}", "hr{9-17}");
        assert_eq!(period(&text), TAKEN);
        assert_eq!(period(&format!("{text} ")), too_long);
        let text = "é".repeat(256);
        assert_eq!(period_description(&text), TAKEN);
        assert_eq!(period_description(&format!("{text}e")), too_long);
        assert_eq!(period_description(""), TAKEN);
    }

    #[test]
    fn refuses_a_malformed_period_with_its_place() {
        assert_eq!(period("wd{mo-fr} hr{9am-5pm}"), TAKEN);
        assert_eq!(period(""), TAKEN);
        let message = "is no period: comma without a sub-period on both sides: remove it \
                       (at offset 9)";
        assert_eq!(period("hr{9-17},"), refused(message));
    }
}
