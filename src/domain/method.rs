//! The RPCs of the service.

use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// An RPC of `porta.followme.v1.FollowMeService`. Its text form is its name in the contract.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Display, EnumString, IntoStaticStr, VariantArray,
)]
#[expect(missing_docs, reason = "named as the RPCs")]
pub enum Method {
    Add,
    Update,
    Delete,
    Get,
    List,
    ReplaceAll,
}

impl Method {
    /// Returns its name in the contract.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.into()
    }
}
