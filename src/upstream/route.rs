//! The routes of the metadata page.

/// A route of the metadata page. The 8-value add is left out: upstream always answers it with 400
/// (docs/upstream/wire.md 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "see the template of each")]
pub enum Route {
    List,
    Get,
    Add7,
    Add9,
    Update8,
    Update9,
    UpdateAll,
    Delete2,
    Delete4,
}

impl Route {
    /// All routes, in the order of the page.
    pub(super) const ALL: [Self; 9] = [
        Self::Add9,
        Self::Add7,
        Self::Update9,
        Self::Update8,
        Self::UpdateAll,
        Self::Delete2,
        Self::Delete4,
        Self::Get,
        Self::List,
    ];

    /// Returns the route as the metadata page writes it: the `url.template` of telemetry.
    #[must_use]
    pub fn template(self) -> &'static str {
        match self {
            Self::List => "/getfollowmes/{License}/{IAccount}",
            Self::Get => "/getafollowme/{License}/{IAccount}/{IFollowMeNumber}",
            Self::Add7 => {
                "/addfollowme/{License}/{IAccount}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}"
            }
            Self::Add9 => {
                "/addfollowme/{License}/{IAccount}/{TimeOut}/{Domain}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}/{KeepOriginalCld}"
            }
            Self::Update8 => {
                "/updatefollowme/{License}/{IAccount}/{IFollowMeNumber}/{TimeOut}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}"
            }
            Self::Update9 => {
                "/updatefollowme/{License}/{IAccount}/{IFollowMeNumber}/{TimeOut}/{Domain}/{Name}/{FollowMeOrder}/{RedirectNumber}/{Active}"
            }
            Self::UpdateAll => "/UpdateFollowmeAll",
            Self::Delete2 => "/deletefollowme/{License}/{IFollowMeNumber}",
            Self::Delete4 => {
                "/deletefollowme/{License}/{IFollowMeNumber}/{IAccount}/{isDeleteForward}"
            }
        }
    }

    /// Returns the HTTP method.
    #[must_use]
    pub fn method(self) -> &'static str {
        match self {
            Self::UpdateAll => "POST",
            _ => "GET",
        }
    }

    /// Returns whether the route changes data.
    #[must_use]
    pub fn writes(self) -> bool {
        !matches!(self, Self::List | Self::Get)
    }

    /// Returns the first segment of the path, and the names of the properties in the others.
    pub(super) fn segments(self) -> (&'static str, impl Iterator<Item = &'static str>) {
        let path = self.template().trim_start_matches('/');
        let (literal, properties) = path.split_once('/').unwrap_or((path, ""));
        let properties = properties.split('/').filter(|name| !name.is_empty());
        (
            literal,
            properties.map(|name| name.trim_matches(['{', '}'])),
        )
    }
}
