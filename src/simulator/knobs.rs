//! The unknowns of a live host, as knobs.

use serde::{Deserialize, Serialize};
use strum::{EnumIter, EnumMessage, IntoStaticStr};

use super::{reference::Values, store::StoredNumber};

/// Declares the knobs once, for the struct, its defaults and the reference.
macro_rules! knobs {
    ($($(#[doc = $doc:literal])+ $name:ident: $type:ty = $default:expr;)+) => {
        /// The unknowns of a live host (docs/upstream/domain.md 6); the defaults are the likeliest
        /// guesses.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Knobs {
            $($(#[doc = $doc])+ pub $name: $type,)+
        }

        impl Default for Knobs {
            fn default() -> Self {
                Self { $($name: $default,)+ }
            }
        }

        /// Returns the name, the documentation and the values of each knob.
        pub(crate) fn documented() -> Vec<(&'static str, &'static str, String)> {
            vec![$((stringify!($name), concat!($($doc),+), <$type>::values()),)+]
        }
    };
}

knobs! {
    /// The scope of `UpdateFollowmeAll`.
    update_all: UpdateAll = UpdateAll::One;
    /// Whether reads answer `success` True; some services leave it False on reads.
    reads_say_success: bool = true;
    /// What a write answers with.
    write_answer: WriteAnswer = WriteAnswer::List;
    /// Whether a GET update blanks the fields that the request did not carry.
    update_resets_unseen: bool = false;
    /// Whether the GET handlers use properties that the route's path does not carry.
    /// The framework binds them in any case (docs/upstream/wire.md 6); a handler may ignore them.
    query_values: bool = true;
    /// What the 4-value delete with True does besides deleting.
    delete_forward: DeleteForward = DeleteForward::Nothing;
    /// Whether an empty list is answered as a null one (an empty field instead of `[]`).
    empty_list_is_null: bool = false;
    /// Overrides whether `text/csv` bodies are read: null follows the dialect (v3 no, v4 yes).
    reads_csv_bodies: Option<bool> = None;
    /// Cuts a name that is stored to this many characters.
    name_limit: Option<usize> = None;
    /// Whether a run of blanks in a stored text becomes one, and blanks at its ends are removed.
    folds_blanks: bool = false;
    /// Whether a stored redirect number loses its `-`.
    drops_dashes: bool = false;
    /// The domain that a number gets when a write leaves it without one.
    default_domain: Option<String> = None;
    /// How many reads of an account after a write still show its list as before the write.
    lag_reads: u32 = 0;
    /// For how many milliseconds after a write reads still show the list as before it.
    lag_ms: u64 = 0;
    /// Whether a hop in front writes the standard reason phrase instead of the service's own
    /// (docs/upstream/wire.md 12.4).
    standard_reasons: bool = false;
}

impl Knobs {
    /// Changes a number as the host does when it stores it.
    pub(crate) fn normalise(&self, number: &mut StoredNumber) {
        if self.folds_blanks {
            let (period, description) = (&mut number.period, &mut number.period_description);
            let texts = [&mut number.name, &mut number.domain, period, description];
            for text in texts.into_iter().flatten() {
                *text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            }
        }
        if let (Some(limit), Some(name)) = (self.name_limit, &mut number.name) {
            *name = name.chars().take(limit).collect();
        }
        if let (true, Some(redirect)) = (self.drops_dashes, &mut number.redirect_number) {
            redirect.retain(|char| char != '-');
        }
        if let (Some(domain), None | Some("")) = (&self.default_domain, number.domain.as_deref()) {
            number.domain = Some(domain.clone());
        }
    }
}

/// The scope of `UpdateFollowmeAll` (docs/upstream/domain.md 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum UpdateAll {
    /// Writes all fields of the one number that the id names.
    #[default]
    One,
    /// Gives every number of the account these fields.
    Every,
    /// Takes the CSV records as the whole list: it matches ids, adds those with id 0, and deletes
    /// the missing ones.
    List,
    /// Says success and does nothing.
    Nothing,
}

/// What a write answers with (docs/upstream/domain.md 6.5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum WriteAnswer {
    /// The whole list after the write.
    #[default]
    List,
    /// No list: an empty field.
    Null,
    /// Only the number concerned; after a delete, an empty list.
    Changed,
}

/// What the 4-value delete with True does besides deleting (docs/upstream/domain.md 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[derive(EnumIter, EnumMessage, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum DeleteForward {
    /// Nothing: the flag is what makes it a delete.
    #[default]
    Nothing,
    /// Turns the account's forwarding off, which no answer shows.
    TurnsForwardingOff,
}
