//! Which processes form one service: who belongs to whom, and who does what.
//!
//! Invariant: a child belongs to its parent only for a reason that can be named (a fork that kept
//! its program and arguments, a known server's title, multiprocessing's own command line). Shells,
//! init systems and process managers give no such reason, so climbing stops below them.

use slackwater_base::Pid;

use super::{Command, Form, ProcessTable, Row};
use crate::Role;

/// One service: a process tree.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Service {
    /// As people call it: `gunicorn`, `celery`, `app.py`.
    pub name: String,
    /// What it serves, when its arguments say: `app:app`.
    pub app: Option<String>,
    /// Its processes: the root first, then by pid.
    pub members: Vec<Member>,
}

/// One process of a service.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Member {
    /// Its pid.
    pub pid: Pid,
    /// Its parent's.
    pub parent: Pid,
    /// When it started: a pid that has another start is another process.
    pub start_ticks: u64,
    /// What it does.
    pub role: Role,
    /// What it runs, for people.
    pub command: Command,
}

impl Service {
    /// The process at the root of the tree.
    ///
    /// # Panics
    /// Never: a service has at least one member.
    pub fn root(&self) -> &Member {
        self.members.first().expect("a service has a root")
    }

    /// How many members play `role`.
    pub fn count(&self, role: Role) -> usize {
        self.members.iter().filter(|member| member.role == role).count()
    }
}

/// Deepest tree that is followed: a guard against cycles in a torn snapshot.
const MAX_DEPTH: usize = 32;

/// Programs that start others and are no part of them, though they may be Python themselves.
const MANAGERS: [&str; 3] = ["supervisord", "circusd", "honcho"];

/// The root of the service that `row` is part of.
pub(super) fn root<'a>(table: &'a ProcessTable, row: &'a Row) -> &'a Row {
    let mut root = row;
    for _ in 0..MAX_DEPTH {
        match table.parent(root) {
            Some(parent) if belongs(root, parent) => root = parent,
            _ => break,
        }
    }
    root
}

/// The service below `root`.
pub(super) fn service(table: &ProcessTable, root: &Row) -> Service {
    let command = root.command();
    let mut members = vec![(root, None, 0)];
    let mut next = 0;
    while let Some(&(parent, _, depth)) = members.get(next) {
        next += 1;
        if depth < MAX_DEPTH {
            let children = table.children(parent).filter(|child| is_member(child, parent));
            members.extend(children.map(|child| (child, Some(parent), depth + 1)));
        }
    }
    let has_workers =
        members.iter().any(|(row, parent, _)| parent.is_some_and(|parent| is_worker(row, parent)));
    let mut members: Vec<Member> = members
        .into_iter()
        .map(|(row, parent, _)| {
            let role = match parent {
                None if has_workers => Role::Master,
                None => Role::Single,
                Some(parent) if is_worker(row, parent) => Role::Worker,
                Some(_) => Role::Other,
            };
            member(row, role)
        })
        .collect();
    members[1..].sort_by_key(|member| member.pid);
    // A console script that has not been renamed may still say more than the root's title does.
    let app = command.app.clone().or_else(|| members.iter().find_map(|member| member.command.app.clone()));
    Service { name: command.program, app, members }
}

/// The process `root` and every one below it, of whatever service; none when there is no such process.
pub fn descendants(table: &ProcessTable, root: Pid) -> Vec<Member> {
    let mut rows: Vec<_> = table.get(root).map(|row| (row, 0)).into_iter().collect();
    let mut next = 0;
    while let Some(&(parent, depth)) = rows.get(next) {
        next += 1;
        if depth < MAX_DEPTH {
            rows.extend(table.children(parent).map(|child| (child, depth + 1)));
        }
    }
    rows.into_iter().map(|(row, _)| member(row, Role::Other)).collect()
}

fn member(row: &Row, role: Role) -> Member {
    Member { pid: row.pid, parent: row.parent, start_ticks: row.start_ticks, role, command: row.command() }
}

/// Whether `child` is part of the service that `parent` is part of, as supervisor and worker are.
fn belongs(child: &Row, parent: &Row) -> bool {
    let (below, above) = (child.command(), parent.command());
    if MANAGERS.contains(&above.program.as_str()) {
        return false;
    }
    match below.form {
        Form::Spawned | Form::ForkServer | Form::Tracker => above.python,
        Form::TitledMaster | Form::TitledWorker => above.program == below.program,
        // A fork that did not call exec runs the same file with the same arguments.
        Form::Plain if child.exe.is_none() || child.exe != parent.exe => false,
        Form::Plain => {
            child.argv == parent.argv && above.runs_a_program() || forked_and_renamed(child, parent)
        }
    }
}

/// A fork that gave itself a title of its own, as setproctitle does: the kernel's name for it and
/// its arguments are no command line any more, while the program is its parent's.
fn forked_and_renamed(child: &Row, parent: &Row) -> bool {
    let title = child.argv.first().map_or("", String::as_str);
    let below = child.command();
    below.python && !title.contains('/') && title.contains([' ', ':', '[']) && parent.command().python
}

/// Whether `child` is shown with the service: it belongs, or helps it and is no service of its own.
fn is_member(child: &Row, parent: &Row) -> bool {
    belongs(child, parent) || !child.command().python
}

/// Whether `child` does its service's work.
fn is_worker(child: &Row, parent: &Row) -> bool {
    let below = child.command();
    match below.form {
        Form::Tracker => false,
        // A fork server's forks keep its arguments.
        Form::ForkServer => parent.command().form == Form::ForkServer,
        _ => belongs(child, parent) && !is_helper(child),
    }
}

/// Titles of known servers' own helpers.
fn is_helper(row: &Row) -> bool {
    let title = row.argv.first().map_or("", String::as_str);
    let known = ["gunicorn: ", "uWSGI "].iter().any(|prefix| title.starts_with(prefix));
    known && row.command().form == Form::Plain
}
