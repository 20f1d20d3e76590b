//! Which destinations a caller may forward calls to.

use followme::domain::{DestinationPolicy, Field};

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn the_default_allows_every_destination() {
    assert_eq!(DestinationPolicy::default().denies("15550100", ""), None);
    let none = DestinationPolicy::new(Some(&[]), &[]).expect("the prefixes are valid");
    assert_eq!(none.denies("15550100", ""), Some(Field::RedirectNumber));
}

#[test]
fn a_denied_prefix_takes_precedence_however_it_is_written() {
    let (allowed, denied) = (texts(&["1555", "+49"]), texts(&["1-555-019"]));
    let destinations =
        DestinationPolicy::new(Some(&allowed), &denied).expect("the prefixes are valid");
    for (number, is_allowed) in [
        ("15550100", true),
        ("+15550100", true),
        ("1.555-0100", true),
        ("4930", true),
        ("15550190", false),
        ("1.5.5.5.0.1.9.0", false),
        ("1555_0190", false),
        ("+1!5550190", false),
        ("16550100", false),
        ("*6715550100", false),
        ("155", false),
    ] {
        assert_eq!(
            destinations.denies(number, "").is_none(),
            is_allowed,
            "{number}"
        );
    }
}

#[test]
fn letters_are_compared_in_any_case() {
    let denied = texts(&["Premium"]);
    let destinations = DestinationPolicy::new(None, &denied).expect("the prefixes are valid");
    assert_eq!(
        destinations.denies("PREMIUM-7", ""),
        Some(Field::RedirectNumber)
    );
    assert_eq!(destinations.denies("desk", ""), None);
}

#[test]
fn a_prefix_that_every_number_has_is_refused() {
    for text in ["", "+", "-."] {
        let prefixes = texts(&["1", text]);
        assert_eq!(DestinationPolicy::new(None, &prefixes), Err(&prefixes[1]));
    }
}

#[test]
fn a_domain_is_compared_in_every_spelling() {
    let (allowed, denied) = (
        texts(&[
            "PBX.example.com",
            "*.sip.example.com",
            "192.0.2.7",
            "[2001:db8::1]",
        ]),
        texts(&["bad.sip.example.com"]),
    );
    let one = texts(&["1555"]);
    let destinations = DestinationPolicy::new(Some(&one), &[]).expect("the prefixes are valid");
    assert_eq!(destinations.denies("15550100", ""), None);
    let domain = Some(Field::Domain);
    assert_eq!(destinations.denies("15550100", "pbx.example.com"), domain);
    let destinations = destinations.with_domains(Some(&allowed), &denied);
    for (text, is_allowed) in [
        ("", true),
        ("pbx.example.com", true),
        ("pbx.EXAMPLE.com", true),
        ("x.pbx.example.com", false),
        ("a.sip.example.com", true),
        ("a.b.sip.example.com", true),
        ("sip.example.com", false),
        ("evilsip.example.com", false),
        ("Bad.sip.example.com", false),
        ("192.0.2.7", true),
        ("::ffff:192.0.2.7", true),
        ("192.0.2.70", false),
        ("2001:DB8:0::1", true),
        ("[2001:db8::1]", true),
        ("2001:db8::2", false),
    ] {
        let is_denied = destinations.denies("15550100", text).is_some();
        assert_eq!(is_denied, !is_allowed, "{text}");
    }
    let denied_only = DestinationPolicy::default().with_domains(None, &denied);
    assert_eq!(denied_only.denies("1", "pbx.example.com"), None);
    assert_eq!(denied_only.denies("1", "bad.sip.example.com"), domain);
}
