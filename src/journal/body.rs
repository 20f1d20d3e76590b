//! What a write record holds.

/// The version of the body that this release writes.
pub const VERSION: u32 = 1;

/// What a write record holds.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Body {
    /// The version of the release that wrote it.
    #[prost(uint32, tag = "1")]
    pub version: u32,
}
