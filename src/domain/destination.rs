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
