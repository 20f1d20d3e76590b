//! Add.

use std::sync::Arc;

use super::{
    AddReply, AddRequest, Applied, Call, Error, NumberView, Operations, Run,
    audited::to_its_end,
    check_destination,
    effect::Effect,
    second_way::Goal,
    upstream_error,
    write::{Command, Reply, other_reply},
};
use crate::{
    domain::{Draft, Field, FieldSet, Fields, List, NumberId, Violations, check},
    telemetry::{audit::Change, in_flight::Phase},
    upstream::{DIRECTION_MARKS, Kind},
};

impl Operations {
    /// Adds a number.
    ///
    /// # Errors
    /// [`Error::DestinationDenied`], [`Error::Invalid`] where the list has no position left or the
    /// values fit no request; [`Error::Upstream`] where nothing was written; [`Error::Refused`],
    /// [`Error::NotDone`], [`Error::OutcomeUnknown`], [`Error::NotSent`], [`Error::InProgress`];
    /// [`Error::FieldsNotApplied`], [`Error::RestUnknown`], [`Error::WroteTooMuch`],
    /// [`Error::Vanished`] where the number was added, but not as asked.
    pub async fn add(
        self: &Arc<Self>,
        call: &Arc<Call>,
        request: AddRequest,
    ) -> Result<AddReply, Arc<Error>> {
        if request.validate_only {
            let fields = call.read(self.plan_add(call, &request.draft)).await?;
            return Ok(AddReply {
                number: NumberView::Planned(call.account, fields),
                unapplied: FieldSet::empty(),
                list_etag: None,
            });
        }
        match &*self.write(call, Command::Add(request)).await? {
            Reply::Add(reply) => Ok(reply.clone()),
            _ => Err(other_reply()),
        }
    }

    /// Reads the list and returns what would be sent to add a number.
    #[tracing::instrument(name = "plan", skip_all)]
    async fn plan_add(&self, call: &Call, draft: &Draft) -> Result<Fields, Error> {
        check_destination(call, "number", &draft.fields.redirect_number)?;
        call.progress.enter(Phase::Planning);
        let before = self.read_list(call, &call.options()).await?;
        self.new_number(&before, draft)
    }

    /// Adds a number, as the task of a write.
    ///
    /// The draft must have passed its checks.
    ///
    /// # Errors
    /// [`Error::DestinationDenied`], [`Error::Invalid`] where the values fit no request;
    /// [`Error::Upstream`] where nothing was written; [`Error::Refused`], [`Error::NotDone`],
    /// [`Error::OutcomeUnknown`], [`Error::NotSent`]; those of [`finish`](Self::finish).
    pub(super) async fn add_number(&self, run: &Run, draft: &Draft) -> Result<Applied, Error> {
        check_destination(&run.call, "number", &draft.fields.redirect_number)?;
        let before = self.current(run).await?;
        let target = self.new_number(&before, draft)?;
        let (run, entry) = self.begin(run, Change::add(&target))?;
        let run = &run;
        to_its_end(entry, async {
            let (list, id) = self.add_one(run, &before, &target, "number").await?;
            let goal = Goal {
                id,
                old: &Fields::default(),
                target: &target,
                asked: asked(draft, &target),
            };
            self.finish(run, goal, false, list).await
        })
        .await
    }

    fn new_number(&self, before: &List, draft: &Draft) -> Result<Fields, Error> {
        let next = before.highest_order().saturating_add(1);
        if draft.fields.order.is_none() {
            let mut violations = Violations::default();
            violations.collect("number.order", check::order(next));
            violations.into_result().map_err(Error::Invalid)?;
        }
        Ok(draft.new_number(next, &self.config.rules))
    }

    /// Sends one add and settles it. Returns the list that shows the new number, and its id.
    pub(super) async fn add_one(
        &self,
        run: &Run,
        before: &List,
        target: &Fields,
        path: &str,
    ) -> Result<(List, NumberId), Error> {
        let sent = self
            .client
            .add(&run.call.tenant, run.call.account, target, &run.options)
            .await;
        match sent {
            Err(error) if error.nothing_ran() => Err(match misfits(error.kind(), target, path) {
                Some(violations) => Error::Invalid(violations),
                None => upstream_error(&run.call, error),
            }),
            sent => {
                let effect = Effect::add(before, target);
                self.settled(run, sent, effect).await
            }
        }
    }
}

/// Returns the fields of a new number whose values were asked for: what is empty is left to
/// upstream, but for the domain, which tells where calls go.
pub(super) fn asked(draft: &Draft, target: &Fields) -> FieldSet {
    let filled = target.differences(&Fields::default());
    let mut asked = filled.intersection(draft.present());
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
        Kind::NotCarried("FeatureName") => return None,
        Kind::NotCarried(_) => blame(
            &|text| text.contains(DIRECTION_MARKS),
            "holds a direction mark (U+200E, U+200F, U+202A to U+202E), which upstream would drop: \
             leave it out",
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

/// Tells whether ASP.NET's request validation takes a text for HTML (docs/upstream/wire.md 5).
fn looks_like_html(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.windows(2).any(|pair| match pair {
        [b'<', next] => next.is_ascii_alphabetic() || b"!/?".contains(next),
        [b'&', b'#'] => true,
        _ => false,
    })
}
