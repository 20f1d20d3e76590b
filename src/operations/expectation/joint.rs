//! The verdicts of several writes that one request carried.

use super::{Evidence, Expectation, Verdict};
use crate::domain::List;

/// Compares a list with the expectations of one request: each add is a number of its own.
pub(in crate::operations) fn check_all(
    expectations: &[Expectation],
    list: &List,
    evidence: Evidence,
) -> Vec<Verdict> {
    let mut rest = expectations.to_vec();
    let mut verdicts = Vec::with_capacity(rest.len());
    for at in 0..rest.len() {
        let verdict = match rest[at].check(list, evidence) {
            // As many equal numbers as equal adds: which is whose makes no difference.
            Verdict::Inconclusive(ids)
                if rest[at].is_open_add()
                    && rest[at..]
                        .iter()
                        .filter(|other| other.adds(&rest[at].target))
                        .count()
                        == ids.len() =>
            {
                match ids.first() {
                    Some(id) => Verdict::Applied(*id),
                    None => Verdict::Inconclusive(ids),
                }
            }
            verdict => verdict,
        };
        if let Verdict::Applied(id) | Verdict::AppliedDifferently(id) = verdict
            && rest[at].is_open_add()
        {
            for other in &mut rest[at + 1..] {
                other.exclude(id);
            }
        }
        verdicts.push(verdict);
    }
    verdicts
}
