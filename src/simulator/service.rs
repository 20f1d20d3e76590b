//! The service behind the framework: what each operation does to the store
//! (docs/upstream/domain.md 2, 4).
//!
//! The real handlers are unknown. These do what the routes most probably do, and knobs change that.
//! An integer of 0 looks like one that the request does not set, so an order or timeout of 0 is
//! stored as unset.

use serde::{Deserialize, Serialize};

use super::{
    fault_kind::{Behaviour, Unasked},
    knobs::{DeleteForward, Knobs, UpdateAll, WriteAnswer},
    request_object::{Property as P, RequestObject},
    routing::Route,
    store::{Account, NumberIds, Settings, Store, StoredNumber},
};

/// What a request did to the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EffectKind {
    /// It added a number.
    Add,
    /// It wrote a number, perhaps with the values that it had.
    Update,
    /// It deleted a number.
    Delete,
    /// It turned the account's forwarding off.
    ForwardingOff,
}

/// One change of the store.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) kind: EffectKind,
    pub(crate) id: i32,
    pub(crate) before: Option<StoredNumber>,
    pub(crate) after: Option<StoredNumber>,
}

/// One call of the service: the operation and what was bound for it.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    /// The properties in the route's path; None on a predefined path.
    pub(crate) path: Option<&'static [P]>,
    pub(crate) bound: RequestObject,
    /// The records behind the first one of a CSV body; the framework drops them.
    pub(crate) more: Vec<RequestObject>,
}

/// What the service answers, and the account that the answer is about.
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
    /// number, since a delete needs no account and the service deletes any number of the License.
    pub(crate) fn account(&self, store: &Store) -> i32 {
        let owner = match self.route {
            Route::Delete => store.owner(self.bound.license(), self.bound.int(P::Number)),
            _ => None,
        };
        owner.unwrap_or(self.bound.int(P::Account))
    }
}

/// What a call depends on besides the store.
#[derive(Debug)]
pub(crate) struct Conditions<'a> {
    pub(crate) knobs: &'a Knobs,
    /// Whether an account exists as soon as a request names it.
    pub(crate) any_license: bool,
    pub(crate) behaviour: Behaviour,
    /// The earlier list that a read shows.
    pub(crate) lagging: Option<Vec<StoredNumber>>,
}

/// Runs one call.
pub(crate) fn run(store: &mut Store, call: &Call, conditions: Conditions<'_>) -> Outcome {
    let knobs = conditions.knobs;
    let bound = match call.path {
        Some(path) if !knobs.query_values && call.route != Route::UpdateAll => {
            call.bound.clone().only(path)
        }
        _ => call.bound.clone(),
    };
    let account = call.account(store);
    let license = bound.license().to_owned();
    if conditions.any_license && store.account(&license, account).is_none() {
        store.seed(&license, account, Vec::new(), Settings::default());
    }
    let failed = Outcome {
        account,
        ..Outcome::default()
    };
    let Some((stored, ids)) = store.open(&license, account) else {
        return failed;
    };
    let work = Work {
        stored,
        ids,
        bound: &bound,
        call,
        knobs,
        behaviour: conditions.behaviour,
    };
    let Some((changes, stored)) = work.run() else {
        return failed;
    };
    let shown = conditions.lagging.as_ref().unwrap_or(&stored.numbers);
    let all = || shown.iter().cloned();
    let numbers: Option<Vec<StoredNumber>> = match (call.route, knobs.write_answer) {
        (Route::GetOne, _) => Some(all().filter(|n| n.id == bound.int(P::Number)).collect()),
        (Route::GetAll, _) | (_, WriteAnswer::List) => Some(all().collect()),
        (_, WriteAnswer::Changed) => Some(changes.iter().filter_map(|c| c.after.clone()).collect()),
        (_, WriteAnswer::Null) => None,
    };
    Outcome {
        success: !call.route.is_read() || knobs.reads_say_success,
        account,
        numbers: numbers.filter(|list| !(list.is_empty() && knobs.empty_list_is_null)),
        settings: Some(stored.settings.clone()),
        changes,
    }
}

/// An account, and the call that works on it.
struct Work<'a> {
    stored: &'a mut Account,
    ids: &'a mut NumberIds,
    bound: &'a RequestObject,
    call: &'a Call,
    knobs: &'a Knobs,
    behaviour: Behaviour,
}

impl<'a> Work<'a> {
    /// Returns the changes and the account after them, or None where the service refuses the call.
    fn run(mut self) -> Option<(Vec<Change>, &'a Account)> {
        let mut changes = match (self.call.route, self.knobs.update_all) {
            (Route::GetOne | Route::GetAll, _) => Vec::new(),
            _ if self.behaviour == Behaviour::Idle => Vec::new(),
            (Route::Add, _) => vec![self.add()],
            (Route::Update, _) => vec![self.update()?],
            (Route::UpdateAll, UpdateAll::One) => {
                let (bound, knobs) = (self.bound, self.knobs);
                vec![write(knobs, self.number()?, |number| {
                    write_all(number, bound)
                })]
            }
            (Route::UpdateAll, UpdateAll::Every) => {
                let numbers = self.stored.numbers.iter_mut();
                numbers
                    .map(|number| write(self.knobs, number, |number| write_all(number, self.bound)))
                    .collect()
            }
            (Route::UpdateAll, UpdateAll::List) => self.replace()?,
            (Route::Delete, _) => self.delete()?,
            (Route::UpdateAll, UpdateAll::Nothing) => Vec::new(),
        };
        if let Behaviour::Unasked(field) = self.behaviour {
            self.change_unasked(field, &mut changes);
        }
        Some((changes, self.stored))
    }

    fn change_unasked(&mut self, field: Unasked, changes: &mut [Change]) {
        for number in &mut self.stored.numbers {
            let updated =
                |change: &&mut Change| change.kind == EffectKind::Update && change.id == number.id;
            if let Some(change) = changes.iter_mut().find(updated) {
                field.change(number);
                change.after = Some(number.clone());
            }
        }
    }

    /// Returns the number that the request names.
    fn number(&mut self) -> Option<&mut StoredNumber> {
        let id = self.bound.int(P::Number);
        self.stored
            .numbers
            .iter_mut()
            .find(|number| number.id == id)
    }

    fn add(&mut self) -> Change {
        let mut number = self.ids.number();
        write_all(&mut number, self.bound);
        self.knobs.normalise(&mut number);
        self.stored.numbers.push(number.clone());
        added(number)
    }

    /// Writes what the request sets; the path always sets TimeOut and FollowMeOrder.
    fn update(&mut self) -> Option<Change> {
        let (bound, knobs) = (self.bound, self.knobs);
        Some(write(knobs, self.number()?, |number| {
            if knobs.update_resets_unseen {
                *number = StoredNumber {
                    id: number.id,
                    ..StoredNumber::default()
                };
            }
            write_texts(number, bound);
            if bound.sets(P::TimeOut) {
                number.timeout = given(bound.int(P::TimeOut));
            }
            if bound.sets(P::Order) {
                number.order = given(bound.int(P::Order));
            }
            if bound.sets(P::Status) {
                number.status = bound.flag(P::Status);
            }
        }))
    }

    /// Replaces the list by the records. The service refuses all of them when the account lacks an
    /// id that one of them names.
    fn replace(&mut self) -> Option<Vec<Change>> {
        let old = &self.stored.numbers;
        let mut list = Vec::new();
        let mut changes = Vec::new();
        for record in std::iter::once(self.bound).chain(&self.call.more) {
            let id = record.int(P::Number);
            if id == 0 {
                let mut number = self.ids.number();
                write_all(&mut number, record);
                self.knobs.normalise(&mut number);
                changes.push(added(number.clone()));
                list.push(number);
            } else {
                let mut number = old.iter().find(|number| number.id == id)?.clone();
                changes.push(write(self.knobs, &mut number, |number| {
                    write_all(number, record);
                }));
                list.push(number);
            }
        }
        let missing = |number: &&StoredNumber| !list.iter().any(|kept| kept.id == number.id);
        changes.extend(old.iter().filter(missing).cloned().map(deleted));
        self.stored.numbers = list;
        Some(changes)
    }

    /// Deletes by id. The 4-value form deletes only when its flag is True.
    fn delete(&mut self) -> Option<Vec<Change>> {
        let flagged = self
            .call
            .path
            .is_some_and(|path| path.contains(&P::DeleteForward));
        if flagged && !self.bound.flag(P::DeleteForward) {
            return Some(Vec::new());
        }
        let id = self.number()?.id;
        let numbers = &mut self.stored.numbers;
        let mut changes: Vec<Change> = numbers
            .extract_if(.., |number| number.id == id)
            .map(deleted)
            .collect();
        if flagged && self.knobs.delete_forward == DeleteForward::TurnsForwardingOff {
            self.stored.settings.forwarding = false;
            changes.push(Change {
                kind: EffectKind::ForwardingOff,
                id: self.stored.settings.i_follow_me,
                before: None,
                after: None,
            });
        }
        Some(changes)
    }
}

fn added(number: StoredNumber) -> Change {
    Change {
        kind: EffectKind::Add,
        id: number.id,
        before: None,
        after: Some(number),
    }
}

fn write(
    knobs: &Knobs,
    number: &mut StoredNumber,
    change: impl FnOnce(&mut StoredNumber),
) -> Change {
    let before = number.clone();
    change(number);
    knobs.normalise(number);
    Change {
        kind: EffectKind::Update,
        id: number.id,
        before: Some(before),
        after: Some(number.clone()),
    }
}

fn deleted(number: StoredNumber) -> Change {
    Change {
        kind: EffectKind::Delete,
        id: number.id,
        before: Some(number),
        after: None,
    }
}

fn given(value: i32) -> Option<i32> {
    (value != 0).then_some(value)
}

/// Writes every field; only a null string leaves what is stored.
fn write_all(number: &mut StoredNumber, bound: &RequestObject) {
    write_texts(number, bound);
    number.timeout = given(bound.int(P::TimeOut));
    number.order = given(bound.int(P::Order));
    number.status = bound.flag(P::Status);
}

fn write_texts(number: &mut StoredNumber, bound: &RequestObject) {
    for (slot, property) in [
        (&mut number.redirect_number, P::RedirectNumber),
        (&mut number.name, P::Name),
        (&mut number.domain, P::Domain),
        (&mut number.keep_original_cld, P::KeepOriginalCld),
        (&mut number.keep_original_cli, P::KeepOriginalCli),
        (&mut number.period, P::Period),
        (&mut number.period_description, P::PeriodDescription),
        (&mut number.active, P::Active),
    ] {
        if let Some(text) = bound.text(property) {
            *slot = Some(text.to_owned());
        }
    }
}
