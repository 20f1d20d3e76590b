//! Ids of accounts and numbers.

use std::fmt;

/// An account id: a positive 32-bit integer (docs/upstream/domain.md 2).
///
/// Zero and negative ids are never sent to the upstream: all its routes bind one object, and a
/// handler that distinguishes operations by the fields that are set cannot distinguish a read of
/// account 0 from a delete (docs/upstream/domain.md 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountId(i32);

/// The id of a follow-me number: a positive 32-bit integer assigned by the upstream
/// (docs/upstream/domain.md 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NumberId(i32);

macro_rules! id {
    ($name:ident) => {
        impl $name {
            /// Creates an id; `None` unless it is positive.
            #[must_use]
            pub const fn new(id: i32) -> Option<Self> {
                if id > 0 { Some(Self(id)) } else { None }
            }

            /// Returns the id as an integer.
            #[must_use]
            pub const fn value(self) -> i32 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(AccountId);
id!(NumberId);
