//! Checked types of the follow-me domain: ids, numbers, lists, drafts of numbers, etags, the plan
//! of a replace-all, and the destinations that a caller may forward to.
//!
//! Architecture invariant: this room knows no wire, no proto and no HTTP, and imports no other room.

pub mod check;
mod destination;
mod draft;
mod etag;
mod id;
mod license;
mod method;
mod number;
mod period;
mod reason;
mod replace;

pub use destination::DestinationPolicy;
pub use draft::{Draft, Rules, UncheckedDuration, Violation, Violations};
pub use etag::Etag;
pub use id::{AccountId, NumberId};
pub use license::License;
pub use method::Method;
pub use number::{
    CallerIdMode, Field, FieldSet, Fields, List, Number, Settings, flag_from_letter, flag_letter,
    without_plus,
};
pub use period::check_period;
pub use reason::Reason;
pub use replace::{Desired, Plan, Step};
