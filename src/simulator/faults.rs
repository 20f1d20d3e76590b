//! Faults on demand: which calls they hit, and which have fired.

use serde::{Deserialize, Serialize};

use super::{fault_kind::FaultKind, routing::Route};

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
    pub fn times(mut self, count: u32) -> Self {
        self.count = count;
        self
    }

    /// Lets the first `skip` matching calls pass.
    #[must_use]
    pub fn after(mut self, skip: u32) -> Self {
        self.skip = skip;
        self
    }
}

/// A fault that acted.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FiredFault {
    /// The sequence number of the request that it hit.
    pub request: u64,
    /// What happened.
    pub kind: FaultKind,
}

/// The armed faults in the order of their arming.
#[derive(Debug, Default)]
pub(crate) struct ArmedFaults(Vec<Fault>);

impl ArmedFaults {
    pub(crate) fn arm(&mut self, fault: Fault) {
        if fault.count > 0 {
            self.0.push(fault);
        }
    }

    pub(crate) fn disarm_all(&mut self) {
        self.0.clear();
    }

    pub(crate) fn armed(&self) -> &[Fault] {
        &self.0
    }

    /// Takes the fault that hits a call, if any.
    pub(crate) fn take(&mut self, route: Route, account: i32) -> Option<FaultKind> {
        let at = self.0.iter_mut().position(|fault| {
            let matches = fault.route.is_none_or(|wanted| wanted == route)
                && fault.account.is_none_or(|wanted| wanted == account);
            if matches && fault.skip > 0 {
                fault.skip -= 1;
                return false;
            }
            matches
        })?;
        let fault = self.0.get_mut(at)?;
        fault.count -= 1;
        let kind = fault.kind.clone();
        if fault.count == 0 {
            self.0.remove(at);
        }
        Some(kind)
    }
}
