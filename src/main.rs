//! Command line of followme.

fn main() {}
