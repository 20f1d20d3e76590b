//! The service behind the framework: what each operation does to the store
//! (docs/upstream/domain.md 2, 4).
//!
//! The real handlers are unknown. These do what the routes most probably do, and knobs change that.
//! An integer of 0 looks like one that the request does not set, so an order or timeout of 0 is
//! stored as unset.

use super::{
    fault::{Behaviour, Unasked},
    framework::{Property as P, RequestObject, Route, format::Format},
    knobs::{DeleteForward, Knobs, UpdateAll, WriteAnswer},
    log::{Effect, EffectKind},
    store::{Account, Ids, Settings, Store, StoredNumber},
};

/// One call of the service: the operation, what was bound for it, and the form of its answer.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) route: Route,
    /// The properties in the route's path; None on a predefined path.
    pub(crate) path: Option<&'static [P]>,
    pub(crate) bound: RequestObject,
    /// The records behind the first one of a CSV body; the framework drops them.
    pub(crate) more: Vec<RequestObject>,
    pub(crate) format: Format,
    /// The operation's name as the request spelt it; it becomes the attachment's name.
    pub(crate) operation: String,
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

/// What the service answers, and the account that the answer is about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) success: bool,
    pub(crate) account: i32,
    pub(crate) numbers: Option<Vec<StoredNumber>>,
    pub(crate) settings: Option<Settings>,
    pub(crate) effects: Vec<Effect>,
    /// The account's list before the call, for the stale answer.
    pub(crate) before: Option<Vec<StoredNumber>>,
}

/// Runs one call. A read shows the list `lagging`, if there is one.
pub(crate) fn run(
    store: &mut Store,
    call: &Call,
    knobs: &Knobs,
    behaviour: Behaviour,
    lagging: Option<Vec<StoredNumber>>,
) -> Outcome {
    let bound = match call.path {
        Some(path) if !knobs.query_values && call.route != Route::UpdateAll => {
            call.bound.clone().only(path)
        }
        _ => call.bound.clone(),
    };
    let failed = Outcome {
        account: call.account(store),
        ..Outcome::default()
    };
    let Some((stored, ids)) = store.open(bound.license(), failed.account) else {
        return failed;
    };
    let mut work = Work {
        stored,
        ids,
        bound: &bound,
        call,
        knobs,
    };
    let mut effects = match behaviour {
        Behaviour::Idle => Vec::new(),
        _ => match work.run() {
            Some(effects) => effects,
            None => return failed,
        },
    };
    if let Behaviour::Unasked(field) = behaviour {
        change_unasked(field, &mut stored.numbers, &mut effects);
    }
    let shown = lagging.as_ref().unwrap_or(&stored.numbers);
    let named = |number: &&StoredNumber| number.id == bound.int(P::Number);
    let numbers: Option<Vec<_>> = match (call.route, knobs.write_answer) {
        (Route::GetOne, _) => Some(shown.iter().filter(named).cloned().collect()),
        (Route::GetAll, _) | (_, WriteAnswer::List) => Some(shown.clone()),
        (_, WriteAnswer::Changed) => Some(effects.iter().filter_map(|e| e.after.clone()).collect()),
        (_, WriteAnswer::Null) => None,
    };
    Outcome {
        success: !call.route.is_read() || knobs.reads_say_success,
        numbers: numbers.filter(|list| !(list.is_empty() && knobs.empty_list_is_null)),
        settings: Some(stored.settings.clone()),
        effects,
        ..failed
    }
}

/// Changes a field of each number that was updated.
fn change_unasked(field: Unasked, numbers: &mut [StoredNumber], effects: &mut [Effect]) {
    for number in numbers {
        let updated =
            |effect: &&mut Effect| effect.kind == EffectKind::Update && effect.id == number.id;
        if let Some(effect) = effects.iter_mut().find(updated) {
            field.change(number);
            effect.after = Some(number.clone());
        }
    }
}

/// An account, and the call that works on it.
struct Work<'a> {
    stored: &'a mut Account,
    ids: &'a mut Ids,
    bound: &'a RequestObject,
    call: &'a Call,
    knobs: &'a Knobs,
}

impl Work<'_> {
    /// Returns the effects, or None if the service refuses the call.
    fn run(&mut self) -> Option<Vec<Effect>> {
        let (bound, knobs) = (self.bound, self.knobs);
        Some(match (self.call.route, knobs.update_all) {
            (Route::GetOne | Route::GetAll, _) => Vec::new(),
            (Route::Add, _) => vec![self.add(bound)],
            (Route::Update, _) => vec![update(knobs, self.number()?, bound, false)],
            (Route::UpdateAll, UpdateAll::One) => vec![update(knobs, self.number()?, bound, true)],
            (Route::UpdateAll, UpdateAll::Every) => {
                let numbers = self.stored.numbers.iter_mut();
                numbers
                    .map(|number| update(knobs, number, bound, true))
                    .collect()
            }
            (Route::UpdateAll, UpdateAll::List) => self.replace()?,
            (Route::Delete, _) => self.delete()?,
            (Route::UpdateAll, UpdateAll::Nothing) => Vec::new(),
        })
    }

    /// Returns the number that the request names.
    fn number(&mut self) -> Option<&mut StoredNumber> {
        let id = self.bound.int(P::Number);
        let mut numbers = self.stored.numbers.iter_mut();
        numbers.find(|number| number.id == id)
    }

    /// Adds a number behind the others.
    fn add(&mut self, record: &RequestObject) -> Effect {
        let mut number = StoredNumber {
            id: self.ids.next(),
            ..StoredNumber::default()
        };
        write(self.knobs, &mut number, record, true);
        let effect = Effect::new(EffectKind::Add, None, Some(&number));
        self.stored.numbers.push(number);
        effect
    }

    /// Replaces the list by the records. The service refuses all of them when the account lacks an
    /// id that one of them names.
    fn replace(&mut self) -> Option<Vec<Effect>> {
        let old = std::mem::take(&mut self.stored.numbers);
        let mut effects = Vec::new();
        for record in std::iter::once(self.bound).chain(&self.call.more) {
            let id = record.int(P::Number);
            if id == 0 {
                effects.push(self.add(record));
                continue;
            }
            let Some(mut number) = old.iter().find(|number| number.id == id).cloned() else {
                self.stored.numbers = old;
                return None;
            };
            effects.push(update(self.knobs, &mut number, record, true));
            self.stored.numbers.push(number);
        }
        let kept = &self.stored.numbers;
        let missing = |number: &&StoredNumber| !kept.iter().any(|kept| kept.id == number.id);
        effects.extend(old.iter().filter(missing).map(deleted));
        Some(effects)
    }

    /// Deletes by id. The 4-value form deletes only when its flag is True.
    fn delete(&mut self) -> Option<Vec<Effect>> {
        let path = self.call.path.unwrap_or_default();
        let flagged = path.contains(&P::DeleteForward);
        if flagged && !self.bound.flag(P::DeleteForward) {
            return Some(Vec::new());
        }
        let id = self.number()?.id;
        let account = &mut *self.stored;
        let numbers = account.numbers.extract_if(.., |number| number.id == id);
        let mut effects: Vec<Effect> = numbers.map(|number| deleted(&number)).collect();
        if flagged && self.knobs.delete_forward == DeleteForward::TurnsForwardingOff {
            account.settings.forwarding = false;
            effects.push(Effect {
                id: account.settings.i_follow_me,
                ..Effect::new(EffectKind::ForwardingOff, None, None)
            });
        }
        Some(effects)
    }
}

fn deleted(number: &StoredNumber) -> Effect {
    Effect::new(EffectKind::Delete, Some(number), None)
}

fn update(
    knobs: &Knobs,
    number: &mut StoredNumber,
    bound: &RequestObject,
    all_fields: bool,
) -> Effect {
    let before = number.clone();
    if knobs.update_resets_unseen && !all_fields {
        *number = StoredNumber {
            id: number.id,
            ..StoredNumber::default()
        };
    }
    write(knobs, number, bound, all_fields);
    Effect::new(EffectKind::Update, Some(&before), Some(number))
}

/// Writes what the request sets, or all fields; a null string leaves what is stored.
fn write(knobs: &Knobs, number: &mut StoredNumber, bound: &RequestObject, all_fields: bool) {
    let given = |property| Some(bound.int(property)).filter(|value| *value != 0);
    let writes = |property| all_fields || bound.sets(property);
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
    if writes(P::TimeOut) {
        number.timeout = given(P::TimeOut);
    }
    if writes(P::Order) {
        number.order = given(P::Order);
    }
    if writes(P::Status) {
        number.status = bound.flag(P::Status);
    }
    knobs.normalise(number);
}
