//! What only a look into the service's processes can tell: where memory is, and what really serves it.

use std::collections::BTreeMap;

use slackwater_base::{Partial, Pid};

use crate::result::InForce;

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
}
