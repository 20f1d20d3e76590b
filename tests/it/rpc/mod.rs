//! The six RPCs: what each does, its values, its errors.

mod add;
mod bad_responses;
mod bounds;
mod context;
mod delete;
mod errors;
mod protocol;
mod reads;
mod reflection;
mod replace_all;
mod replace_all_steps;
mod update;
mod update_unapplied;
mod values;
