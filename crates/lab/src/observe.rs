//! What only a look into the service's processes can tell: where memory is, and what really serves it.

use std::collections::BTreeMap;

use slackwater_base::{Class, Partial, Pid};

use crate::result::{InForce, Unread};

/// Looks into processes without changing anything in them.
pub trait Observer: Send + Sync {
    /// Where the memory of these processes is; `None` when none of them can be looked into.
    fn ledger(&self, pids: &[Pid]) -> Partial<Option<Holdings>>;

    /// What serves each of these processes.
    fn in_force(&self, pids: &[Pid]) -> Partial<Vec<InForce>>;
}

/// Where the memory of some processes is.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Holdings {
    /// Bytes by class, summed over the processes.
    pub ledger: BTreeMap<String, u64>,
    /// PSS, summed.
    pub pss_bytes: u64,
    /// Private, summed.
    pub private_bytes: u64,
    /// Processes whose malloc could not be read.
    pub unread: Vec<Unread>,
}

/// The share of a process that may be unexplained while its malloc counts as read.
const MOST_UNEXPLAINED: f64 = 0.05;

impl Holdings {
    /// Adds the bytes of one process by class; `role` is what it does in the service.
    pub fn add(&mut self, pid: Pid, role: &str, ledger: impl IntoIterator<Item = (Class, u64)>) {
        let (mut total, mut unexplained) = (0, 0);
        for (class, bytes) in ledger {
            *self.ledger.entry(class.key().to_owned()).or_default() += bytes;
            total += bytes;
            if class == Class::Unexplained {
                unexplained += bytes;
            }
        }
        if unexplained as f64 > MOST_UNEXPLAINED * total as f64 {
            self.unread.push(Unread { pid: pid.0, role: role.to_owned() });
        }
    }
}
