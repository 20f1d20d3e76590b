//! Where calls may be forwarded to: prefixes of redirect numbers.

/// The destinations that somebody may forward calls to. The default allows every one.
///
/// A prefix and a redirect number are compared by their letters, digits, `*` and `#` only, letters
/// in any case: `+1 (900)` and `1.900` begin alike, since a switch dials them alike. A denied
/// prefix beats an allowed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationPolicy {
    allowed: Option<Vec<String>>,
    denied: Vec<String>,
}

impl DestinationPolicy {
    /// Makes them of prefixes; without `allowed`, all are allowed that are not denied.
    ///
    /// # Errors
    /// Returns the first prefix of which nothing is left to be compared: it would begin every
    /// number.
    pub fn new<'a>(
        allowed: Option<&'a [String]>,
        denied: &'a [String],
    ) -> Result<Self, &'a String> {
        let prefixes = |texts: &'a [String]| {
            texts
                .iter()
                .map(|text| {
                    Some(dialled(text))
                        .filter(|left| !left.is_empty())
                        .ok_or(text)
                })
                .collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            allowed: allowed.map(prefixes).transpose()?,
            denied: prefixes(denied)?,
        })
    }

    /// Tells whether calls may go to a redirect number.
    #[must_use]
    pub fn allows(&self, redirect_number: &str) -> bool {
        let number = dialled(redirect_number);
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| number.starts_with(prefix));
        self.allowed.as_deref().is_none_or(begins) && !begins(&self.denied)
    }
}

/// Returns what of a number is dialled.
fn dialled(text: &str) -> String {
    text.chars()
        .filter(|character| character.is_ascii_alphanumeric() || "*#".contains(*character))
        .map(|character| character.to_ascii_lowercase())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn everything_is_permitted_unless_something_is_said() {
        assert!(DestinationPolicy::default().allows("15550100"));
        let none = DestinationPolicy::new(Some(&[]), &[]).unwrap();
        assert!(!none.allows("15550100"));
    }

    #[test]
    fn a_denied_prefix_beats_an_allowed_one_however_it_is_written() {
        let (allowed, denied) = (texts(&["1555", "+49"]), texts(&["1-555-019"]));
        let destinations = DestinationPolicy::new(Some(&allowed), &denied).unwrap();
        for (number, permitted) in [
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
            assert_eq!(destinations.allows(number), permitted, "{number}");
        }
    }

    #[test]
    fn letters_are_compared_in_any_case() {
        let denied = texts(&["Premium"]);
        let destinations = DestinationPolicy::new(None, &denied).unwrap();
        assert!(!destinations.allows("PREMIUM-7"));
        assert!(destinations.allows("desk"));
    }

    #[test]
    fn a_prefix_that_would_begin_every_number_is_refused() {
        for text in ["", "+", "-."] {
            let prefixes = texts(&["1", text]);
            assert_eq!(DestinationPolicy::new(None, &prefixes), Err(&prefixes[1]));
        }
    }
}
