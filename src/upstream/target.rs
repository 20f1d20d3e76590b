//! Builds the target of a request so that no value can reach another route or another field.

use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Error, Kind, Route};

/// What stays as it is in a path segment or a query value: letters, digits and the other
/// unreserved characters of RFC 3986. A dot stays too: segments that dots could change the meaning
/// of never get into the path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The longest path in decoded characters (docs/upstream/wire.md 5: ASP.NET refuses more).
const MAX_PATH_CHARS: usize = 260;

/// The longest query in bytes (docs/upstream/wire.md 5: ASP.NET refuses more than 2,048).
const MAX_QUERY_BYTES: usize = 2_000;

/// The path segment of a value that goes by query: the query overrides the path
/// (docs/upstream/wire.md 6).
pub const PLACEHOLDER: &str = "x";

/// The marks of text direction that upstream drops from a query (docs/upstream/wire.md 12).
pub const DIRECTION_MARKS: [char; 7] = [
    '\u{200e}', '\u{200f}', '\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}',
];

/// What to do with a value that a path cannot carry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum UnsafeValues {
    /// It goes by query, over a placeholder in the path.
    #[default]
    Query,
    /// The call is refused.
    Reject,
}

/// The target of a request: path and query, both percent-encoded. It holds the License, so it has
/// no `Display`, and its `Debug` prints nothing of it.
pub(super) struct Target(String);

impl Target {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the path and the query. A target always has a query.
    pub(super) fn path_and_query(&self) -> (&str, &str) {
        self.0.split_once('?').unwrap_or((&self.0, ""))
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Target(…)")
    }
}

/// A target in the making.
pub(super) struct Builder {
    route: Route,
    unsafe_values: UnsafeValues,
    literal: &'static str,
    segments: Vec<Segment>,
    query: Vec<(&'static str, String)>,
}

struct Segment {
    property: &'static str,
    value: String,
    by_query: bool,
}

impl Builder {
    pub(super) fn new(route: Route, literal: &'static str, unsafe_values: UnsafeValues) -> Self {
        Self {
            route,
            unsafe_values,
            literal,
            segments: Vec::with_capacity(9),
            query: Vec::new(),
        }
    }

    /// Adds a value to the path. `property` is the exact name that the page gives it: only that
    /// overrides a path value (docs/upstream/wire.md 6).
    pub(super) fn segment(mut self, property: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        let by_query = !fits_a_path(&value);
        self.segments.push(Segment {
            property,
            value,
            by_query,
        });
        self
    }

    /// Adds a value that the path of the route has no segment for. An empty one never binds, so it
    /// is left out (docs/upstream/wire.md 6).
    pub(super) fn query(mut self, property: &'static str, value: impl ToString) -> Self {
        let value = value.to_string();
        if !value.is_empty() {
            self.query.push((property, value));
        }
        self
    }

    pub(super) fn build(mut self) -> Result<Target, Error> {
        if self.unsafe_values == UnsafeValues::Reject
            && let Some(segment) = self.segments.iter().find(|segment| segment.by_query)
        {
            return Err(Error::new(Kind::UnsafeValue(segment.property), self.route));
        }
        // The longest values leave the path until it fits; a placeholder has one character.
        while self.path_chars() > MAX_PATH_CHARS {
            let in_path = self.segments.iter_mut().filter(|segment| !segment.by_query);
            // What only a path can carry stays as long as anything else can leave it.
            let longest =
                in_path.max_by_key(|segment| (fits_a_query(&segment.value), segment.value.len()));
            match longest {
                Some(segment) if segment.value.len() > 1 => segment.by_query = true,
                _ => return Err(Error::new(Kind::DoesNotFit, self.route)),
            }
        }
        if let Some(property) = self.by_query().find_map(|(property, value)| {
            let fits = fits_a_query(value);
            (!fits).then_some(property)
        }) {
            return Err(Error::new(Kind::NotCarried(property), self.route));
        }

        let mut target = String::from("/");
        target.push_str(self.literal);
        for segment in &self.segments {
            target.push('/');
            if segment.by_query {
                target.push_str(PLACEHOLDER);
            } else {
                target.extend(utf8_percent_encode(&segment.value, ENCODED));
            }
        }
        target.push('?');
        let path = target.len();
        target.push_str("format=csv");
        for (property, value) in self.by_query() {
            target.push('&');
            target.push_str(property);
            target.push('=');
            target.extend(utf8_percent_encode(value, ENCODED));
        }
        if target.len() - path > MAX_QUERY_BYTES {
            return Err(Error::new(Kind::DoesNotFit, self.route));
        }
        Ok(Target(target))
    }

    /// Returns the query: the values that the path cannot carry, then those that it has no segment
    /// for. An empty value of a segment erases the placeholder (docs/upstream/wire.md 6).
    fn by_query(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let segments = self.segments.iter().filter(|segment| segment.by_query);
        let segments = segments.map(|segment| (segment.property, &*segment.value));
        let others = self
            .query
            .iter()
            .map(|(property, value)| (*property, &**value));
        segments.chain(others)
    }

    fn path_chars(&self) -> usize {
        let values: usize = self
            .segments
            .iter()
            .map(|segment| {
                1 + if segment.by_query {
                    PLACEHOLDER.len()
                } else {
                    segment.value.chars().count()
                }
            })
            .sum();
        1 + self.literal.len() + values
    }
}

/// Writes names and values as a form.
pub(super) fn form(pairs: impl Iterator<Item = (&'static str, String)>) -> String {
    let mut form = String::new();
    for (name, value) in pairs {
        if !form.is_empty() {
            form.push('&');
        }
        form.push_str(name);
        form.push('=');
        form.extend(utf8_percent_encode(&value, ENCODED));
    }
    form
}

/// Returns whether a value arrives by path as it was sent, on every host that was seen
/// (docs/upstream/wire.md 5, 10.4, 10.14).
pub(super) fn fits_a_path(value: &str) -> bool {
    const SUFFIXES: [&str; 7] = [
        ".csv",
        ".json",
        ".xml",
        ".jsv",
        ".html",
        ".plain",
        ".markdown",
    ];
    let refused = |char: char| char.is_control() || "/+%&:*?<>\\#".contains(char);
    !value.is_empty()
        && !value.contains(refused)
        // Intermediaries resolve segments of dots; Windows and some proxies trim dots and blanks
        // at the ends.
        && !value.starts_with(['.', ' '])
        && !value.ends_with(['.', ' '])
        && !value.chars().any(|char| char.is_whitespace() && char != ' ')
        && !SUFFIXES.iter().any(|suffix| {
            value
                .len()
                .checked_sub(suffix.len())
                .and_then(|at| value.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix))
        })
}

/// Returns whether a value arrives by query as it was sent. v3 and v4 drop the marks of text
/// direction from queries, and from nothing else (docs/upstream/wire.md 12).
pub(super) fn fits_a_query(value: &str) -> bool {
    !value.contains(DIRECTION_MARKS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(values: &[(&'static str, &str)], query: &[(&'static str, &str)]) -> String {
        let mut builder = Builder::new(Route::Add7, "addfollowme", UnsafeValues::Query);
        for (property, value) in values {
            builder = builder.segment(property, value);
        }
        for (property, value) in query {
            builder = builder.query(property, value);
        }
        builder.build().unwrap().as_str().to_owned()
    }

    #[test]
    fn a_value_that_a_path_cannot_carry_goes_by_query_over_a_placeholder() {
        assert_eq!(
            target(
                &[
                    ("License", "a/b"),
                    ("Name", "Mom & Dad"),
                    ("IAccount", "1001")
                ],
                &[]
            ),
            "/addfollowme/x/x/1001?format=csv&License=a%2Fb&Name=Mom%20%26%20Dad"
        );
        for value in [
            "", ".", "..", "...", "a.csv", "a.JSON", "*72", "a#b", "a\u{85}b", " a", "a ",
        ] {
            assert!(!fits_a_path(value), "{value:?}");
        }
        for value in [
            "Mom",
            "a b",
            "日本",
            "a.b",
            "it's",
            "a=b",
            "a,b",
            "{x}",
            "15550100!",
        ] {
            assert!(fits_a_path(value), "{value:?}");
        }
    }

    #[test]
    fn an_empty_path_value_erases_its_placeholder() {
        assert_eq!(
            target(&[("License", "L"), ("Name", "")], &[]),
            "/addfollowme/L/x?format=csv&Name="
        );
    }

    #[test]
    fn an_empty_query_value_is_left_out() {
        assert_eq!(
            target(&[("License", "L")], &[("Period", ""), ("Status", "true")]),
            "/addfollowme/L?format=csv&Status=true"
        );
    }

    #[test]
    fn long_values_leave_the_path_and_what_fits_nowhere_is_refused() {
        let domain = "d".repeat(240);
        assert_eq!(
            target(&[("License", "L"), ("Domain", &domain)], &[]),
            format!("/addfollowme/L/{domain}?format=csv")
        );
        let name = "n".repeat(128);
        assert_eq!(
            target(
                &[("License", "L"), ("Domain", &domain), ("Name", &name)],
                &[]
            ),
            format!("/addfollowme/L/x/{name}?format=csv&Domain={domain}")
        );
        let error = Builder::new(Route::Add7, "addfollowme", UnsafeValues::Query)
            .segment("License", "L")
            .query("Period_desc", "日".repeat(300))
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), Kind::DoesNotFit);
        assert!(error.nothing_ran());
    }

    #[test]
    fn values_can_be_refused_instead() {
        let error = Builder::new(Route::Add7, "addfollowme", UnsafeValues::Reject)
            .segment("Name", "a/b")
            .build()
            .unwrap_err();
        assert_eq!(error.kind(), Kind::UnsafeValue("Name"));
    }
}
