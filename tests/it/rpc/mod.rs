//! The six RPCs: what each does, its values, its errors.

mod add;
mod delete;
mod errors;
mod reads;
mod replace_all;
mod update;
mod values;
