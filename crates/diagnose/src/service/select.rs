//! Which services a person means: by pid, by name, by cgroup, or all of them.

use slackwater_base::Pid;

use super::tree::{root, service};
use super::{ProcessTable, Row, Service};

/// Which services are meant.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Selector {
    /// Those that these processes are part of, wherever in the tree they stand.
    Pids(Vec<Pid>),
    /// The one with this name: a program, script, module, app or process name.
    Name(String),
    /// Those with a process in this cgroup or below it.
    Cgroup(String),
    /// Every Python service.
    All,
}

/// Why a selector gives no service.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// No such process.
    #[error("there is no process {0}")]
    NoProcess(Pid),
    /// Nothing has that name.
    #[error("no service is called {name}")]
    NoName {
        /// The name asked for.
        name: String,
        /// The services there are, as names to choose from.
        others: Vec<String>,
    },
    /// Several services have that name.
    #[error("{} services are called {name}", services.len())]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// Each of them.
        services: Vec<Service>,
    },
    /// No Python process is in that cgroup.
    #[error("no Python service runs in cgroup {0}")]
    EmptyCgroup(String),
    /// No Python process anywhere.
    #[error("no Python service is running that we can see")]
    None,
}

impl SelectError {
    /// What to try.
    pub fn hint(&self) -> String {
        match self {
            Self::NoProcess(_) => {
                "it may have ended, or have another pid in this container: `slackwater diagnose --all` lists what is here"
                    .to_owned()
            }
            Self::NoName { others, .. } if others.is_empty() => {
                "no Python service is running that we can see; a service of another user needs root".to_owned()
            }
            Self::NoName { others, .. } => format!("there are: {}", others.join(", ")),
            Self::Ambiguous { services, .. } => {
                let list: Vec<String> = services
                    .iter()
                    .map(|service| {
                        let app = service.app.as_ref().map(|app| format!(" {app}")).unwrap_or_default();
                        format!("--pid {} ({}{app}, {} processes)", service.root().pid, service.name, service.members.len())
                    })
                    .collect();
                format!("choose one: {}", list.join(", "))
            }
            Self::EmptyCgroup(_) => "cgroup paths begin with / and are listed in /proc/PID/cgroup".to_owned(),
            Self::None => "a service of another user needs root".to_owned(),
        }
    }
}

/// The services that `selector` means.
///
/// # Errors
/// When there is none, or a name fits several.
pub fn select(table: &ProcessTable, selector: &Selector) -> Result<Vec<Service>, SelectError> {
    match selector {
        Selector::Pids(pids) => {
            let rows = pids
                .iter()
                .map(|&pid| table.get(pid).ok_or(SelectError::NoProcess(pid)))
                .collect::<Result<Vec<_>, _>>()?;
            Ok(services_of(table, rows))
        }
        Selector::Name(name) => {
            let mut found: Vec<Service> = services_of(table, table.iter())
                .into_iter()
                .filter(|service| is_called(table, service, name))
                .collect();
            match found.len() {
                0 => Err(SelectError::NoName { name: name.clone(), others: names(table) }),
                1 => Ok(vec![found.remove(0)]),
                _ => Err(SelectError::Ambiguous { name: name.clone(), services: found }),
            }
        }
        Selector::Cgroup(path) => {
            let path = path.trim_end_matches('/');
            let inside = |row: &&Row| {
                row.cgroup.as_deref().is_some_and(|cgroup| {
                    cgroup.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
                })
            };
            let found = services_of(table, table.iter().filter(inside).filter(|row| row.command().python));
            if found.is_empty() { Err(SelectError::EmptyCgroup(path.to_owned())) } else { Ok(found) }
        }
        Selector::All => {
            let found = python_services(table);
            if found.is_empty() { Err(SelectError::None) } else { Ok(found) }
        }
    }
}

/// The services that the given processes are part of, each once, by pid of the root.
fn services_of<'a>(table: &'a ProcessTable, rows: impl IntoIterator<Item = &'a Row>) -> Vec<Service> {
    let mut roots: Vec<&Row> = rows.into_iter().map(|row| root(table, row)).collect();
    roots.sort_by_key(|row| row.pid);
    roots.dedup_by_key(|row| row.pid);
    roots.into_iter().map(|row| service(table, row)).collect()
}

fn python_services(table: &ProcessTable) -> Vec<Service> {
    services_of(table, table.iter().filter(|row| row.command().python))
}

fn names(table: &ProcessTable) -> Vec<String> {
    let mut names: Vec<String> = python_services(table).into_iter().map(|service| service.name).collect();
    names.sort();
    names.dedup();
    names
}

/// Whether people would call `service` by `name`. The members that belong to it count, its native
/// helpers do not.
fn is_called(table: &ProcessTable, service: &Service, name: &str) -> bool {
    let root = service.root();
    let Some(row) = table.get(root.pid) else { return false };
    let stem = |program: &str| program.strip_suffix(".py").map(str::to_owned);
    row.comm == name
        || root.command.program == name
        || stem(&root.command.program).is_some_and(|stem| stem == name)
        || root.command.to_string() == name
        || service.app.as_deref() == Some(name)
        || service.app.as_ref().is_some_and(|app| format!("{} {app}", service.name) == name)
}
