//! What is written down of a history: every call with its answer, and every effect upstream.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
};

use followme::{
    grpc::pb,
    simulator::{Effect, EffectKind, Handle, StoredNumber},
};
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{bound, failure};

/// What is compared of a number. Every write gives it a name of its own, so that no state of an
/// account comes back by accident.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Held {
    pub(super) name: String,
    pub(super) redirect_number: String,
    pub(super) ring_timeout: i64,
}

/// How many characters of a name a host keeps that cuts it.
pub(super) const NAME_LIMIT: usize = 18;

impl Held {
    /// Returns what a host that changes what it stores makes of it. What tells a name from others is
    /// in its first characters.
    pub(super) fn as_stored(&self) -> Self {
        let name = self.name.split_whitespace().collect::<Vec<_>>().join(" ");
        Self {
            name: name
                .chars()
                .take(NAME_LIMIT)
                .collect::<String>()
                .trim_end()
                .to_owned(),
            redirect_number: self.redirect_number.replace('-', ""),
            ring_timeout: self.ring_timeout,
        }
    }
}

/// The numbers of an account by their ids.
pub(super) type State = BTreeMap<i32, Held>;

/// What a call asks for.
#[derive(Debug, Clone)]
pub(super) enum Asked {
    List(pb::ListRequest),
    Add(pb::AddRequest),
    Update(pb::UpdateRequest),
    Delete(pb::DeleteRequest),
    ReplaceAll(pb::ReplaceAllRequest),
}

/// What a call was answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    Ok(Reply),
    Failed(Failed),
    /// The caller had gone, or the status says nothing of its own.
    None,
}

/// An answer that says OK.
#[derive(Debug, Clone)]
pub(super) enum Reply {
    Listed(State),
    Written {
        id: i32,
        held: Held,
        unapplied: Vec<String>,
    },
    Deleted,
    Replaced {
        numbers: State,
        unapplied: bool,
    },
}

/// An answer that says something else.
#[derive(Debug, Clone)]
pub(super) struct Failed {
    pub(super) code: Code,
    pub(super) reason: String,
    pub(super) incomplete: Option<pb::ReplaceIncomplete>,
}

/// A list as a caller saw it, and what the account held when that call began and ended.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) numbers: Vec<pb::FollowMeNumber>,
    pub(super) list_etag: String,
    pub(super) before: State,
    pub(super) after: State,
}

/// One call. Calls with one request id are of one intent.
#[derive(Debug, Clone)]
pub(super) struct Call {
    /// Goes upstream as FeatureName with every request of the call.
    pub(super) tag: String,
    /// Whether another writer than the facade made it: its answer is not written down.
    pub(super) outside: bool,
    pub(super) intent: usize,
    pub(super) asked: Asked,
    /// Where what is asked for was taken from.
    pub(super) seen: Option<Arc<Seen>>,
    /// What the account held when the call began.
    pub(super) before: State,
    /// What it held when the call ended.
    pub(super) after: State,
    pub(super) answer: Answer,
}

/// One effect upstream.
#[derive(Clone)]
pub(super) struct Change {
    /// Of the call that caused it.
    pub(super) tag: String,
    pub(super) kind: EffectKind,
    pub(super) id: i32,
    pub(super) after: Option<Held>,
}

/// All of one account.
#[derive(Debug, Clone)]
pub(super) struct History {
    pub(super) seed: u64,
    pub(super) account: i32,
    pub(super) initial: State,
    pub(super) calls: Vec<Call>,
    pub(super) changes: Vec<Change>,
    /// Whether reads of the account may show an earlier list.
    pub(super) lags: bool,
    /// Whether the journal forgets finished writes, since it holds few records.
    pub(super) forgets: bool,
    /// What the account holds at last.
    pub(super) last: State,
}

impl From<&StoredNumber> for Held {
    fn from(number: &StoredNumber) -> Self {
        Self {
            name: number.name.clone().unwrap_or_default(),
            redirect_number: number.redirect_number.clone().unwrap_or_default(),
            ring_timeout: number.timeout.unwrap_or_default().into(),
        }
    }
}

impl From<&pb::FollowMeNumber> for Held {
    fn from(number: &pb::FollowMeNumber) -> Self {
        let ring_timeout = number.ring_timeout.as_ref();
        Self {
            name: number.name.clone(),
            redirect_number: number.redirect_number.clone(),
            ring_timeout: ring_timeout.map_or(0, |time| time.seconds),
        }
    }
}

/// Returns what the numbers of an answer say.
pub(super) fn shown(numbers: &[pb::FollowMeNumber]) -> State {
    numbers
        .iter()
        .map(|number| (number.number_id, number.into()))
        .collect()
}

/// Returns what the simulator keeps for an account.
pub(super) fn held(handle: &Handle, account: i32) -> State {
    handle
        .numbers(crate::support::LICENSE, account)
        .unwrap_or_default()
        .iter()
        .map(|number| (number.id, number.into()))
        .collect()
}

impl From<Status> for Answer {
    fn from(status: Status) -> Self {
        if status.get_error_details().error_info().is_none() {
            return Self::None;
        }
        let failure = failure::<()>(Err(status));
        let incomplete = (failure.reason == "REPLACE_INCOMPLETE").then(|| failure.incomplete());
        Self::Failed(Failed {
            code: failure.code,
            reason: failure.reason,
            incomplete,
        })
    }
}

impl Answer {
    /// Names it for the figures.
    pub(super) fn label(&self) -> String {
        match self {
            Self::Ok(_) => "OK".to_owned(),
            Self::Failed(failed) => format!("{:?} {}", failed.code, failed.reason),
            Self::None => "no answer".to_owned(),
        }
    }
}

impl Asked {
    /// Names the RPC.
    pub(super) fn rpc(&self) -> &'static str {
        match self {
            Self::List(_) => "List",
            Self::Add(_) => "Add",
            Self::Update(_) => "Update",
            Self::Delete(_) => "Delete",
            Self::ReplaceAll(_) => "ReplaceAll",
        }
    }

    pub(super) fn request_id(&self) -> &str {
        match self {
            Self::List(_) => "",
            Self::Add(request) => &request.request_id,
            Self::Update(request) => &request.request_id,
            Self::Delete(request) => &request.request_id,
            Self::ReplaceAll(request) => &request.request_id,
        }
    }
}

/// Sorts the effects of a simulator by account, with the calls that caused them.
pub(super) fn changes(handle: &Handle) -> HashMap<i32, Vec<Change>> {
    let requests = handle.requests();
    let first = requests.first().map(|request| request.sequence);
    assert!(first.is_none_or(|first| first == 1), "the log is whole");
    let tags: HashMap<u64, &str> = requests
        .iter()
        .filter_map(|request| Some((request.sequence, bound(request, "FeatureName")?)))
        .collect();
    let mut changes: HashMap<i32, Vec<Change>> = HashMap::new();
    for effect in handle.effects() {
        let Effect {
            request,
            account,
            kind,
            id,
            after,
            ..
        } = effect;
        changes.entry(account).or_default().push(Change {
            tag: (*tags.get(&request).unwrap_or(&"unknown")).to_owned(),
            kind,
            id,
            after: after.as_ref().map(Held::from),
        });
    }
    changes
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            redirect_number,
            ring_timeout,
        } = self;
        write!(f, "{name}/{redirect_number}/{ring_timeout}s")
    }
}

impl fmt::Debug for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tag,
            kind,
            id,
            after,
        } = self;
        write!(f, "{kind:?} {id} {after:?} by {tag}")
    }
}

/// The event log of a failure.
impl fmt::Display for History {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, account {}", self.seed, self.account)?;
        writeln!(f, "at first {:?}", self.initial)?;
        for call in &self.calls {
            let outside = if call.outside { ", from outside" } else { "" };
            writeln!(f, "call {} of intent {}{outside}", call.tag, call.intent)?;
            writeln!(f, "  {:?}", call.asked)?;
            writeln!(f, "  before {:?}", call.before)?;
            writeln!(f, "  answer {:?}", call.answer)?;
            writeln!(f, "  after  {:?}", call.after)?;
        }
        for (index, change) in self.changes.iter().enumerate() {
            writeln!(f, "effect {index}: {change:?}")?;
        }
        write!(f, "at last {:?}", self.last)
    }
}
