//! Add.

use tokio::time::Instant;

use super::{
    Applied, Error, NumberView, Operations, not_done,
    settle::{Judgement, Outcome},
    upstream_error,
};
use crate::{
    domain::{
        AccountId, Draft, Field, FieldSet, Fields, List, Number, NumberId, Violations, check,
        without_plus,
    },
    upstream::{Context, Kind},
};

impl Operations {
    /// Adds a number.
    ///
    /// The draft must have passed its checks. With `validate_only` nothing is written.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the values fit no request; [`Error::Upstream`] where nothing was
    /// written; [`Error::Refused`], [`Error::NotDone`], [`Error::OutcomeUnknown`];
    /// [`Error::WroteTooMuch`].
    pub async fn add(
        &self,
        context: &Context,
        account: AccountId,
        draft: &Draft,
        validate_only: bool,
    ) -> Result<Applied, Error> {
        let before = self.current(context, account).await?;
        let next = before.highest_order().saturating_add(1);
        if draft.order.is_none() {
            let mut violations = Violations::default();
            violations.collect("number.order", check::order(next));
            violations.into_result().map_err(Error::Invalid)?;
        }
        let target = draft.new_number(next, &self.config.rules);
        if validate_only {
            return Ok(Applied {
                number: NumberView::Planned(account, target),
                unapplied: FieldSet::EMPTY,
                list: None,
            });
        }
        let (list, id) = self
            .add_one(context, account, &before, &target, "number")
            .await?;
        self.finish(
            context,
            account,
            id,
            &target,
            asked(draft, &target),
            false,
            list,
        )
        .await
    }

    /// Sends one add and settles it. Returns the list that shows the new number, and its id.
    pub(super) async fn add_one(
        &self,
        context: &Context,
        account: AccountId,
        before: &List,
        target: &Fields,
        path: &str,
    ) -> Result<(List, NumberId), Error> {
        let until = Instant::now() + self.config.write_limit;
        let sent = self.client.add(context, account, target).await;
        let sent = match sent {
            Err(error) if error.nothing_ran() => {
                return Err(match misfits(error.kind(), target, path) {
                    Some(violations) => Error::Invalid(violations),
                    None => upstream_error(context, error),
                });
            }
            sent => sent,
        };
        // The answer may hold the added number alone: then it names the id.
        let named = sent
            .as_ref()
            .ok()
            .and_then(|written| written.list.as_ref())
            .and_then(|list| match added(before, list, target)[..] {
                [id] => Some(id),
                _ => None,
            });
        let whole = |list: &List| {
            before
                .numbers
                .iter()
                .all(|number| list.find(number.id).is_some())
        };
        let judge = |list: &List| {
            let candidates = added(before, list, target);
            match (named.filter(|id| candidates.contains(id)), &candidates[..]) {
                (Some(id), _) | (None, &[id]) => Judgement::Done(id),
                (None, []) => Judgement::NotDone,
                (None, _) => Judgement::Ambiguous(candidates),
            }
        };
        match self
            .settle(context, account, &sent, until, whole, judge)
            .await
        {
            Outcome::Done(list, id) => Ok((list, id)),
            Outcome::NotDone(_) => Err(not_done(sent)),
            Outcome::Unknown(candidates) => Err(Error::OutcomeUnknown {
                looked_for: "a new number with the redirect number, domain and name of the request"
                    .to_owned(),
                candidates,
                source: sent.err(),
            }),
        }
    }
}

/// Returns the fields of a new number whose values were asked for: what is empty is left to
/// upstream, but for the domain, which tells where calls go.
pub(super) fn asked(draft: &Draft, target: &Fields) -> FieldSet {
    let filled = target.differences(&Fields::default());
    let mut asked = filled.intersection(draft.said());
    for field in [
        Field::Domain,
        Field::Order,
        Field::RingTimeout,
        Field::Active,
    ] {
        asked.insert(field);
    }
    asked
}

/// Returns the new numbers that may be the one that was added: those with its redirect number,
/// domain and name; where there is none, those in which a value is missing that the path of the
/// request did not carry.
fn added(before: &List, list: &List, target: &Fields) -> Vec<NumberId> {
    let new = || {
        list.numbers
            .iter()
            .filter(|number| before.find(number.id).is_none())
    };
    let ids = |wanted: &dyn Fn(&Number) -> bool| -> Vec<NumberId> {
        new()
            .filter(|number| wanted(number))
            .map(|number| number.id)
            .collect()
    };
    let exact =
        ids(&|number| number.fields.same_destination(target) && number.fields.name == target.name);
    if !exact.is_empty() {
        return exact;
    }
    ids(&|number| {
        let fields = &number.fields;
        let by_path = |held: &str, asked: &str| held == asked || held.is_empty() || held == "x";
        by_path(
            without_plus(&fields.redirect_number),
            without_plus(&target.redirect_number),
        ) && by_path(&fields.name, &target.name)
            && (fields.domain.is_empty() || fields.domain.eq_ignore_ascii_case(&target.domain))
    })
}

/// Names the fields that a request could not carry, where that is why nothing ran.
pub(super) fn misfits(kind: Kind, target: &Fields, path: &str) -> Option<Violations> {
    let texts = [
        ("name", &target.name),
        ("redirect_number", &target.redirect_number),
        ("domain", &target.domain),
        ("period", &target.period),
        ("period_description", &target.period_description),
    ];
    let mut violations = Violations::default();
    let mut blame = |wanted: &dyn Fn(&str) -> bool, description: &str| {
        for (field, text) in texts {
            if wanted(text) {
                violations.push(format!("{path}.{field}"), description);
            }
        }
    };
    match kind {
        Kind::LooksLikeHtml => blame(
            &looks_like_html,
            "looks like HTML, which upstream refuses in an add: leave out `&#`, and `<` before a \
             letter or one of `!/?`",
        ),
        Kind::DoesNotFit => blame(
            &|text| text.len() > 64,
            "is too long together with the other fields: upstream takes at most 2,000 bytes, \
             percent-encoded, in all; shorten it",
        ),
        Kind::UnsafeValue(property) => {
            let field = match property {
                "Name" => "name",
                "Domain" => "domain",
                "RedirectNumber" => "redirect_number",
                _ => return None,
            };
            violations.push(
                format!("{path}.{field}"),
                "holds characters that an upstream path cannot carry, and the configuration \
                 (upstream.unsafe_values) refuses those",
            );
        }
        _ => return None,
    }
    (!violations.is_empty()).then_some(violations)
}

/// Tells whether ASP.NET's request validation takes a text for HTML (WIRE.md 5).
fn looks_like_html(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).any(|pair| match pair {
        [b'<', next] => next.is_ascii_alphabetic() || b"!/?".contains(next),
        [b'&', b'#'] => true,
        _ => false,
    })
}
