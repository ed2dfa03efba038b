//! Live memory of a trial: at which moments it is known, and how far.
//!
//! Invariant: a sum that lacks a process is not shown among whole ones; where every sum lacks some, they are
//! lower bounds and called so.

use std::collections::{BTreeMap, BTreeSet};

use slackwater_lab::result::{LedgerPoint, Trial};

/// The share of RSS that may be unexplained before live memory is not known. A foreign allocator's is: what
/// it holds and what it keeps cannot be told apart.
const MOST_UNEXPLAINED: f64 = 0.05;

/// Live memory of a trial.
pub(super) enum Live<'a> {
    /// It is known at these moments, and the others, if there are any, have none.
    Known { at: Vec<&'a LedgerPoint>, left_out: Vec<&'a LedgerPoint> },
    /// It is a lower bound at every moment.
    LowerBound { at: Vec<&'a LedgerPoint> },
}

impl<'a> Live<'a> {
    pub(super) fn of(trial: &'a Trial) -> Self {
        let (left_out, at): (Vec<_>, Vec<_>) = trial
            .ledgers
            .iter()
            .filter(|point| live_bytes(point).is_some())
            .partition(|point| is_doubtful(point));
        match (at.is_empty(), left_out.is_empty()) {
            (true, false) => Self::LowerBound { at: left_out },
            _ => Self::Known { at, left_out },
        }
    }

    /// Moment and bytes, in the order of time.
    pub(super) fn points(&self) -> impl Iterator<Item = (f64, u64)> {
        let (Self::Known { at, .. } | Self::LowerBound { at }) = self;
        at.iter().filter_map(|point| Some((point.at, live_bytes(point)?)))
    }

    pub(super) const fn is_lower_bound(&self) -> bool {
        matches!(self, Self::LowerBound { .. })
    }

    /// What a reader has to know of it, if anything.
    pub(super) fn note(&self, trial: &Trial) -> Option<String> {
        match self {
            Self::LowerBound { at } => {
                Some(format!("{} cannot be read, so live is a lower bound", whose(trial, at)))
            }
            Self::Known { left_out, .. } if left_out.is_empty() => None,
            Self::Known { at, left_out } => Some(format!(
                "live is left out at {} of {} moments, when {} could not be read",
                left_out.len(),
                at.len() + left_out.len(),
                whose(trial, left_out)
            )),
        }
    }
}

/// The bytes of a ledger that the program still held; `None` where it does not tell.
fn live_bytes(point: &LedgerPoint) -> Option<u64> {
    let mut live =
        point.ledger.iter().filter(|(class, _)| class.starts_with("live_")).map(|(_, bytes)| *bytes);
    let first = live.next()?;
    Some(live.fold(first, u64::saturating_add))
}

fn is_doubtful(point: &LedgerPoint) -> bool {
    let total: u64 = point.ledger.values().fold(0, |sum, bytes| sum.saturating_add(*bytes));
    let unexplained = point.ledger.get("unexplained").copied().unwrap_or(0);
    unexplained as f64 > MOST_UNEXPLAINED * total as f64
}

/// Whose malloc was not read at these moments: the service's, or that of some of its processes.
fn whose(trial: &Trial, points: &[&LedgerPoint]) -> String {
    let unread: BTreeMap<i32, &str> =
        points.iter().flat_map(|point| &point.unread).map(|one| (one.pid, one.role.as_str())).collect();
    let all: BTreeSet<i32> = trial.in_force.iter().map(|process| process.pid).collect();
    if unread.is_empty() || all.iter().all(|pid| unread.contains_key(pid)) {
        return "its malloc".to_owned();
    }
    let count = |role: &str| unread.values().filter(|one| **one == role).count();
    let in_words = |(role, one, many): &(&str, &str, &str)| match count(role) {
        0 => None,
        1 => Some(format!("1 {one}")),
        n => Some(format!("{n} {many}")),
    };
    let roles = [
        ("master", "master", "masters"),
        ("worker", "worker", "workers"),
        ("single", "process", "processes"),
    ];
    let mut words: Vec<String> = roles.iter().filter_map(in_words).collect();
    words.extend(in_words(&("other", "helper process", "helper processes")));
    format!("the malloc of {}", words.join(" and "))
}
