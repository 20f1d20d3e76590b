//! Which destinations a caller may forward calls to.

use followme::domain::DestinationPolicy;

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn the_default_allows_every_destination() {
    assert!(DestinationPolicy::default().allows("15550100"));
    let none = DestinationPolicy::new(Some(&[]), &[]).expect("the prefixes are valid");
    assert!(!none.allows("15550100"));
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
        assert_eq!(destinations.allows(number), is_allowed, "{number}");
    }
}

#[test]
fn letters_are_compared_in_any_case() {
    let denied = texts(&["Premium"]);
    let destinations = DestinationPolicy::new(None, &denied).expect("the prefixes are valid");
    assert!(!destinations.allows("PREMIUM-7"));
    assert!(destinations.allows("desk"));
}

#[test]
fn a_prefix_that_every_number_has_is_refused() {
    for text in ["", "+", "-."] {
        let prefixes = texts(&["1", text]);
        assert_eq!(DestinationPolicy::new(None, &prefixes), Err(&prefixes[1]));
    }
}
