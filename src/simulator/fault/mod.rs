//! Faults on demand: which calls they hit, and which have fired.

pub(crate) mod effects;
mod kind;

use serde::{Deserialize, Serialize};

pub(crate) use kind::{Behaviour, Run};
pub use kind::{FaultKind, HangAt, Odd, Unasked, When};

use super::framework::Route;

/// Arms one kind of fault for a number of calls that match.
///
/// Only calls that reach the service match: a request that is refused before uses up no fault.
/// Of several armed faults the first that matches acts, one for each call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// The operation; None is every one.
    #[serde(default)]
    pub route: Option<Route>,
    /// The account, for a delete the owner of the number; None is every one.
    #[serde(default)]
    pub account: Option<i32>,
    /// How many calls it hits before it is spent.
    #[serde(default = "once")]
    pub count: u32,
    /// How many matching calls pass unharmed first.
    #[serde(default)]
    pub skip: u32,
    /// What happens.
    pub kind: FaultKind,
}

fn once() -> u32 {
    1
}

impl Fault {
    /// Makes a fault that hits the next call of any operation, once.
    #[must_use]
    pub fn once(kind: FaultKind) -> Self {
        Self {
            route: None,
            account: None,
            count: 1,
            skip: 0,
            kind,
        }
    }

    /// Limits the fault to one operation.
    #[must_use]
    pub fn on(mut self, route: Route) -> Self {
        self.route = Some(route);
        self
    }

    /// Limits the fault to one account.
    #[must_use]
    pub fn for_account(mut self, account: i32) -> Self {
        self.account = Some(account);
        self
    }

    /// Lets the fault hit `count` calls.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self { count, ..self }
    }

    /// Lets the first `skip` matching calls pass.
    #[must_use]
    pub fn after(self, skip: u32) -> Self {
        Self { skip, ..self }
    }

    /// Returns whether the fault hits a call; counts the matching calls that pass.
    fn hits(&mut self, route: Route, account: i32) -> bool {
        let matches = self.route.is_none_or(|wanted| wanted == route)
            && self.account.is_none_or(|wanted| wanted == account);
        if matches && self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        matches
    }
}

/// Takes the fault that hits a call from those that are armed, if any.
pub(crate) fn take(armed: &mut Vec<Fault>, route: Route, account: i32) -> Option<FaultKind> {
    let fault = armed
        .iter_mut()
        .find_map(|fault| fault.hits(route, account).then_some(fault))?;
    fault.count -= 1;
    let kind = fault.kind.clone();
    armed.retain(|fault| fault.count > 0);
    Some(kind)
}

/// A fault that acted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiredFault {
    /// The sequence number of the request that it hit.
    pub request: u64,
    /// What happened.
    pub kind: FaultKind,
}
