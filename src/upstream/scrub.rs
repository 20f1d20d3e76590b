//! Takes the License and personal texts out of a text of upstream before it may reach a log.

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::License;

/// The longest text of upstream that reaches a log, in bytes.
const MAX_BYTES: usize = 512;

/// What must not reach a log.
pub(super) struct Secrets<'a> {
    pub(super) license: &'a License,
    /// Redirect numbers and names of the request.
    pub(super) personal: &'a [String],
}

impl Secrets<'_> {
    /// Goes through the texts, and what is written in their place.
    fn iter(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let personal = self.personal.iter().map(|text| (&**text, "(personal)"));
        std::iter::once((self.license.expose(), "(license)")).chain(personal)
    }
}

/// Returns at most 512 bytes of a text, with each secret replaced in each form in which upstream
/// was seen to echo it (WIRE.md 8): plain, percent-encoded in any way, as a form value, and with
/// its quotes doubled or escaped. Control characters become spaces.
pub(super) fn scrub(text: &str, secrets: &Secrets<'_>) -> String {
    // Only a prefix is looked at, with room for a secret to be longer where it is encoded.
    let mut clean = prefix(text, MAX_BYTES * 8).to_owned();
    for (plain, instead) in secrets.iter() {
        for form in forms(plain) {
            clean = replace_ignoring_case(&clean, &form, instead);
        }
    }
    // An encoding that is not one of the forms still decodes to the secret, once or twice; then
    // nothing of the text is kept.
    let mut decoded = clean.clone();
    for _ in 0..2 {
        decoded = percent_decode_str(&decoded)
            .decode_utf8_lossy()
            .to_lowercase();
        let spaced = decoded.replace('+', " ");
        let is_there = |plain: &str| {
            let plain = plain.to_lowercase();
            decoded.contains(&plain) || spaced.contains(&plain)
        };
        if secrets.iter().any(|(plain, _)| is_there(plain)) {
            return "(withheld)".to_owned();
        }
    }
    let clean: String = clean
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    // A secret that is cut by the end of the text is not found above.
    let tail = secrets
        .iter()
        .map(|(plain, _)| longest_tail(&clean, plain))
        .max()
        .unwrap_or(0);
    prefix(&clean[..clean.len() - tail], MAX_BYTES).to_owned()
}

/// Returns the ways to write a secret, the longest first: a shorter one may be a part of it.
fn forms(plain: &str) -> Vec<String> {
    let encoded = utf8_percent_encode(plain, NON_ALPHANUMERIC).to_string();
    let mut forms = vec![
        plain.to_owned(),
        encoded.clone(),
        encoded.replace("%20", "+"),
        percent_encoding::percent_encode(encoded.as_bytes(), NON_ALPHANUMERIC).to_string(),
        plain.replace('"', "\"\""),
        plain.replace('"', "\"\"\"\""),
        plain.replace('\\', "\\\\").replace('"', "\\\""),
        plain
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;"),
    ];
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

fn replace_ignoring_case(text: &str, form: &str, instead: &str) -> String {
    let (lower_text, lower_form) = (text.to_ascii_lowercase(), form.to_ascii_lowercase());
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = lower_text[from..].find(&lower_form) {
        clean.push_str(&text[from..from + at]);
        clean.push_str(instead);
        from += at + form.len();
    }
    clean.push_str(&text[from..]);
    clean
}

/// Returns the length of the longest end of the text that is a beginning of the secret.
fn longest_tail(text: &str, secret: &str) -> usize {
    secret
        .char_indices()
        .map(|(at, char)| at + char.len_utf8())
        .filter(|len| text.ends_with(&secret[..*len]))
        .max()
        .unwrap_or(0)
}

fn prefix(text: &str, max: usize) -> &str {
    let mut end = text.len().min(max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: &str = r#"a+b/c%d"e f"#;

    fn scrub(text: &str, license: &License) -> String {
        let personal = ["15550100".to_owned(), "Ann Lee".to_owned()];
        super::scrub(
            text,
            &Secrets {
                license,
                personal: &personal,
            },
        )
    }

    #[test]
    fn takes_numbers_and_names_out_too() {
        let license = License::new("SECRET-KEY").unwrap();
        let echo = "/addfollowme/SECRET-KEY/1001/15550100/Ann%20Lee?Name=Ann+Lee&x=ann lee";
        assert_eq!(
            scrub(echo, &license),
            "/addfollowme/(license)/1001/(personal)/(personal)?Name=(personal)&x=(personal)"
        );
    }

    #[test]
    fn takes_the_license_out_in_every_encoding() {
        let license = License::new(MARKER).unwrap();
        let percent = utf8_percent_encode(MARKER, NON_ALPHANUMERIC).to_string();
        for echo in [
            MARKER.to_owned(),
            percent.clone(),
            percent.to_ascii_lowercase(),
            percent.replace("%20", "+"),
            MARKER.replace('"', "\"\""),
            MARKER.replace('"', "\\\""),
            MARKER.replace('"', "&quot;"),
            MARKER.replace('%', "%25").replace(' ', "%20"),
            MARKER
                .replace('%', "%25")
                .replace(' ', "%20")
                .to_uppercase(),
        ] {
            let clean = scrub(&format!("QueryString: License={echo}&x=1"), &license);
            for secret in [MARKER, percent.as_str(), echo.as_str()] {
                assert!(
                    !clean
                        .to_ascii_lowercase()
                        .contains(&secret.to_ascii_lowercase()),
                    "{clean}"
                );
            }
        }
    }

    #[test]
    fn drops_the_beginning_of_a_license_at_the_end_of_a_text() {
        let license = License::new("SECRET-KEY").unwrap();
        assert_eq!(scrub("path /x/SECRET-K", &license), "path /x/");
    }

    #[test]
    fn keeps_at_most_512_bytes_of_other_text() {
        let license = License::new("k-0").unwrap();
        assert_eq!(scrub(&"é".repeat(4000), &license).len(), 512);
        assert_eq!(scrub("a\r\nb", &license), "a  b");
    }
}
