//! The letters by which the upstream writes flags and modes (docs/upstream/wire.md 6).

/// Which caller id the destination of a forwarded call sees (docs/upstream/domain.md 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::EnumString, strum::IntoStaticStr)]
pub enum CallerIdMode {
    /// The caller's number and name: `Y`.
    #[strum(serialize = "Y")]
    CallerNumberAndName,
    /// The caller's number with the forwarder's name: `I`.
    #[strum(serialize = "I")]
    CallerNumber,
    /// The forwarder's number and name: `N`.
    #[strum(serialize = "N")]
    Forwarder,
}

impl CallerIdMode {
    /// Returns the upstream's letter for the mode.
    #[must_use]
    pub fn letter(self) -> &'static str {
        self.into()
    }

    /// Returns the mode of a letter; `None` for any other text.
    #[must_use]
    pub fn from_letter(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Returns the upstream's letter for a flag: `Y` or `N`.
#[must_use]
pub fn flag_letter(flag: bool) -> &'static str {
    if flag { "Y" } else { "N" }
}

/// Returns the flag of a letter, `Y` or `N`; `None` for any other text.
#[must_use]
pub fn flag_from_letter(text: &str) -> Option<bool> {
    match text {
        "Y" => Some(true),
        "N" => Some(false),
        _ => None,
    }
}
