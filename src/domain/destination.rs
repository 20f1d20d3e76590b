//! The destination policy: prefixes of redirect numbers that calls may be forwarded to.

/// The destinations that a caller may forward calls to. The default allows all.
///
/// A prefix and a redirect number are compared by their letters, digits, `*` and `#` only, letters
/// in any case: `+1 (900)` and `1.900` are the same prefix, since a switch dials the same. A denied
/// prefix takes precedence over an allowed one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DestinationPolicy {
    allowed: Option<Vec<String>>,
    denied: Vec<String>,
}

impl DestinationPolicy {
    /// Creates a policy from prefixes. Without `allowed`, all are allowed that are not denied.
    ///
    /// # Errors
    /// Returns the first prefix that has none of these characters: every number would start with
    /// it.
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

    /// Returns whether calls may be forwarded to a redirect number.
    #[must_use]
    pub fn allows(&self, redirect_number: &str) -> bool {
        let number = dialled(redirect_number);
        let begins = |prefixes: &[String]| prefixes.iter().any(|prefix| number.starts_with(prefix));
        self.allowed.as_deref().is_none_or(begins) && !begins(&self.denied)
    }
}

/// Returns the characters of a number that are dialled.
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
    fn the_default_allows_every_destination() {
        assert!(DestinationPolicy::default().allows("15550100"));
        let none = DestinationPolicy::new(Some(&[]), &[]).unwrap();
        assert!(!none.allows("15550100"));
    }

    #[test]
    fn a_denied_prefix_takes_precedence_however_it_is_written() {
        let (allowed, denied) = (texts(&["1555", "+49"]), texts(&["1-555-019"]));
        let destinations = DestinationPolicy::new(Some(&allowed), &denied).unwrap();
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
        let destinations = DestinationPolicy::new(None, &denied).unwrap();
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
}
