//! The service behind the framework: what each operation does to the store (docs/upstream/domain.md
//! 2, 4).
//!
//! The real handlers are unknown. These do what the routes most probably mean; the knobs turn them.
//! An integer of 0 cannot be told from one that was not given, so an order or timeout of 0 is stored
//! as unset.

use serde::{Deserialize, Serialize};

use super::bound::{Bound, Property as P};
use super::options::{DeleteForward, Knobs, UpdateAll, WriteAnswer};
use super::routing::Route;
use super::store::{Settings, Store, StoredNumber};

/// Names what a request did to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// A number was added.
    Add,
    /// A number was written, also when nothing changed by it.
    Update,
    /// A number was deleted.
    Delete,
    /// The account's forwarding was turned off.
    ForwardingOff,
}

/// Holds one change of the store.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: EffectKind,
    pub(crate) account: i32,
    pub(crate) id: i32,
    pub(crate) before: Option<StoredNumber>,
    pub(crate) after: Option<StoredNumber>,
}

/// Holds one call of the service: the operation and what was bound for it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    /// The properties in the route's path; None where there is no route, on a predefined path.
    pub(crate) path: Option<&'static [P]>,
    pub(crate) bound: Bound,
    /// The records behind the first one of a CSV body; the framework drops them.
    pub(crate) more: Vec<Bound>,
}

/// Holds what the service answers, and the account that the answer is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) account: i32,
    pub(crate) numbers: Option<Vec<StoredNumber>>,
    pub(crate) settings: Option<Settings>,
    pub(crate) changes: Vec<Change>,
}

impl Call {
    /// Returns the account that the call is about: the one bound, but for a delete the owner of the
    /// number, since a delete needs no account and none of the License's is refused.
    pub(crate) fn account(&self, store: &Store) -> i32 {
        let license = self.bound.license.as_deref().unwrap_or_default();
        let owner = match self.route {
            Route::Delete => store.owner(license, self.bound.number),
            _ => None,
        };
        owner.unwrap_or(self.bound.account)
    }
}

/// Runs one call. `any_license` makes an account exist as soon as it is named.
pub(crate) fn run(store: &mut Store, call: &Call, knobs: &Knobs, any_license: bool) -> Outcome {
    let bound = match call.path {
        Some(path) if !knobs.query_values && call.route != Route::UpdateAll => {
            call.bound.only(path)
        }
        _ => call.bound.clone(),
    };
    let license = bound.license.clone().unwrap_or_default();
    let account = call.account(store);
    if any_license && store.account(&license, account).is_none() {
        store.seed(&license, account, Vec::new(), Settings::default());
    }
    if store.account(&license, account).is_none() {
        return Outcome {
            account,
            ..Outcome::default()
        };
    }
    let changes = match call.route {
        Route::Add => Some(vec![add(store, &license, account, &bound)]),
        Route::Update => update(store, &license, account, knobs.update_resets_unseen, &bound),
        Route::UpdateAll => update_all(store, &license, account, knobs.update_all, &bound, call),
        Route::Delete => delete(store, &license, account, knobs.delete_forward, &bound, call),
        Route::GetOne | Route::GetAll => Some(Vec::new()),
    };
    let Some(changes) = changes else {
        return Outcome {
            account,
            ..Outcome::default()
        };
    };
    answer(store, &license, account, call.route, &bound, knobs, changes)
}

fn answer(
    store: &Store,
    license: &str,
    account: i32,
    route: Route,
    bound: &Bound,
    knobs: &Knobs,
    changes: Vec<Change>,
) -> Outcome {
    let Some(stored) = store.account(license, account) else {
        return Outcome {
            account,
            ..Outcome::default()
        };
    };
    let all = || stored.numbers.clone();
    let numbers = match (route, knobs.write_answer) {
        (Route::GetAll, _) | (_, WriteAnswer::List) if route != Route::GetOne => Some(all()),
        (Route::GetOne, _) => Some(
            all()
                .into_iter()
                .filter(|number| number.id == bound.number)
                .collect(),
        ),
        (_, WriteAnswer::Changed) => Some(
            changes
                .iter()
                .filter_map(|change| change.after.clone())
                .collect(),
        ),
        _ => None,
    };
    let read = matches!(route, Route::GetOne | Route::GetAll);
    Outcome {
        success: !read || knobs.reads_say_success,
        account,
        numbers: numbers.filter(|list| !(list.is_empty() && knobs.empty_list_is_null)),
        settings: Some(stored.settings.clone()),
        changes,
    }
}

fn add(store: &mut Store, license: &str, account: i32, bound: &Bound) -> Change {
    let mut number = StoredNumber {
        id: store.next_number(),
        ..StoredNumber::default()
    };
    write_all(&mut number, bound);
    if let Some(stored) = store.account_mut(license, account) {
        stored.numbers.push(number.clone());
    }
    Change {
        kind: EffectKind::Add,
        account,
        id: number.id,
        before: None,
        after: Some(number),
    }
}

/// Sets what the request carried: the path always carries TimeOut and FollowMeOrder.
fn update(
    store: &mut Store,
    license: &str,
    account: i32,
    resets_unseen: bool,
    bound: &Bound,
) -> Option<Vec<Change>> {
    let number = store
        .account_mut(license, account)?
        .number_mut(bound.number)?;
    let before = number.clone();
    if resets_unseen {
        *number = StoredNumber {
            id: before.id,
            ..StoredNumber::default()
        };
    }
    write_texts(number, bound);
    if bound.carried(P::TimeOut) {
        number.timeout = given(bound.timeout);
    }
    if bound.carried(P::Order) {
        number.order = given(bound.order);
    }
    if bound.carried(P::Status) {
        number.status = bound.status;
    }
    Some(vec![updated(account, before, number)])
}

fn update_all(
    store: &mut Store,
    license: &str,
    account: i32,
    scope: UpdateAll,
    bound: &Bound,
    call: &Call,
) -> Option<Vec<Change>> {
    match scope {
        UpdateAll::One => {
            let number = store
                .account_mut(license, account)?
                .number_mut(bound.number)?;
            let before = number.clone();
            write_all(number, bound);
            Some(vec![updated(account, before, number)])
        }
        UpdateAll::Every => {
            let numbers = &mut store.account_mut(license, account)?.numbers;
            Some(
                numbers
                    .iter_mut()
                    .map(|number| {
                        let before = number.clone();
                        write_all(number, bound);
                        updated(account, before, number)
                    })
                    .collect(),
            )
        }
        UpdateAll::List => {
            let records: Vec<&Bound> = std::iter::once(bound).chain(&call.more).collect();
            replace(store, license, account, &records)
        }
    }
}

/// Makes the list what the records say. An id that the account does not have refuses the whole.
fn replace(
    store: &mut Store,
    license: &str,
    account: i32,
    records: &[&Bound],
) -> Option<Vec<Change>> {
    let old = store.account(license, account)?.numbers.clone();
    let mut list = Vec::new();
    let mut changes = Vec::new();
    for record in records {
        let before = match record.number {
            0 => None,
            id => Some(old.iter().find(|number| number.id == id)?.clone()),
        };
        let mut number = before.clone().unwrap_or_default();
        if before.is_none() {
            number.id = store.next_number();
        }
        write_all(&mut number, record);
        changes.push(Change {
            kind: if before.is_some() {
                EffectKind::Update
            } else {
                EffectKind::Add
            },
            account,
            id: number.id,
            before,
            after: Some(number.clone()),
        });
        list.push(number);
    }
    for number in old {
        if !list.iter().any(|kept| kept.id == number.id) {
            changes.push(deleted(account, number));
        }
    }
    store.account_mut(license, account)?.numbers = list;
    Some(changes)
}

/// Deletes by id. The 4-value form deletes only when its flag is True.
fn delete(
    store: &mut Store,
    license: &str,
    account: i32,
    forward: DeleteForward,
    bound: &Bound,
    call: &Call,
) -> Option<Vec<Change>> {
    let flagged = call
        .path
        .is_some_and(|path| path.contains(&P::DeleteForward));
    if flagged && !bound.delete_forward {
        return Some(Vec::new());
    }
    let stored = store.account_mut(license, account)?;
    let at = stored
        .numbers
        .iter()
        .position(|number| number.id == bound.number)?;
    let mut changes = vec![deleted(account, stored.numbers.remove(at))];
    if flagged && forward == DeleteForward::TurnsForwardingOff {
        stored.settings.forwarding = false;
        changes.push(Change {
            kind: EffectKind::ForwardingOff,
            account,
            id: stored.settings.i_follow_me,
            before: None,
            after: None,
        });
    }
    Some(changes)
}

fn updated(account: i32, before: StoredNumber, after: &StoredNumber) -> Change {
    Change {
        kind: EffectKind::Update,
        account,
        id: after.id,
        before: Some(before),
        after: Some(after.clone()),
    }
}

fn deleted(account: i32, number: StoredNumber) -> Change {
    Change {
        kind: EffectKind::Delete,
        account,
        id: number.id,
        before: Some(number),
        after: None,
    }
}

fn given(value: i32) -> Option<i32> {
    (value != 0).then_some(value)
}

/// Writes every field; only a null string leaves what is there.
fn write_all(number: &mut StoredNumber, bound: &Bound) {
    write_texts(number, bound);
    number.timeout = given(bound.timeout);
    number.order = given(bound.order);
    number.status = bound.status;
}

fn write_texts(number: &mut StoredNumber, bound: &Bound) {
    for (slot, value) in [
        (&mut number.redirect_number, &bound.redirect_number),
        (&mut number.name, &bound.name),
        (&mut number.domain, &bound.domain),
        (&mut number.keep_original_cld, &bound.keep_original_cld),
        (&mut number.keep_original_cli, &bound.keep_original_cli),
        (&mut number.period, &bound.period),
        (&mut number.period_description, &bound.period_description),
        (&mut number.active, &bound.active),
    ] {
        if value.is_some() {
            slot.clone_from(value);
        }
    }
}
