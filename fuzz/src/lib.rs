//! What the fuzz targets share.

mod seeds;
mod world;

pub use seeds::{answers, bodies, edit, members};
pub use world::{WORLD, World};
