//! The checks of the fields that a caller writes (docs/upstream/domain.md 2).

use followme::domain::check::{
    domain, name, order, period, period_description, redirect_number, ring_timeout, whole_seconds,
};

const VALID: Result<(), String> = Ok(());

fn invalid(message: &str) -> Result<(), String> {
    Err(message.to_owned())
}

#[test]
fn names_have_1_to_128_characters() {
    for text in ["H", "Büro, \"alt\" 世界", " ", &"é".repeat(128)] {
        assert_eq!(name(text), VALID, "{text}");
    }
    assert_eq!(name(""), invalid("must not be empty"));
    assert_eq!(
        name(&"é".repeat(129)),
        invalid("must have at most 128 characters, has 129")
    );
}

#[test]
fn names_and_descriptions_have_no_control_characters() {
    for (text, position) in [
        ("a\nb", 2),
        ("\tb", 1),
        ("é\u{7f}", 2),
        ("ab\u{85}", 3),
        ("\0", 1),
    ] {
        let message = format!("must hold no control characters: remove character {position}");
        assert_eq!(name(text), invalid(&message), "{text:?}");
        assert_eq!(period_description(text), invalid(&message), "{text:?}");
    }
}

#[test]
fn every_kind_of_redirect_number_is_valid() {
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
        assert_eq!(redirect_number(text, true), VALID, "{text}");
        assert_eq!(redirect_number(text, false), VALID, "{text}");
    }
}

#[test]
fn a_plus_sign_counts_unless_it_is_stripped() {
    let longest = format!("+{}", "1".repeat(64));
    assert_eq!(redirect_number(&longest, true), VALID);
    assert_eq!(
        redirect_number(&longest, false),
        invalid("must have at most 64 characters, has 65")
    );
    assert_eq!(
        redirect_number(&format!("{longest}1"), true),
        invalid("must have at most 64 characters, has 65")
    );
}

#[test]
fn empty_redirect_numbers_and_unexpected_signs_are_invalid() {
    for strip_plus in [true, false] {
        for text in ["", "+"] {
            assert_eq!(
                redirect_number(text, strip_plus),
                invalid("must not be empty")
            );
        }
        for (text, position) in [
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
                "must hold letters, digits and * # ! . _ - only: remove character {position}"
            );
            assert_eq!(
                redirect_number(text, strip_plus),
                invalid(&message),
                "{text}"
            );
        }
    }
}

#[test]
fn a_redirect_number_with_a_host_refers_to_the_domain() {
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
            invalid("must be a number without scheme and host: put the host in domain"),
            "{text}"
        );
    }
}

#[test]
fn host_names_addresses_and_no_domain_are_valid() {
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
        assert_eq!(domain(text), VALID, "{text}");
    }
}

#[test]
fn an_invalid_host_tells_what_to_change() {
    let label = "a".repeat(63);
    let name_too_long = format!("{label}.{label}.{label}.{}", "a".repeat(62));
    let label_too_long = format!("a{label}.example");
    let characters = "use ASCII letters, digits, hyphens and dots only";
    let hyphen = "a part between dots starts and ends with a letter or a digit";
    let number = "a name that ends in a number is read as an IPv4 address: correct it";
    let colon = "remove the scheme, or correct the address";
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
        assert_eq!(domain(text), invalid(&message), "{text}");
    }
}

#[test]
fn ring_timeouts_and_positions_are_bounded() {
    let message = "must be from 1 to 3600 seconds";
    for seconds in [1, 3600] {
        assert_eq!(ring_timeout(seconds), VALID);
        assert_eq!(whole_seconds(seconds.into(), 0), Ok(seconds));
    }
    for seconds in [0, -1, 3601, i32::MAX, i32::MIN] {
        assert_eq!(ring_timeout(seconds), invalid(message));
    }
    for seconds in [i64::MAX, i64::MIN] {
        assert_eq!(whole_seconds(seconds, 0), Err(message.to_owned()));
    }
    for nanos in [1, -1, 500_000_000] {
        let message = "must be whole seconds";
        assert_eq!(whole_seconds(30, nanos), Err(message.to_owned()));
    }
    assert_eq!(order(1), VALID);
    assert_eq!(order(32_767), VALID);
    for position in [0, -1, 32_768, i32::MAX, i32::MIN] {
        assert_eq!(order(position), invalid("must be from 1 to 32767"));
    }
}

#[test]
fn periods_and_descriptions_are_bounded_in_bytes() {
    let too_long = invalid("must have at most 512 bytes in UTF-8, has 513");
    let text = format!("{:<512}", "hr{9-17}");
    assert_eq!(period(&text), VALID);
    assert_eq!(period(&format!("{text} ")), too_long);
    let text = "é".repeat(256);
    assert_eq!(period_description(&text), VALID);
    assert_eq!(period_description(&format!("{text}e")), too_long);
    assert_eq!(period_description(""), VALID);
}

#[test]
fn a_malformed_period_is_invalid_with_its_position() {
    assert_eq!(period("wd{mo-fr} hr{9am-5pm}"), VALID);
    assert_eq!(period(""), VALID);
    let message = "is no period: comma without a sub-period on both sides: remove it \
                   (at offset 9)";
    assert_eq!(period("hr{9-17},"), invalid(message));
}
