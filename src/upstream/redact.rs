//! Redacts the License and personal data in texts of upstream before they reach a log.

use base64::{Engine as _, prelude::BASE64_STANDARD_NO_PAD as STANDARD_NO_PAD};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::domain::License;

/// The longest text of upstream that reaches a log, in bytes.
const MAX_BYTES: usize = 512;

/// What must not reach a log.
pub(super) struct Sensitive<'a> {
    pub(super) license: &'a License,
    /// Redirect numbers and names of the request.
    pub(super) personal_data: &'a [String],
}

impl Sensitive<'_> {
    /// Iterates over the texts and their replacements.
    fn iter(&self) -> impl Iterator<Item = (&str, &'static str)> {
        // A text without letters and digits identifies nobody.
        let personal = self.personal_data.iter();
        let personal = personal.filter(|text| text.contains(char::is_alphanumeric));
        let personal = personal.map(|text| (&**text, "(personal)"));
        std::iter::once((self.license.expose(), "(license)")).chain(personal)
    }
}

/// How many levels of encoding are decoded to find a secret.
const MAX_ENCODINGS: usize = 4;

/// The longest name or number in an HTML character reference.
const MAX_REFERENCE: usize = 12;

/// How many letters and digits distinguish a License from other text.
const TELLING: usize = 6;

/// Returns at most 512 bytes of a text, with each secret replaced in each form in which upstream
/// was seen to echo it (docs/upstream/wire.md 8): plain, percent-encoded, as a form value, and with
/// its quotes doubled or escaped. If one leaks in another form, nothing of the
/// text is kept. Control characters become spaces.
pub(super) fn redact(text: &str, sensitive: &Sensitive<'_>) -> String {
    // Only a prefix is read, long enough for the encoded forms of a secret.
    let mut clean = prefix(text, MAX_BYTES * 8).to_owned();
    for (plain, instead) in sensitive.iter() {
        for form in forms(plain) {
            clean = replace(&clean, &form, instead);
        }
    }
    if leaks(&clean, sensitive) {
        return "(withheld)".to_owned();
    }
    let clean: String = clean
        .chars()
        .map(|char| if char.is_control() { ' ' } else { char })
        .collect();
    // A secret that is cut by the end of the text is not found above.
    let tail = sensitive
        .iter()
        .flat_map(|(plain, _)| forms(plain))
        .map(|form| longest_tail(&clean, &form))
        .max()
        .unwrap_or(0);
    prefix(&clean[..clean.len() - tail], MAX_BYTES).to_owned()
}

/// Returns whether a text holds a secret in an encoding, or in encodings of encodings. Of the
/// License only letters and digits are compared: there are too many ways to encode the rest.
fn leaks(text: &str, sensitive: &Sensitive<'_>) -> bool {
    let license = letters(sensitive.license.expose());
    let mut decoded = text.to_owned();
    for _ in 0..=MAX_ENCODINGS {
        let spaced = decoded.replace('+', " ");
        let is_there = |plain: &str| {
            find(&decoded, plain, 0)
                .or(find(&spaced, plain, 0))
                .is_some()
        };
        if sensitive.iter().any(|(plain, _)| is_there(plain))
            || license.chars().count() >= TELLING && letters(&decoded).contains(&license)
            || is_in_base64(&decoded, sensitive.license.expose())
        {
            return true;
        }
        let before = decoded;
        decoded = decode(&before);
        if decoded == before {
            break;
        }
    }
    false
}

/// Returns whether a text holds a secret in base64, also as a part of the encoded bytes. The bytes
/// before it shift it by 0 to 2 bytes, so its first and last characters are not compared.
fn is_in_base64(text: &str, plain: &str) -> bool {
    let text = text.replace('-', "+").replace('_', "/");
    (0..3).any(|shift| {
        let encoded = STANDARD_NO_PAD.encode([&[0; 2][..shift], plain.as_bytes()].concat());
        let own = (shift * 8).div_ceil(6)..(shift + plain.len()) * 8 / 6;
        own.len() >= TELLING && text.contains(&encoded[own])
    })
}

/// Returns the letters and digits of a text, in lower case.
fn letters(text: &str) -> String {
    text.chars()
        .filter(|char| char.is_alphanumeric())
        .flat_map(char::to_lowercase)
        .collect()
}

/// Decodes one level of a text: HTML character references, backslash escapes, `%u` escapes,
/// percent encoding. Other text is unchanged.
fn decode(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(['&', '\\', '%']) {
        decoded.push_str(&rest[..at]);
        rest = &rest[at..];
        // Each of the three is one byte long.
        let (char, len) = escaped(rest).unwrap_or((char::from(rest.as_bytes()[0]), 1));
        decoded.push(char);
        rest = &rest[len..];
    }
    decoded.push_str(rest);
    percent_decode_str(&decoded)
        .decode_utf8_lossy()
        .into_owned()
}

/// Reads an escape at the beginning of a text. Returns its character and its length.
fn escaped(text: &str) -> Option<(char, usize)> {
    let number = |digits: &str, radix| {
        let number = u32::from_str_radix(digits, radix).ok();
        number.and_then(char::from_u32)
    };
    let hex =
        |from: usize, len: usize| Some((number(text.get(from..from + len)?, 16)?, from + len));
    if let Some(reference) = text.strip_prefix('&') {
        let (name, _) = prefix(reference, MAX_REFERENCE).split_once(';')?;
        let char = match name.strip_prefix('#') {
            Some(digits) => match digits.strip_prefix(['x', 'X']) {
                Some(digits) => number(digits, 16)?,
                None => number(digits, 10)?,
            },
            None => match name.to_ascii_lowercase().as_str() {
                "amp" => '&',
                "quot" => '"',
                "apos" => '\'',
                "lt" => '<',
                "gt" => '>',
                // No other reference by name is an ASCII letter or digit.
                _ => ' ',
            },
        };
        return Some((char, name.len() + 2));
    }
    match (text.as_bytes().first()?, text.as_bytes().get(1)?) {
        (b'\\' | b'%', b'u' | b'U') => hex(2, 4),
        (b'\\', b'x' | b'X') => hex(2, 2),
        (b'\\', _) => Some((text.chars().nth(1)?, 1 + text.chars().nth(1)?.len_utf8())),
        _ => None,
    }
}

/// Returns the encoded forms of a secret, the longest first: a shorter one may be a part of it.
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

fn replace(text: &str, form: &str, instead: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut from = 0;
    while let Some(at) = find(text, form, from) {
        clean.push_str(&text[from..at]);
        clean.push_str(instead);
        from = at + form.len();
    }
    clean.push_str(&text[from..]);
    clean
}

/// Finds a form of a secret in a text from an offset on, ignoring ASCII case. A form of one or two
/// letters is a part of many words, so it is found only between other characters.
fn find(text: &str, form: &str, from: usize) -> Option<usize> {
    let (lower_text, lower_form) = (text.to_ascii_lowercase(), form.to_ascii_lowercase());
    let is_short = percent_decode_str(form).decode_utf8_lossy().chars().count() <= 2;
    lower_text[from..]
        .match_indices(&lower_form)
        .map(|(at, _)| from + at)
        .find(|at| !is_short || is_isolated(text, *at, *at + form.len()))
}

/// Returns whether neither a letter nor a digit is next to a part of a text. Percent escapes do not
/// count as such.
fn is_isolated(text: &str, from: usize, to: usize) -> bool {
    let before = &text[..from];
    let is_escape = before
        .len()
        .checked_sub(3)
        .and_then(|at| before.get(at..))
        .and_then(|end| end.strip_prefix('%'))
        .is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
    (is_escape || !before.ends_with(char::is_alphanumeric))
        && !text[to..].starts_with(char::is_alphanumeric)
}

/// Returns the length of the longest end of the text that is a beginning of the form, whatever the
/// case of ASCII letters.
fn longest_tail(text: &str, form: &str) -> usize {
    let (text, form) = (text.to_ascii_lowercase(), form.to_ascii_lowercase());
    form.char_indices()
        .map(|(at, char)| at + char.len_utf8())
        .filter(|len| text.ends_with(&form[..*len]))
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
    use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};

    use super::*;

    const MARKER: &str = r#"a+b/c%d"e f"#;

    fn redact(text: &str, license: &License) -> String {
        let personal = ["15550100".to_owned(), "Ann Lee".to_owned()];
        super::redact(
            text,
            &Sensitive {
                license,
                personal_data: &personal,
            },
        )
    }

    #[test]
    fn redacts_numbers_and_names() {
        let license = License::new("SECRET-KEY").unwrap();
        let echo = "/addfollowme/SECRET-KEY/1001/15550100/Ann%20Lee?Name=Ann+Lee&x=ann lee";
        assert_eq!(
            redact(echo, &license),
            "/addfollowme/(license)/1001/(personal)/(personal)?Name=(personal)&x=(personal)"
        );
    }

    #[test]
    fn redacts_the_license_in_every_encoding() {
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
            let clean = redact(&format!("QueryString: License={echo}&x=1"), &license);
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
        assert_eq!(redact("path /x/SECRET-K", &license), "path /x/");
    }

    #[test]
    fn keeps_at_most_512_bytes_of_other_text() {
        let license = License::new("k-0").unwrap();
        assert_eq!(redact(&"é".repeat(4000), &license).len(), 512);
        assert_eq!(redact("a\r\nb", &license), "a  b");
    }

    #[test]
    fn an_encoding_that_no_upstream_was_seen_to_use_is_withheld_too() {
        let license = License::new(r#"Zk9+mQ/7w%5"Q'v4 é"#).unwrap();
        let json = r"Zk9\u002bmQ\/7w\u00255\u0022Q\u0027v4 \u00e9";
        let quoted = r#"Zk9+mQ/7w%5""Q'v4 é"#;
        for echo in [
            r#"Zk9+mQ/7w%5&quot;Q&#39;v4 é"#,
            "Zk9&#43;mQ&#x2f;7w&#37;5&#34;Q&#x27;v4&#32;&#233;",
            "Zk9&#43;mQ&#X2F;7w&percnt;5&#0034;Q&apos;v4&nbsp;é",
            json,
            &json.replace('\\', "\\\\"),
            &json.to_uppercase().replace("\\U", "\\u"),
            r#"Zk9\x2bmQ/7w\x255\"Q\'v4 \xe9"#,
            "Zk9%u002bmQ%u002f7w%u00255%u0022Q%u0027v4%u0020%u00e9",
            "Zk9%2bmQ%2F7w%255%22Q%27v4+%c3%A9",
            "Zk9%252bmQ%252f7w%25255%2522Q%2527v4%2520%25c3%25a9",
            "Zk9%25252bmQ%25252f7w%2525255%252522Q%252527v4%252520%2525c3%2525a9",
            &quoted.replace('"', "\"\""),
            &quoted.replace('"', "&quot;&quot;").replace('&', "&amp;"),
            "ZK9 MQ/7W%5\"Q'V4 \u{c9}",
        ] {
            let clean = redact(&format!("RawUrl: /x/{echo}/1001 and more"), &license);
            assert!(
                clean == "(withheld)" || clean.contains("/x/(license)/1001"),
                "{echo}: {clean}"
            );
        }
    }

    #[test]
    fn a_text_that_holds_the_license_in_base64_is_withheld() {
        let license = License::new(r#"Zk9+mQ/7w%5"Q'v4 é"#).unwrap();
        for before in ["", "x", "xy", "xyz"] {
            let url = format!("{before}{}/1001", license.expose());
            for encoded in [
                BASE64_STANDARD.encode(&url),
                BASE64_URL_SAFE_NO_PAD.encode(&url),
                BASE64_STANDARD.encode(&url).replace('=', "%3D"),
            ] {
                assert_eq!(
                    redact(&format!("token {encoded}, says the host"), &license),
                    "(withheld)"
                );
            }
        }
        let other = BASE64_STANDARD.encode("nothing of it");
        assert_eq!(redact(&other, &license), other);
    }

    #[test]
    fn drops_the_beginning_of_a_license_that_is_encoded_at_the_end_of_a_text() {
        let license = License::new("é+SECRET/KEY").unwrap();
        for cut in [
            "%C3%A9%2BSECRET%2FK",
            "%c3%a9%2bsecret%2",
            "é+SECRET/K",
            "%C3%A9%2",
        ] {
            assert_eq!(
                redact(&format!("path /x/{cut}"), &license),
                "path /x/",
                "{cut}"
            );
        }
    }

    #[test]
    fn redacts_short_names_as_whole_words() {
        let license = License::new("SECRET-KEY").unwrap();
        let personal = ["Al".to_owned(), "é".to_owned(), "-".to_owned()];
        let sensitive = Sensitive {
            license: &license,
            personal_data: &personal,
        };
        assert_eq!(
            super::redact(
                "/add/Al/39?Name=al&x=%C3%A9&y=%20Al: also, All - the end",
                &sensitive
            ),
            "/add/(personal)/39?Name=(personal)&x=(personal)&y=%20(personal): also, All - the end"
        );
    }
}
