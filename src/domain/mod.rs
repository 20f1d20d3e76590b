//! Checked types of the follow-me domain; knows no wire, proto or HTTP.

pub mod check;
pub mod period;
