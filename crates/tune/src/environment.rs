//! The environment that makes the loader and the allocator do what was chosen, composed with what is
//! already there.
//!
//! Invariant: what the user's environment says stays, except where a flag says otherwise, and then that
//! is reported. A preset never overrides anything.

mod lists;
mod preload;

pub use self::preload::Replace;

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use self::lists::{List, Syntax};
use crate::presets::{PYTHONMALLOC, Pymalloc};
use crate::settings::{Assignment, Home};
use crate::{Allocator, Interpreter, presets, settings};

/// The variable that the loader reads.
pub const LD_PRELOAD: &str = "LD_PRELOAD";
/// glibc's list of tunables.
pub const GLIBC_TUNABLES: &str = "GLIBC_TUNABLES";
const MALLOC_CONF: &str = "MALLOC_CONF";

/// What was chosen.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The library to preload; `None` for the C library's own malloc.
    pub library: Option<PathBuf>,
    /// Which allocator that is, when it is one of those that are known.
    pub allocator: Option<Allocator>,
    /// What the user set, in order.
    pub assignments: Vec<Assignment>,
    /// Whether the allocator gets its presets beside that.
    pub presets: Presets,
    /// Whether pymalloc stays, when the user said so.
    pub pymalloc: Option<Pymalloc>,
    /// The Python that will run.
    pub interpreter: Interpreter,
    /// Whether another allocator may be taken out of `LD_PRELOAD`.
    pub replace: Replace,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            library: None,
            allocator: None,
            assignments: Vec::new(),
            presets: Presets::default(),
            pymalloc: None,
            interpreter: Interpreter::Ordinary,
            replace: Replace::default(),
        }
    }
}

/// Whether an allocator gets our presets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Presets {
    /// It does.
    #[default]
    Applied,
    /// It runs with its own defaults.
    LeftOut,
}

/// What is to be changed in the environment.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// The variables that get a new value, or go away.
    pub variables: BTreeMap<String, Option<OsString>>,
    /// What of the present environment was kept or overridden, where the user should know.
    pub notes: Vec<Note>,
}

/// Something about the composition that the user should know.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Note {
    /// The environment already had a say, and keeps it.
    Kept {
        /// The variable.
        variable: String,
        /// What it holds.
        value: String,
    },
    /// The environment said something else, and a flag won.
    Overridden {
        /// The variable.
        variable: String,
        /// What it said, as written.
        was: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kept { variable, value } => write!(f, "{variable}={value} of the environment is kept"),
            Self::Overridden { variable, was } => {
                write!(f, "{variable} of the environment had {was}, which a flag replaces")
            }
        }
    }
}

/// Why no environment can be composed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvironmentError {
    /// Another library that replaces malloc is preloaded.
    #[error("LD_PRELOAD already names {}, which replaces malloc too", other.display())]
    Occupied {
        /// That library.
        other: PathBuf,
    },
    /// The loader would take the path apart.
    #[error("{} cannot be preloaded: the loader splits LD_PRELOAD at blanks and colons", library.display())]
    Separator {
        /// The library.
        library: PathBuf,
    },
}

impl EnvironmentError {
    /// What the user can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Occupied { .. } => "take it out of LD_PRELOAD, or let --replace do so",
            Self::Separator { .. } => "copy or link the library to a path without them",
        }
    }
}

/// What has to change in an environment, which `present` reads, for `plan` to be in force.
pub fn compose(present: &dyn Fn(&str) -> Option<OsString>, plan: &Plan) -> Result<Changes, EnvironmentError> {
    let mut composition = Composition { present, changes: Changes::default() };
    let before = present(LD_PRELOAD);
    let after = preload::compose(before.as_deref(), plan.library.as_deref(), plan.replace)?;
    composition.change(LD_PRELOAD, after);
    if let Some(allocator) = plan.allocator {
        composition.settings(allocator, plan);
    }
    composition.pymalloc(plan);
    Ok(composition.changes)
}

struct Composition<'a> {
    present: &'a dyn Fn(&str) -> Option<OsString>,
    changes: Changes,
}

impl Composition<'_> {
    fn settings(&mut self, allocator: Allocator, plan: &Plan) {
        for assignment in &plan.assignments {
            self.assign(assignment);
        }
        let presets = match plan.presets {
            Presets::Applied => presets::presets(allocator),
            Presets::LeftOut => &[],
        };
        for preset in presets {
            if let Ok(assignment) = settings::assign(allocator, preset.key, preset.value)
                && !self.says(&assignment)
            {
                self.write(&assignment);
            }
        }
        if matches!(allocator, Allocator::Slackwater | Allocator::Jemalloc) {
            self.note_kept(MALLOC_CONF);
        }
    }

    /// Sets what the user asked for, whatever the environment says.
    fn assign(&mut self, assignment: &Assignment) {
        let setting = assignment.setting;
        let overridden = |variable: &str, was: Option<&str>| {
            let was = was.filter(|&was| was != assignment.value)?;
            Some(Note::Overridden { variable: variable.to_owned(), was: format!("{}={was}", setting.key) })
        };
        let mut notes = Vec::new();
        match setting.home {
            Home::Conf => {
                let list = self.list(MALLOC_CONF, Syntax::Conf);
                notes.extend(overridden(MALLOC_CONF, list.value(setting.key)));
            }
            Home::Variable(variable) => {
                let was = self.text(variable);
                notes.extend(overridden(variable, was.as_deref()));
            }
            Home::Tunable { variable } => {
                let mut list = self.list(GLIBC_TUNABLES, Syntax::Tunables);
                let tunable = tunable(setting.key);
                notes.extend(overridden(GLIBC_TUNABLES, list.value(&tunable)));
                // Both would be read, and the tunable would win.
                list.remove(&tunable);
                self.change(GLIBC_TUNABLES, list.text().map(OsString::from));
                if let Some(variable) = variable {
                    let was = self.text(variable);
                    notes.extend(overridden(variable, was.as_deref()));
                }
            }
        }
        self.changes.notes.extend(notes);
        self.write(assignment);
    }

    fn write(&mut self, assignment: &Assignment) {
        let (setting, value) = (assignment.setting, assignment.value.as_str());
        match setting.home {
            Home::Conf => {
                let mut list = self.list(MALLOC_CONF, Syntax::Conf);
                list.set(setting.key, value);
                self.change(MALLOC_CONF, list.text().map(OsString::from));
            }
            Home::Variable(variable) | Home::Tunable { variable: Some(variable) } => {
                self.change(variable, Some(OsString::from(value)));
            }
            Home::Tunable { variable: None } => {
                let mut list = self.list(GLIBC_TUNABLES, Syntax::Tunables);
                list.set(&tunable(setting.key), value);
                self.change(GLIBC_TUNABLES, list.text().map(OsString::from));
            }
        }
    }

    /// Whether the environment, as composed so far, has a say about the setting.
    fn says(&self, assignment: &Assignment) -> bool {
        let setting = assignment.setting;
        match setting.home {
            Home::Conf => self.list(MALLOC_CONF, Syntax::Conf).keys().any(|key| key == setting.key),
            Home::Variable(variable) => self.value(variable).is_some(),
            Home::Tunable { variable } => {
                let list = self.list(GLIBC_TUNABLES, Syntax::Tunables);
                variable.is_some_and(|variable| self.value(variable).is_some())
                    || list.value(&tunable(setting.key)).is_some()
            }
        }
    }

    fn pymalloc(&mut self, plan: &Plan) {
        // An empty variable is none to Python.
        let present = (self.present)(PYTHONMALLOC).filter(|value| !value.is_empty());
        let preset = match (plan.allocator, plan.presets, plan.interpreter) {
            (Some(allocator), Presets::Applied, Interpreter::Ordinary) => presets::pymalloc(allocator),
            _ => None,
        };
        match (plan.pymalloc, present) {
            (Some(wanted), Some(present)) => {
                if present != wanted.value() {
                    let was = present.to_string_lossy().into_owned();
                    self.changes.notes.push(Note::Overridden { variable: PYTHONMALLOC.to_owned(), was });
                    self.change(PYTHONMALLOC, Some(wanted.value().into()));
                }
            }
            (None, Some(present)) => {
                if preset.is_none_or(|preset| present != preset.value()) {
                    self.note_kept(PYTHONMALLOC);
                }
            }
            // Python keeps it when nothing is said; only where our library serves it has to be said.
            (Some(Pymalloc::Keep), None)
                if plan.allocator != Some(Allocator::Slackwater)
                    || plan.interpreter != Interpreter::Ordinary => {}
            (wanted, None) => {
                if let Some(wanted) = wanted.or(preset) {
                    self.change(PYTHONMALLOC, Some(wanted.value().into()));
                }
            }
        }
    }

    /// Says that the user's own variable stays in force.
    fn note_kept(&mut self, variable: &str) {
        if let Some(value) = (self.present)(variable).filter(|value| !value.is_empty()) {
            let value = value.to_string_lossy().into_owned();
            self.changes.notes.push(Note::Kept { variable: variable.to_owned(), value });
        }
    }

    /// The variable as composed so far.
    fn value(&self, variable: &str) -> Option<OsString> {
        match self.changes.variables.get(variable) {
            Some(changed) => changed.clone(),
            None => (self.present)(variable),
        }
    }

    fn text(&self, variable: &str) -> Option<String> {
        self.value(variable).map(|value| value.to_string_lossy().into_owned())
    }

    fn list(&self, variable: &str, syntax: Syntax) -> List {
        List::parse(&self.text(variable).unwrap_or_default(), syntax)
    }

    /// Notes the change, unless it is none.
    fn change(&mut self, variable: &str, value: Option<OsString>) {
        if (self.present)(variable) == value {
            self.changes.variables.remove(variable);
        } else {
            self.changes.variables.insert(variable.to_owned(), value);
        }
    }
}

fn tunable(key: &str) -> String {
    format!("glibc.malloc.{key}")
}

/// The settings of a list as `MALLOC_CONF` has them: keys as written, with the values that count.
pub fn conf_keys(list: &OsStr) -> Vec<String> {
    List::parse(&list.to_string_lossy(), Syntax::Conf).keys().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
