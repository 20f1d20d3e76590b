//! The text of a period: when a number is used (docs/upstream/domain.md 3).
//!
//! ```text
//! period    = "" | "none" | "always" | subperiod *( "," subperiod )
//! subperiod = 1*( scale "{" range *( blank range ) "}" )
//! range     = value | value "-" value
//! scale     = yr|year mo|month wk|week yd|yday md|mday wd|wday hr|hour min|minute sec|second
//! ```
//!
//! Case does not matter, and blanks are allowed around every word and sign.

use std::{fmt, ops::RangeInclusive};

/// Checks that a period is well formed, and that its values exist.
///
/// It is stricter than the software that evaluates periods, which accepts some texts that never
/// match (docs/upstream/domain.md 3): empty braces, `hr{13am}`, a comma at the end. It is for
/// periods that are written; one that is read may be anything.
///
/// # Errors
/// The first rule that is broken, what to change, and the offset, in bytes and in characters: all
/// text before it is ASCII.
pub fn check_period(text: &str) -> Result<(), String> {
    let trimmed = text.trim_matches(is_blank);
    if ["", "none", "always"]
        .iter()
        .any(|word| trimmed.eq_ignore_ascii_case(word))
    {
        return Ok(());
    }
    let mut parser = Parser { text, position: 0 };
    loop {
        parser.subperiod()?;
        match parser.peek() {
            None => return Ok(()),
            // `subperiod` stops at the end or at a comma.
            Some(_) => parser.position += 1,
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// A unit of time.
struct Scale {
    names: [&'static str; 2],
    /// The values, for people.
    values: &'static str,
    /// Returns whether a word in lower case is a value.
    has: fn(&str) -> bool,
}

static SCALES: [Scale; 9] = [
    Scale {
        names: [YEAR, "year"],
        values: "0 to 99, or 1970 and later",
        has: |word| year(word).is_some(),
    },
    Scale {
        names: ["mo", "month"],
        values: "1 to 12, or jan to dec",
        has: |word| is_name(&MONTHS, 3, word) || is_number(word, 1..=12),
    },
    Scale {
        names: ["wk", "week"],
        values: "1 to 6",
        has: |word| is_number(word, 1..=6),
    },
    Scale {
        names: ["yd", "yday"],
        values: "1 to 366",
        has: |word| is_number(word, 1..=366),
    },
    Scale {
        names: ["md", "mday"],
        values: "1 to 31",
        has: |word| is_number(word, 1..=31),
    },
    Scale {
        names: ["wd", "wday"],
        values: "1 to 7 with 1 for Sunday, or su mo tu we th fr sa",
        has: |word| is_name(&WEEK_DAYS, 2, word) || is_number(word, 1..=7),
    },
    Scale {
        names: ["hr", "hour"],
        values: "0 to 23, or 12am 1am to 11am 12noon 12pm 1pm to 11pm",
        has: |word| is_clock(word) || is_number(word, 0..=23),
    },
    Scale {
        names: ["min", "minute"],
        values: "0 to 59",
        has: |word| is_number(word, 0..=59),
    },
    Scale {
        names: ["sec", "second"],
        values: "0 to 59",
        has: |word| is_number(word, 0..=59),
    },
];

/// The scale whose ranges do not wrap.
const YEAR: &str = "yr";

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEK_DAYS: [&str; 7] = ["su", "mo", "tu", "we", "th", "fr", "sa"];

impl Scale {
    fn of_name(name: &str) -> Option<&'static Self> {
        let name = name.to_ascii_lowercase();
        SCALES
            .iter()
            .find(|scale| scale.names.contains(&name.as_str()))
    }
}

/// Parses a year; one of two digits is of this century.
fn year(word: &str) -> Option<u32> {
    match number(word)? {
        year @ 0..=99 => Some(2000 + year),
        year @ 1970.. => Some(year),
        _ => None,
    }
}

/// Compares the first letters, the only ones that count: `mon` and `monday` are `mo`.
fn is_name(names: &[&str], significant: usize, word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase())
        && word
            .get(..significant)
            .is_some_and(|start| names.contains(&start))
}

fn is_clock(word: &str) -> bool {
    word == "12noon"
        || word
            .strip_suffix("am")
            .or_else(|| word.strip_suffix("pm"))
            .is_some_and(|hours| is_number(hours, 1..=12))
}

fn is_number(word: &str, values: RangeInclusive<u32>) -> bool {
    number(word).is_some_and(|number| values.contains(&number))
}

fn number(word: &str) -> Option<u32> {
    // `parse` accepts a sign as well.
    if word.bytes().all(|byte| byte.is_ascii_digit()) {
        word.parse().ok()
    } else {
        None
    }
}

const SEMICOLON: &str = "semicolon: separate sub-periods with a comma, values with a blank";
const INCOMPLETE_RANGE: &str = "a range has two ends, as in 9-17";

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Parser<'a> {
    /// Skips blanks, and returns the next byte.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t') = bytes.get(self.position) {
            self.position += 1;
        }
        bytes.get(self.position).copied()
    }

    /// Consumes a run of ASCII letters and digits, maybe empty.
    fn word(&mut self) -> &'a str {
        let rest = &self.text[self.position..];
        let length = rest
            .bytes()
            .position(|byte| !byte.is_ascii_alphanumeric())
            .unwrap_or(rest.len());
        self.position += length;
        &rest[..length]
    }

    fn error<T>(&self, rule: impl fmt::Display) -> Result<T, String> {
        Err(format!("{rule} (at offset {})", self.position))
    }

    /// Parses one or more scales, up to a comma or the end.
    fn subperiod(&mut self) -> Result<(), String> {
        if matches!(self.peek(), None | Some(b',')) {
            // The original accepts a comma at the end.
            return self.error("comma without a sub-period on both sides: remove it");
        }
        while !matches!(self.peek(), None | Some(b',')) {
            self.scale()?;
        }
        Ok(())
    }

    fn scale(&mut self) -> Result<(), String> {
        match self.peek() {
            Some(b'}') => return self.error("closing brace without an opening one: remove it"),
            Some(b';') => return self.error(SEMICOLON),
            _ => {}
        }
        let start = self.position;
        let Some(scale) = Scale::of_name(self.word()) else {
            self.position = start;
            return self.error("unknown scale: write one of yr, mo, wk, yd, md, wd, hr, min, sec");
        };
        if self.peek() != Some(b'{') {
            return self.error("a scale needs its values in braces, as in hr{9-17}");
        }
        let opening = self.position;
        self.position += 1;
        if self.peek() == Some(b'}') {
            // The original accepts that, and never matches.
            self.position = opening;
            return self.error("empty braces: give a value, or leave the scale out");
        }
        while self.peek() != Some(b'}') {
            self.range(scale, opening)?;
        }
        self.position += 1;
        Ok(())
    }

    fn range(&mut self, scale: &Scale, opening: usize) -> Result<(), String> {
        let start = self.position;
        let first = self.value(scale, opening)?;
        if self.peek() != Some(b'-') {
            return Ok(());
        }
        self.position += 1;
        if matches!(self.peek(), Some(b'}' | b'-')) {
            return self.error(INCOMPLETE_RANGE);
        }
        // A second sign, as in `9-12-17`, fails as the start of the next range.
        let last = self.value(scale, opening)?;
        if scale.names[0] == YEAR && year(first) > year(last) {
            // Years do not wrap; the original swaps the two silently.
            self.position = start;
            return self.error("a range of years does not wrap: write the earlier year first");
        }
        Ok(())
    }

    fn value(&mut self, scale: &Scale, opening: usize) -> Result<&'a str, String> {
        match self.peek() {
            None | Some(b'{') => {
                self.position = opening;
                return self.error("unclosed brace: close it with } before the next scale");
            }
            Some(b',') => {
                return self.error("comma between braces: separate values with a blank");
            }
            Some(b';') => return self.error(SEMICOLON),
            Some(b'-') => return self.error(INCOMPLETE_RANGE),
            _ => {}
        }
        let start = self.position;
        let word = self.word();
        if !(scale.has)(&word.to_ascii_lowercase()) {
            // The original accepts some hours that do not exist.
            self.position = start;
            return self.error(format_args!(
                "not a value of this scale: write {}",
                scale.values
            ));
        }
        Ok(word)
    }
}
