//! `[[arm]]`: the variants, the null arm among them.
//!
//! Invariant: arms leave this file with distinct names, settings that their allocators have, and a null
//! arm at the end.

use std::ffi::OsStr;

use slackwater_tune::presets::{PYTHONMALLOC, Pymalloc};
use slackwater_tune::settings::{self, Assignment};
use slackwater_tune::{Allocator, Choice};

use super::table::{Table, Value, shown};
use super::{Around, matrix};
use crate::plan::{self, Arm, PlanError};

const KEYS: &[&str] = &["name", "allocator", "bare", "set", "pymalloc", "command", "environment"];

/// More would take weeks.
const MOST_ARMS: usize = 200;
const LONGEST_NAME: usize = 100;

pub(super) fn read(root: &Table, around: &Around) -> Result<Vec<Arm>, PlanError> {
    let mut drafts = Vec::new();
    let mut lines = Vec::new();
    if let Some(list) = root.get("arm") {
        for item in list.filled_list("one [[arm]] or more")? {
            drafts.push(draft(&item, around)?);
            lines.push(item.line);
        }
    }
    if let Some(matrix) = root.get("matrix") {
        lines = vec![matrix.line];
        drafts = matrix::multiply(&matrix, drafts, around)?;
    }
    if drafts.is_empty() {
        return Err(PlanError::Missing {
            line: 1,
            place: "the plan".to_owned(),
            key: "arm",
            accepted: "a variant of the service, such as [[arm]] with name = \"glibc\"; [matrix] gives many",
        });
    }
    let line = |idx: usize| lines.get(idx).or(lines.first()).copied().unwrap_or(1);
    let mut arms: Vec<Arm> = Vec::new();
    for (idx, draft) in drafts.into_iter().enumerate() {
        let arm = draft.arm();
        if arms.iter().any(|other| other.name == arm.name) {
            return Err(conflict(
                line(idx),
                format!("two arms are called '{}'", arm.name),
                "results are kept by the names of arms: give each its own",
            ));
        }
        arms.push(arm);
    }
    if arms.len() > MOST_ARMS {
        let what = format!("{} arms are too many; {MOST_ARMS} are the most", arms.len());
        return Err(conflict(line(0), what, "leave out values of the matrix"));
    }
    let null = arms[0].again();
    if let Some(idx) = arms.iter().position(|arm| arm.name == null.name) {
        return Err(conflict(
            line(idx),
            format!("the name '{}' is taken: every experiment repeats its first arm under it", null.name),
            "leave this arm out, or give it another name",
        ));
    }
    arms.push(null);
    Ok(arms)
}

fn conflict(line: usize, what: String, hint: &str) -> PlanError {
    PlanError::Conflict { line, what, hint: hint.to_owned() }
}

/// An arm in the making.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Draft {
    /// The parts of its name.
    pub(super) name: Vec<String>,
    pub(super) command: Option<Vec<String>>,
    pub(super) environment: std::collections::BTreeMap<String, String>,
    pub(super) choice: Option<Choice>,
    pub(super) bare: bool,
    pub(super) assignments: Vec<Assignment>,
    pub(super) pymalloc: Option<Pymalloc>,
}

fn draft(item: &Value, around: &Around) -> Result<Draft, PlanError> {
    let table = item.table(KEYS)?;
    let mut draft = Draft { name: vec![name(&table)?], ..Draft::default() };
    if let Some(value) = table.get("allocator") {
        draft.choice = Some(choice(&value, around)?);
    }
    for key in ["bare", "set"] {
        if let (None, Some(value)) = (&draft.choice, table.get(key)) {
            return Err(value.conflict(
                format!("'{key}' is for arms with an allocator, and this one is started as it is"),
                "add allocator = \"glibc\" to have the C library's malloc under settings",
            ));
        }
    }
    if let Some(value) = table.get("bare") {
        draft.bare = value.switch()?;
    }
    if let Some(value) = table.get("set") {
        for setting in value.open("a table of settings, such as { narenas = 1, dirty_decay_ms = 1000 }")? {
            draft.assign(&setting, &setting.written()?)?;
        }
    }
    if let Some(value) = table.get("pymalloc") {
        draft.pymalloc = Some(value.one_of(Pymalloc::ALL, Pymalloc::key)?);
    }
    if let Some(value) = table.get("command") {
        draft.command = Some(value.command()?);
    }
    if let Some(value) = table.get("environment") {
        draft.environment = value.environment()?;
    }
    Ok(draft)
}

fn name(table: &Table) -> Result<String, PlanError> {
    const ACCEPTED: &str = "what tables and charts call the arm, on one line, of at most 100 letters";
    let value = table.need("name", ACCEPTED)?;
    let name = value.filled(ACCEPTED)?;
    let sound = name.chars().count() <= LONGEST_NAME && !name.chars().any(char::is_control);
    if sound && name.trim() == name { Ok(name.to_owned()) } else { Err(value.refuse(ACCEPTED)) }
}

/// An allocator by name, or a library by its path, counted from the plan's folder.
pub(super) fn choice(value: &Value, around: &Around) -> Result<Choice, PlanError> {
    let known = || Allocator::ALL.iter().map(|one| one.key()).collect::<Vec<_>>().join(", ");
    let word = value.filled(&format!("one of {}, or the path of a library", known()))?;
    match Choice::of(OsStr::new(word)) {
        Ok(Choice::Library(path)) => Ok(Choice::Library(around.folder.join(path))),
        Ok(choice) => Ok(choice),
        Err(error) => Err(value.conflict(error.to_string(), format!("there are {}", known()))),
    }
}

impl Draft {
    /// The allocator whose settings it takes, as far as that is known.
    pub(super) fn allocator(&self) -> Option<Allocator> {
        self.choice.as_ref().and_then(Choice::allocator)
    }

    /// Sets what `value` is called to `text`.
    pub(super) fn assign(&mut self, value: &Value, text: &str) -> Result<&Assignment, PlanError> {
        let Some(allocator) = self.allocator() else {
            return Err(value.conflict(
                format!("'{}': the settings of this library are not known", shown(&value.key)),
                "set its variables under environment",
            ));
        };
        let assignment = settings::assign(allocator, &value.key, text)
            .map_err(|source| PlanError::Setting { line: value.line, source })?;
        if self.assignments.iter().any(|other| other.setting.key == assignment.setting.key) {
            return Err(value
                .conflict(format!("{} is set twice", assignment.setting.key), "leave one of the two out"));
        }
        Ok(self.assignments.push_mut(assignment))
    }

    fn arm(self) -> Arm {
        let mut environment = self.environment;
        let allocator = match self.choice {
            Some(choice) => Some(plan::Allocator {
                choice: match choice {
                    Choice::Known(allocator) => allocator.key().to_owned(),
                    Choice::Library(path) => path.to_string_lossy().into_owned(),
                },
                settings: self
                    .assignments
                    .iter()
                    .map(|one| format!("{}={}", one.setting.key, one.value))
                    .collect(),
                pymalloc: self.pymalloc.map(|pymalloc| pymalloc.key().to_owned()),
                bare: self.bare,
            }),
            None => {
                // Nobody else tells Python which pools to use.
                let told =
                    self.pymalloc.map(|pymalloc| (PYTHONMALLOC.to_owned(), pymalloc.value().to_owned()));
                environment.extend(told);
                None
            }
        };
        Arm { name: self.name.join(" "), command: self.command, environment, allocator, is_null_of: None }
    }
}
