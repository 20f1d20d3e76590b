//! A history as its seed says it: who calls what, when who goes away, and what goes wrong.

use std::time::Duration;

use fastrand::Rng;
use followme::simulator::{Fault, FaultKind, HangAt, Route, When};

/// What is special about the host and the facade of a history. Histories of one kind share them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Host {
    Plain,
    /// The facade crashes again and again, and its License is rotated.
    Crashes,
    /// The host changes what it stores.
    Normalises,
    /// The host's lists lag behind its writes.
    Lags,
    /// `UpdateFollowmeAll` writes every number of the account. The facade crashes, too, and the next
    /// one is allowed to use the route again.
    WritesAll,
    /// The journal holds few records.
    Small,
}

impl Host {
    pub(super) const ALL: [Self; 6] = [
        Self::Plain,
        Self::Crashes,
        Self::Normalises,
        Self::Lags,
        Self::WritesAll,
        Self::Small,
    ];

    pub(super) fn of(seed: u64) -> Self {
        match seed % 10 {
            0 => Self::Plain,
            1..=4 => Self::Crashes,
            5 => Self::Normalises,
            6 => Self::Lags,
            7 | 8 => Self::WritesAll,
            _ => Self::Small,
        }
    }

    /// Returns whether its facade crashes.
    pub(super) fn crashes(self) -> bool {
        matches!(self, Self::Crashes | Self::WritesAll)
    }
}

/// What will happen to one account.
#[derive(Debug)]
pub(super) struct Plan {
    /// How many numbers the account has at first.
    pub(super) numbers: usize,
    /// The moves of each caller.
    pub(super) callers: Vec<Vec<Move>>,
    pub(super) faults: Vec<Fault>,
    /// Whether the last caller writes behind the facade's back.
    pub(super) outside: bool,
}

/// One call that a caller makes when the one before is over.
#[derive(Debug, Clone)]
pub(super) struct Move {
    pub(super) what: What,
    pub(super) manner: Manner,
    pub(super) with_id: bool,
}

/// What is called. What it is about is taken from the list that the caller saw last.
#[derive(Debug, Clone)]
pub(super) enum What {
    List,
    /// Adds the number of this caller's and this move's: two callers may share one, and its id.
    Add {
        caller: usize,
        step: usize,
    },
    /// Adds the same number as an [`What::Add`] of another caller, under an id of its own.
    Twin {
        caller: usize,
        step: usize,
    },
    Update {
        pick: usize,
        etag: bool,
        ring_timeout: Option<i64>,
    },
    Delete {
        pick: usize,
        etag: bool,
        allow_missing: bool,
    },
    ReplaceAll {
        /// For each number that was seen, what becomes of it.
        fates: Vec<Fate>,
        /// How many are new.
        new: usize,
        list_etag: bool,
        number_etags: bool,
    },
    /// The caller's last write that had an id, once more.
    Again,
    /// Adds a number that no other caller adds.
    Outside {
        step: usize,
    },
}

/// What a replace-all makes of a number.
#[derive(Debug, Clone, Copy)]
pub(super) enum Fate {
    Keep,
    Rename,
    Drop,
}

/// How long a caller waits.
#[derive(Debug, Clone, Copy)]
pub(super) enum Manner {
    Patient,
    /// With a deadline that the facade knows.
    Deadline(Duration),
    /// Until it goes away without a word.
    Cancel(Duration),
}

impl Plan {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let host = Host::of(seed);
        let numbers = match host {
            Host::WritesAll => rng.usize(2..5),
            _ => rng.usize(0..4),
        };
        let mut callers: Vec<Vec<Move>> = Vec::new();
        for caller in 0..rng.usize(2..=4) {
            let first = Move {
                what: What::List,
                manner: Manner::Patient,
                with_id: false,
            };
            let mut moves = vec![first];
            for step in 1..rng.usize(3..=6) {
                let what = what(&mut rng, host, caller, step, &callers);
                moves.push(Move {
                    with_id: matches!(&what, What::Add { caller: of, .. } if *of != caller)
                        || rng.u8(..4) > 0,
                    what,
                    manner: manner(&mut rng),
                });
            }
            callers.push(moves);
        }
        // Two callers who share an add share its id.
        for caller in 0..callers.len() {
            for step in 0..callers[caller].len() {
                if let What::Add {
                    caller: of,
                    step: at,
                } = callers[caller][step].what
                {
                    callers[of][at].with_id |= of != caller;
                }
            }
        }
        let faults = (0..rng.usize(1..=6))
            .map(|_| fault(&mut rng, host))
            .collect();
        let writes_outside = matches!(host, Host::Crashes | Host::Normalises | Host::Lags);
        let outside = writes_outside && rng.u8(..3) == 0;
        if outside && let Some(moves) = callers.last_mut() {
            for (step, one) in moves.iter_mut().enumerate() {
                // What it adds is told from what the facade adds.
                if matches!(one.what, What::Add { .. } | What::Twin { .. } | What::Again) {
                    one.what = What::Outside { step };
                }
                one.with_id = false;
            }
        }
        Self {
            numbers,
            callers,
            faults,
            outside,
        }
    }
}

fn what(rng: &mut Rng, host: Host, caller: usize, step: usize, before: &[Vec<Move>]) -> What {
    let pick = rng.usize(..16);
    // A replace-all tries `UpdateFollowmeAll` first.
    let replaces = host == Host::WritesAll && rng.bool();
    match if replaces { 63 } else { rng.u8(..100) } {
        0..16 => What::List,
        16..38 => {
            let shared = before.iter().enumerate().find_map(|(caller, moves)| {
                let step = moves.iter().position(
                    |known| matches!(known.what, What::Add { caller: of, .. } if of == caller),
                )?;
                Some(What::Add { caller, step })
            });
            match (shared, rng.u8(..4)) {
                (Some(shared), 0) => shared,
                (Some(What::Add { caller, step }), 1..=2) => What::Twin { caller, step },
                _ => What::Add { caller, step },
            }
        }
        38..54 => What::Update {
            pick,
            etag: rng.bool(),
            ring_timeout: rng.bool().then(|| rng.i64(10..60)),
        },
        54..63 => What::Delete {
            pick,
            etag: rng.bool(),
            allow_missing: rng.bool(),
        },
        63..73 => What::ReplaceAll {
            fates: (0..8)
                .map(|_| match rng.u8(..4) {
                    0 => Fate::Drop,
                    1 => Fate::Rename,
                    _ => Fate::Keep,
                })
                .collect(),
            new: rng.usize(0..=2),
            list_etag: rng.bool(),
            number_etags: rng.u8(..4) == 0,
        },
        _ => What::Again,
    }
}

fn manner(rng: &mut Rng) -> Manner {
    match rng.u8(..10) {
        0..2 => Manner::Deadline(Duration::from_millis(rng.u64(50..400))),
        2..4 => Manner::Cancel(Duration::from_millis(rng.u64(1..150))),
        _ => Manner::Patient,
    }
}

fn fault(rng: &mut Rng, host: Host) -> Fault {
    let when = if rng.bool() {
        When::Before
    } else {
        When::After
    };
    // Where no answer of the service came, it may still run.
    let late = match rng.u8(..4) {
        0 => When::Late {
            ms: rng.u64(10..400),
        },
        _ => when,
    };
    let route = match rng.u8(..12) {
        0..4 if host == Host::WritesAll => Route::UpdateAll,
        0..4 => Route::Add,
        4..6 => Route::Update,
        6 => Route::UpdateAll,
        7 => Route::Delete,
        _ => Route::GetAll,
    };
    let number = match host {
        // What the service itself says of a write is read back once: a list that lags hides it.
        Host::Lags => *[0, 1, 2, 3, 4, 13, 14, 15, 16, 17]
            .get(rng.usize(..10))
            .unwrap_or(&0),
        _ => rng.u8(..18),
    };
    let kind = match number {
        // Within the time of a write, beyond it, and beyond that of its verification.
        0 => FaultKind::Delay { ms: rng.u64(5..50) },
        1 => FaultKind::Delay {
            ms: rng.u64(150..200),
        },
        2 => FaultKind::Delay {
            ms: rng.u64(400..500),
        },
        3 => FaultKind::Reset { when: late },
        4 => FaultKind::Close { when: late },
        5 => FaultKind::Html { status: 500 },
        6 => FaultKind::Exception {
            type_name: "SqlException".to_owned(),
            when,
        },
        7 => FaultKind::Truncated {
            bytes: rng.usize(..200),
        },
        8 => FaultKind::TruncatedQuietly {
            bytes: rng.usize(..200),
        },
        9 => FaultKind::DefaultRecord {
            status: if rng.bool() { 500 } else { 400 },
            when,
        },
        10 => FaultKind::NotSuccess { when },
        11 => FaultKind::NullList,
        12 => FaultKind::Hang {
            at: if rng.bool() {
                HangAt::BeforeHead
            } else {
                HangAt::MidBody
            },
        },
        13..=15 => FaultKind::Gateway {
            status: rng.choice(GATEWAYS).unwrap_or(502),
            when: late,
        },
        16 => FaultKind::HttpSys,
        _ => FaultKind::Status {
            status: 503,
            reason: None,
            body: "busy".to_owned(),
            content_type: Some("text/html".to_owned()),
        },
    };
    Fault::once(kind)
        .on(route)
        .times(rng.u32(1..=2))
        .after(rng.u32(..3))
}

/// The statuses of a gateway that do not prove that the service is done.
const GATEWAYS: [u16; 13] = [
    200, 302, 408, 499, 502, 503, 504, 520, 522, 524, 598, 599, 530,
];

/// The kinds of faults as the figures count them.
pub(super) const KINDS: [&str; 25] = [
    "delay",
    "delay beyond the timeout",
    "delay beyond the write's limit",
    "reset before the effect",
    "reset after the effect",
    "close before the effect",
    "close after the effect",
    "5xx after the effect",
    "exception before the effect",
    "exception after the effect",
    "truncated",
    "truncated quietly",
    "default record before the effect",
    "default record after the effect",
    "success=False before the effect",
    "success=False after the effect",
    "null list",
    "silence after the effect",
    "503 before the effect",
    "gateway before the effect",
    "gateway after the effect",
    "late after a gateway",
    "late after a reset",
    "late after a close",
    "503 of HTTP.sys",
];

/// Names the kind of a fault as [`KINDS`] does.
pub(super) fn kind(kind: &FaultKind) -> &'static str {
    let at = |when: When, before: &'static str, after: &'static str| match when {
        When::Before => before,
        When::After | When::Late { .. } => after,
    };
    match kind {
        FaultKind::Delay { ms: ..100 } => "delay",
        FaultKind::Delay { ms: ..300 } => "delay beyond the timeout",
        FaultKind::Delay { .. } => "delay beyond the write's limit",
        FaultKind::Gateway {
            when: When::Late { .. },
            ..
        } => "late after a gateway",
        FaultKind::Reset {
            when: When::Late { .. },
        } => "late after a reset",
        FaultKind::Close {
            when: When::Late { .. },
        } => "late after a close",
        FaultKind::Gateway { when, .. } => at(
            *when,
            "gateway before the effect",
            "gateway after the effect",
        ),
        FaultKind::HttpSys => "503 of HTTP.sys",
        FaultKind::Reset { when } => at(*when, "reset before the effect", "reset after the effect"),
        FaultKind::Close { when } => at(*when, "close before the effect", "close after the effect"),
        FaultKind::Html { .. } => "5xx after the effect",
        FaultKind::Exception { when, .. } => at(
            *when,
            "exception before the effect",
            "exception after the effect",
        ),
        FaultKind::Truncated { .. } => "truncated",
        FaultKind::TruncatedQuietly { .. } => "truncated quietly",
        FaultKind::DefaultRecord { when, .. } => at(
            *when,
            "default record before the effect",
            "default record after the effect",
        ),
        FaultKind::NotSuccess { when } => at(
            *when,
            "success=False before the effect",
            "success=False after the effect",
        ),
        FaultKind::NullList => "null list",
        FaultKind::Hang { .. } => "silence after the effect",
        FaultKind::Status { .. } => "503 before the effect",
        _ => "another",
    }
}
