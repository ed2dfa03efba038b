//! A snapshot of the host's processes: what finding a service needs of each, and no more.
//!
//! Invariant: a plain value. Everything below works on it, so it is tested on recorded trees.

use std::collections::BTreeMap;

use slackwater_base::Pid;

use super::Command;

/// One process, as it was when the snapshot was taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's.
    pub parent: Pid,
    /// When it started, in clock ticks since boot.
    pub start_ticks: u64,
    /// The kernel's name for it, at most 15 bytes.
    pub comm: String,
    /// The program it runs, when we may know.
    pub exe: Option<String>,
    /// Its arguments. They may hold secrets: only [`Row::command`] is for people.
    pub argv: Vec<String>,
    /// Its path in the memory (or only) cgroup hierarchy.
    pub cgroup: Option<String>,
}

impl Row {
    /// What it runs, without the values of its arguments.
    pub fn command(&self) -> Command {
        Command::of(&self.comm, self.exe.as_deref(), &self.argv)
    }
}

/// All processes that we can see. Kernel threads are left out.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ProcessTable {
    rows: BTreeMap<Pid, Row>,
}

impl ProcessTable {
    /// The process `pid`.
    pub fn get(&self, pid: Pid) -> Option<&Row> {
        self.rows.get(&pid)
    }

    /// Every process, by pid.
    pub fn iter(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The parent of `row`, unless its pid has gone to a younger process since.
    pub fn parent(&self, row: &Row) -> Option<&Row> {
        self.get(row.parent).filter(|parent| parent.start_ticks <= row.start_ticks && parent.pid != row.pid)
    }

    /// The children of `parent`, by pid.
    pub fn children(&self, parent: &Row) -> impl Iterator<Item = &Row> {
        self.iter().filter(move |row| self.parent(row).is_some_and(|found| found.pid == parent.pid))
    }
}

impl FromIterator<Row> for ProcessTable {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        Self { rows: rows.into_iter().map(|row| (row.pid, row)).collect() }
    }
}
