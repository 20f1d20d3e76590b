//! The text of a period: when a number is used (docs/upstream/domain.md 3).
//!
//! ```text
//! period    = "" | "none" | "always" | subperiod *( "," subperiod )
//! subperiod = 1*( scale "{" range *( blank range ) "}" )
//! range     = value | value "-" value
//! scale     = yr|year mo|month wk|week yd|yday md|mday wd|wday hr|hour min|minute sec|second
//! ```
//!
//! Case does not matter, and blanks may stand around every word and sign.

use std::ops::RangeInclusive;

/// What is wrong with a period, and where.
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

    /// Returns the offset where the fault was found, in bytes and in characters: everything
    /// before it is ASCII.
    #[must_use]
    pub fn position(&self) -> usize {
        self.position
    }
}

/// A rule of the period grammar; its text says what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeriodRule {
    /// A word before a brace is none of the nine scales.
    #[error("unknown scale: write one of yr, mo, wk, yd, md, wd, hr, min, sec")]
    UnknownScale,
    /// A scale is not followed by its values.
    #[error("a scale needs its values in braces, as in hr{{9-17}}")]
    ExpectedBrace,
    /// Braces hold no value. The original takes that and then never matches.
    #[error("empty braces: give a value, or leave the scale out")]
    EmptyBraces,
    /// An opening brace has no closing one, or holds another opening one.
    #[error("unclosed brace: close it with }} before the next scale")]
    UnclosedBrace,
    /// A closing brace has no opening one.
    #[error("closing brace without an opening one: remove it")]
    UnopenedBrace,
    /// A comma stands between braces.
    #[error("comma between braces: separate values with a blank")]
    CommaInBraces,
    /// Nothing stands before or after a comma. The original takes a comma at the end.
    #[error("comma without a sub-period on both sides: remove it")]
    ExpectedSubperiod,
    /// A semicolon, which is no sign of this language.
    #[error("semicolon: separate sub-periods with a comma, values with a blank")]
    Semicolon,
    /// A value that its scale does not have. The original takes some hours that do not exist.
    #[error("not a value of this scale: write {0}")]
    InvalidValue(&'static str),
    /// A range lacks its end, or has more than two.
    #[error("a range has two ends, as in 9-17")]
    IncompleteRange,
    /// A range of years goes backwards. Years do not wrap; the original swaps the two silently.
    #[error("a range of years does not wrap: write the earlier year first")]
    ReversedYears,
}

/// Checks that a period is well-formed and can ever apply, as far as its text tells.
///
/// Stricter than the software that evaluates periods where that takes a text and means nothing
/// by it (docs/upstream/domain.md 3): empty braces, `hr{13am}`, a comma at the end. For what is to
/// be written only: what is read may be anything.
///
/// # Errors
/// The first fault, with its place.
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
            // `subperiod` goes on for as long as there is anything else.
            Some(_) => parser.position += 1,
        }
    }
}

fn is_blank(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// One of the nine units of time.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scale {
    Year,
    Month,
    Week,
    YearDay,
    MonthDay,
    WeekDay,
    Hour,
    Minute,
    Second,
}

const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
const WEEK_DAYS: [&str; 7] = ["su", "mo", "tu", "we", "th", "fr", "sa"];

impl Scale {
    fn from_name(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "yr" | "year" => Self::Year,
            "mo" | "month" => Self::Month,
            "wk" | "week" => Self::Week,
            "yd" | "yday" => Self::YearDay,
            "md" | "mday" => Self::MonthDay,
            "wd" | "wday" => Self::WeekDay,
            "hr" | "hour" => Self::Hour,
            "min" | "minute" => Self::Minute,
            "sec" | "second" => Self::Second,
            _ => return None,
        })
    }

    /// The values of the scale, for people.
    fn values(self) -> &'static str {
        match self {
            Self::Year => "0 to 99, or 1970 and later",
            Self::Month => "1 to 12, or jan to dec",
            Self::Week => "1 to 6",
            Self::YearDay => "1 to 366",
            Self::MonthDay => "1 to 31",
            Self::WeekDay => "1 to 7 with 1 for Sunday, or su mo tu we th fr sa",
            Self::Hour => "0 to 23, or 12am 1am to 11am 12noon 12pm 1pm to 11pm",
            Self::Minute | Self::Second => "0 to 59",
        }
    }

    /// Says whether the scale has a value of this name.
    fn has(self, word: &str) -> bool {
        let word = word.to_ascii_lowercase();
        match self {
            Self::Year => year(&word).is_some(),
            Self::Month => is_name(&MONTHS, 3, &word) || is_number(&word, 1..=12),
            Self::Week => is_number(&word, 1..=6),
            Self::YearDay => is_number(&word, 1..=366),
            Self::MonthDay => is_number(&word, 1..=31),
            Self::WeekDay => is_name(&WEEK_DAYS, 2, &word) || is_number(&word, 1..=7),
            Self::Hour => is_clock(&word) || is_number(&word, 0..=23),
            Self::Minute | Self::Second => is_number(&word, 0..=59),
        }
    }
}

/// Reads a year; one of two digits is of the current century.
fn year(word: &str) -> Option<u32> {
    match number(word)? {
        year @ 0..=99 => Some(2000 + year),
        year @ 1970.. => Some(year),
        _ => None,
    }
}

/// Looks at the first letters, the only ones that count: `mon` and `monday` are `mo`.
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
    // `parse` takes a sign as well.
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
    /// Skips blanks and looks at what follows.
    fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        while let Some(b' ' | b'\t') = bytes.get(self.position) {
            self.position += 1;
        }
        bytes.get(self.position).copied()
    }

    /// Takes a run of ASCII letters and digits, maybe none.
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

    /// Reads one or more scales, up to a comma or the end.
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
        let Some(scale) = Scale::from_name(self.word()) else {
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

    fn range(&mut self, scale: Scale, opening: usize) -> Result<(), PeriodError> {
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
        if scale == Scale::Year && year(first) > year(last) {
            self.position = start;
            return self.error(PeriodRule::ReversedYears);
        }
        Ok(())
    }

    fn value(&mut self, scale: Scale, opening: usize) -> Result<&'a str, PeriodError> {
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
        if !scale.has(word) {
            self.position = start;
            return self.error(PeriodRule::InvalidValue(scale.values()));
        }
        Ok(word)
    }
}

#[cfg(test)]
mod tests;
