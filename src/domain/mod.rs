//! Checked types of the follow-me domain: ids, numbers, lists, drafts of numbers, etags, the plan
//! of a replace-all, and the destinations that a caller may forward to.
//!
//! Architecture invariant: this module encodes and decodes nothing (no HTTP, CSV, JSV or proto) and
//! imports no other module.

pub mod check;
mod destination;
mod draft;
mod etag;
mod fields;
mod id;
mod letters;
mod license;
mod method;
mod number;
mod period;
mod reason;
mod replace;

pub use check::Rules;
pub use destination::DestinationPolicy;
pub use draft::{Draft, Violation, Violations};
pub use etag::Etag;
pub use fields::{FIELD_COUNT, Field, FieldSet, Fields, Slot, Value, without_plus};
pub use id::{AccountId, NumberId};
pub use letters::{CallerIdMode, flag_from_letter, flag_letter};
pub use license::License;
pub use method::Method;
pub use number::{List, Number, Settings};
pub use period::check_period;
pub use reason::Reason;
pub use replace::{Desired, Plan, Step};
