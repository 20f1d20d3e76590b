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

use std::ops::RangeInclusive;

/// The rule that a period breaks, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{rule} (at offset {position})")]
pub struct PeriodError {
    rule: PeriodRule,
    position: usize,
}

impl PeriodError {
    /// Returns the rule that is broken.
    #[must_use]
    pub fn rule(&self) -> PeriodRule {
        self.rule
    }

    /// Returns the offset of the error, in bytes and in characters: all text before it is ASCII.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

/// A rule of the period grammar. Its text tells what to change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodRule {
    /// A word before a brace is none of the nine scales.
    #[error("unknown scale: write one of yr, mo, wk, yd, md, wd, hr, min, sec")]
    UnknownScale,
    /// A scale is not followed by its values.
    #[error("a scale needs its values in braces, as in hr{{9-17}}")]
    ExpectedBrace,
    /// Braces hold no value. The original accepts that, and never matches.
    #[error("empty braces: give a value, or leave the scale out")]
    EmptyBraces,
    /// An opening brace has no closing one, or holds another opening one.
    #[error("unclosed brace: close it with }} before the next scale")]
    UnclosedBrace,
    /// A closing brace has no opening one.
    #[error("closing brace without an opening one: remove it")]
    UnopenedBrace,
    /// There is a comma between braces.
    #[error("comma between braces: separate values with a blank")]
    CommaInBraces,
    /// A sub-period is missing before or after a comma. The original accepts a comma at the end.
    #[error("comma without a sub-period on both sides: remove it")]
    ExpectedSubperiod,
    /// A semicolon, which the grammar does not have.
    #[error("semicolon: separate sub-periods with a comma, values with a blank")]
    Semicolon,
    /// A value that its scale does not have. The original accepts some hours that do not exist.
    #[error("not a value of this scale: write {0}")]
    InvalidValue(&'static str),
    /// A range lacks its end, or has more than two.
    #[error("a range has two ends, as in 9-17")]
    IncompleteRange,
    /// A range of years goes backwards. Years do not wrap; the original swaps the two silently.
    #[error("a range of years does not wrap: write the earlier year first")]
    ReversedYears,
}

/// Checks that a period is well formed, and that its values exist.
///
/// It is stricter than the software that evaluates periods, which accepts some texts that never
/// match (docs/upstream/domain.md 3): empty braces, `hr{13am}`, a comma at the end. It is for
/// periods that are written; one that is read may be anything.
///
/// # Errors
/// The first rule that is broken, and where.
pub fn check_period(text: &str) -> Result<(), PeriodError> {
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

    fn error<T>(&self, rule: PeriodRule) -> Result<T, PeriodError> {
        Err(PeriodError {
            rule,
            position: self.position,
        })
    }

    /// Parses one or more scales, up to a comma or the end.
    fn subperiod(&mut self) -> Result<(), PeriodError> {
        if matches!(self.peek(), None | Some(b',')) {
            return self.error(PeriodRule::ExpectedSubperiod);
        }
        while !matches!(self.peek(), None | Some(b',')) {
            self.scale()?;
        }
        Ok(())
    }

    fn scale(&mut self) -> Result<(), PeriodError> {
        match self.peek() {
            Some(b'}') => return self.error(PeriodRule::UnopenedBrace),
            Some(b';') => return self.error(PeriodRule::Semicolon),
            _ => {}
        }
        let start = self.position;
        let Some(scale) = Scale::of_name(self.word()) else {
            self.position = start;
            return self.error(PeriodRule::UnknownScale);
        };
        if self.peek() != Some(b'{') {
            return self.error(PeriodRule::ExpectedBrace);
        }
        let opening = self.position;
        self.position += 1;
        if self.peek() == Some(b'}') {
            self.position = opening;
            return self.error(PeriodRule::EmptyBraces);
        }
        while self.peek() != Some(b'}') {
            self.range(scale, opening)?;
        }
        self.position += 1;
        Ok(())
    }

    fn range(&mut self, scale: &Scale, opening: usize) -> Result<(), PeriodError> {
        let start = self.position;
        let first = self.value(scale, opening)?;
        if self.peek() != Some(b'-') {
            return Ok(());
        }
        self.position += 1;
        if matches!(self.peek(), Some(b'}' | b'-')) {
            return self.error(PeriodRule::IncompleteRange);
        }
        // A second sign, as in `9-12-17`, fails as the start of the next range.
        let last = self.value(scale, opening)?;
        if scale.names[0] == YEAR && year(first) > year(last) {
            self.position = start;
            return self.error(PeriodRule::ReversedYears);
        }
        Ok(())
    }

    fn value(&mut self, scale: &Scale, opening: usize) -> Result<&'a str, PeriodError> {
        match self.peek() {
            None | Some(b'{') => {
                self.position = opening;
                return self.error(PeriodRule::UnclosedBrace);
            }
            Some(b',') => return self.error(PeriodRule::CommaInBraces),
            Some(b';') => return self.error(PeriodRule::Semicolon),
            Some(b'-') => return self.error(PeriodRule::IncompleteRange),
            _ => {}
        }
        let start = self.position;
        let word = self.word();
        if !(scale.has)(&word.to_ascii_lowercase()) {
            self.position = start;
            return self.error(PeriodRule::InvalidValue(scale.values));
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests;
