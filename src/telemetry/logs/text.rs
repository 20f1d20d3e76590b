//! Texts of log lines, in which nothing can forge a line or control a terminal.

use std::fmt;

/// Appends to the content of a JSON string, and escapes what it writes: what JSON asks for, and the
/// characters that control a terminal, which JSON alone leaves in.
pub(super) struct Json<'a>(pub(super) &'a mut String);

impl fmt::Write for Json<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if text.bytes().all(plain) {
            self.0.push_str(text);
            return Ok(());
        }
        for char in text.chars() {
            match char {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                char if is_control(char) => {
                    fmt::write(self.0, format_args!("\\u{:04x}", u32::from(char)))?
                }
                char => self.0.push(char),
            }
        }
        Ok(())
    }
}

/// Returns whether a character can control a terminal, start a line, or change the direction of the
/// text. All of these have at most four hexadecimal digits.
fn is_control(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Writes a text as one line, so that a value cannot forge a second one.
pub(super) fn one_line(text: &str) -> String {
    text.chars()
        .map(|char| if is_control(char) { ' ' } else { char })
        .collect()
}

/// Writes a text as one word, in quotes where it is needed.
pub(super) fn word(text: &str) -> String {
    let plain = |char: char| !is_control(char) && !char.is_whitespace() && char != '"';
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("{text:?}")
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use serde_json::Value;

    use super::*;

    fn json(text: &str) -> String {
        let mut line = "\"".to_owned();
        Json(&mut line).write_str(text).unwrap();
        line + "\""
    }

    #[test]
    fn a_text_cannot_forge_a_line_or_a_field() {
        assert_eq!(one_line("a\nb"), "a b");
        assert_eq!(word("15550100"), "15550100");
        assert_eq!(word("a b=\n"), r#""a b=\n""#);
        assert_eq!(word(""), r#""""#);
        assert_eq!(json("a\",\"b\":\"\\"), r#""a\",\"b\":\"\\""#);
    }

    #[test]
    fn a_text_cannot_control_a_terminal_or_change_its_direction() {
        let evil = "a\u{1b}[2Jb\u{9b}31mc\u{7f}d\u{202e}e\u{2066}f\u{2028}g\0\u{8}\r\n\t";
        for line in [word(evil), one_line(evil), json(evil)] {
            let bad = |char: &char| char.is_control() || "\u{202e}\u{2066}\u{2028}".contains(*char);
            assert_eq!(line.chars().find(bad), None, "{line:?}");
        }
        let read: Value = serde_json::from_str(&json(evil)).unwrap();
        assert_eq!(read, evil);
        assert_eq!(json("日本 é"), r#""日本 é""#);
    }
}
