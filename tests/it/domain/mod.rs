//! The checks of the domain, each rule with the text that a caller reads.

mod check;
mod destination;
mod period;
