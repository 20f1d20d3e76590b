//! The judge finds what it is there for.
