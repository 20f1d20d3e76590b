//! The grammar of periods (docs/upstream/domain.md 3).

use followme::domain::check_period;
use proptest::prelude::*;

/// Takes the error over a text apart: the rule, and the offset.
fn fault(text: &str) -> (String, usize) {
    let error = check_period(text).expect_err(text);
    let (rule, offset) = error.rsplit_once(" (at offset ").expect("an offset");
    let offset = offset.strip_suffix(')').expect("an offset");
    (rule.to_owned(), offset.parse().expect("an offset"))
}

#[test]
fn takes_no_restriction_never_and_always_in_any_case() {
    for text in [
        "", "  ", "\t", "none", "NONE", " None ", "Always", "ALWAYS", "always ",
    ] {
        assert_eq!(check_period(text), Ok(()), "{text:?}");
    }
}

#[test]
fn takes_every_form_of_the_grammar() {
    for text in [
        "wd{mo-fr} hr{9am-5pm}",
        "wd {Mon-Fri} hr {9am-4pm}",
        "wd {Mon Wed Fri} hr {9am-4pm}, wd{Tue Thu} hr {9am-2pm}",
        "WD{MONDAY-FRIDAY}HR{9-17}",
        "year{2025-2026}month{jan-dec}week{1-6}yday{1-366}mday{1-31}wday{1-7}hour{0-23}\
         minute{0-59}second{0-59}",
        "yr{0 99 25-26 1970 2025-2025 98-2100 2024-26}",
        "mo{Nov-Feb}",
        "mo{January sept may-junebug 12}",
        "mo {Jan Feb} mo {Nov Dec}",
        "wd{sa-su}",
        "wd{7-1 tues wedn thursday}",
        "hr{12am 1am 11am 12noon 12pm 1pm 11pm 0 09 23}",
        "hr{10pm-6am}",
        "hr { 9am - 5pm }",
        " min { 0 - 29\t45 } ",
        "hr{12noon-13}",
        "sec {0-4 10-14 20-24},sec{30}\t,\tsec{59}",
    ] {
        assert_eq!(check_period(text), Ok(()), "{text:?}");
    }
}

#[test]
fn refuses_values_that_a_scale_does_not_have() {
    let cases = [
        ("yr{#}", "100 1969 4294967296 jan 20x5"),
        ("mo{#}", "0 13 ja janv1 jän 1jan 99999999999"),
        ("wk{#}", "0 7 mon"),
        ("yd{#}", "0 367"),
        ("md{#}", "0 32 1st"),
        ("wd{#}", "0 8 m xx mo1"),
        (
            "hr{#}",
            "24 13am 0am 0pm 13pm noon 1noon am pm 12midnight 9a +9 09:00 9.5",
        ),
        ("min{#}", "60 a"),
        ("sec{#}", "60 _"),
    ];
    for (pattern, words) in cases {
        for word in words.split(' ') {
            let text = pattern.replace('#', word);
            let (rule, position) = fault(&text);
            assert!(
                rule.starts_with("not a value of this scale"),
                "{text}: {rule}"
            );
            assert!(
                text[position..].starts_with(|c: char| word.contains(c)),
                "{text}"
            );
            // The second end of a range is checked as the first one is.
            let range = pattern.replace('#', &format!("1-{word}"));
            if pattern != "yr{#}" {
                assert_eq!(fault(&range).0, rule, "{range}");
            }
        }
    }
}

#[test]
fn refuses_broken_structure_and_says_where() {
    for (text, start, position) in [
        ("hr{}", "empty braces", 2),
        ("wd{mo} hr{ }", "empty braces", 9),
        ("hr{9-17},", "comma without a sub-period", 9),
        ("hr{9-17}, ", "comma without a sub-period", 10),
        (",hr{9-17}", "comma without a sub-period", 0),
        ("hr{9},,hr{10}", "comma without a sub-period", 6),
        (",", "comma without a sub-period", 0),
        ("hr{9};hr{10}", "semicolon", 5),
        ("hr{9;10}", "semicolon", 4),
        ("hr{9,10}", "comma between braces", 4),
        ("hr{9-,10}", "comma between braces", 5),
        ("hr{9", "unclosed brace", 2),
        ("hr{", "unclosed brace", 2),
        ("hr{9-", "unclosed brace", 2),
        ("wd{mo-fr {9}", "unclosed brace", 2),
        ("hr{9{", "unclosed brace", 2),
        ("hr{9}}", "closing brace without", 5),
        ("}", "closing brace without", 0),
        ("hr", "a scale needs its values", 2),
        ("hr 9-17", "a scale needs its values", 3),
        ("hr,wd{mo}", "a scale needs its values", 2),
        ("hr(9)", "a scale needs its values", 2),
        ("{9}", "unknown scale", 0),
        ("never", "unknown scale", 0),
        ("none, hr{9}", "unknown scale", 0),
        ("h{9}", "unknown scale", 0),
        ("hours{9}", "unknown scale", 0),
        ("wd{mo} weekday{mo}", "unknown scale", 7),
        ("hr{9}\nwd{mo}", "unknown scale", 5),
        ("\u{fc}", "unknown scale", 0),
        ("hr{-17}", "a range has two ends", 3),
        ("hr{9-}", "a range has two ends", 5),
        ("hr{9--17}", "a range has two ends", 5),
        ("hr{9-12-17}", "a range has two ends", 7),
        ("yr{2026-2025}", "a range of years", 3),
        ("yr{26-25}", "a range of years", 3),
        ("yr{24 99-1972}", "a range of years", 6),
        ("yr{26-2024}", "a range of years", 3),
    ] {
        let (rule, found) = fault(text);
        assert!(rule.starts_with(start), "{text:?}: {rule}");
        assert_eq!(found, position, "{text:?}");
    }
}

#[test]
fn says_what_to_do_without_repeating_the_text() {
    let message = check_period;
    assert_eq!(
        message("hr{13am}"),
        Err(
            "not a value of this scale: write 0 to 23, or 12am 1am to 11am 12noon 12pm 1pm \
             to 11pm (at offset 3)"
                .to_owned()
        )
    );
    assert_eq!(
        message("hr"),
        Err("a scale needs its values in braces, as in hr{9-17} (at offset 2)".to_owned())
    );
}

/// One scale with its values, well-formed by construction.
fn any_scale() -> impl Strategy<Value = String> {
    let range = |name: &'static str, value: &'static str| {
        let ranges = format!("({value}( ?- ?{value})?[ \t]{{1,2}}){{1,3}}");
        let ranges = proptest::string::string_regex(&ranges).expect("a pattern");
        (name, " {0,1}", ranges)
            .prop_map(|(name, blank, ranges)| format!("{name}{blank}{{{}}}", ranges.trim_end()))
    };
    prop_oneof![
        (
            "yr|YEAR|Year",
            "1[0-9]-[2-9][0-9]|19[789][0-9]( ?- ?2[0-9]{3})?"
        )
            .prop_map(|(name, range)| format!("{name}{{{range}}}")),
        range("mo|Month", "(0?[1-9]|1[0-2]|jan|FEB|March|decem)"),
        range("wk|week", "[1-6]"),
        range("yd|yday", "([1-9]|[12][0-9]{2}|36[0-6])"),
        range("md|mday", "([1-9]|[12][0-9]|3[01])"),
        range("wd|wday", "([1-7]|mon|Tu|SUNDAY|thurs)"),
        range(
            "hr|HOUR",
            "([0-9]|1[0-9]|2[0-3]|12noon|12am|([1-9]|1[0-2])[apAP]m)"
        ),
        range("min|minute", "[0-5]?[0-9]"),
        range("sec|second", "[0-5]?[0-9]"),
    ]
}

fn any_period() -> impl Strategy<Value = String> {
    let subperiod = proptest::collection::vec(any_scale(), 1..4)
        .prop_flat_map(|scales| " {0,2}".prop_map(move |blank| scales.join(&blank)));
    proptest::collection::vec(subperiod, 1..4).prop_flat_map(|subperiods| {
        "[ \t]{0,2},[ \t]{0,2}".prop_map(move |comma| subperiods.join(&comma))
    })
}

proptest! {
    #[test]
    fn takes_whatever_the_grammar_makes(period in any_period()) {
        prop_assert_eq!(check_period(&period), Ok(()));
    }

    #[test]
    fn refuses_every_period_with_a_brace_more_or_less(
        period in any_period(),
        at in any::<prop::sample::Index>(),
    ) {
        let braces: Vec<usize> = period.match_indices(['{', '}']).map(|(at, _)| at).collect();
        let at = braces[at.index(braces.len())];
        let without = format!("{}{}", &period[..at], &period[at + 1..]);
        prop_assert!(check_period(&without).is_err(), "{}", without);
        let doubled = format!("{}{}", &period[..=at], &period[at..]);
        prop_assert!(check_period(&doubled).is_err(), "{}", doubled);
    }

    #[test]
    fn never_panics_and_points_into_the_text(text in "[ -~\\t]{0,40}|.{0,20}") {
        if check_period(&text).is_err() {
            let (rule, position) = fault(&text);
            prop_assert!(text.is_char_boundary(position), "{rule} at {position}");
        }
    }
}
