//! `[matrix]`: every combination of its values with every listed arm is an arm, named by what differs.
//!
//! A setting that an arm's allocator lacks is left out there; arms that come out the same are one.

use slackwater_tune::presets::Pymalloc;
use slackwater_tune::{Choice, settings};

use super::Around;
use super::arms::{Draft, choice};
use super::table::{Table, Value};
use crate::plan::PlanError;

const KEYS: &[&str] = &["server", "allocator", "bare", "set", "pymalloc", "environment"];

/// Started as it is, by nobody: the word of an allocator for that.
const PLAIN: &str = "plain";
/// Enough combinations to be refused by count, few enough to be built.
const MOST: usize = 10_000;

/// The arms of `drafts` times the values of the matrix; with no arms, of the service as it is.
pub(super) fn multiply(matrix: &Value, drafts: Vec<Draft>, around: &Around) -> Result<Vec<Draft>, PlanError> {
    let table = matrix.table(KEYS)?;
    let drafts = if drafts.is_empty() { vec![Draft::default()] } else { drafts };
    let mut drafts = servers(&table, drafts)?;
    drafts = allocators(&table, drafts, around)?;
    if let Some(value) = table.get("bare") {
        let values = value.filled_list("a list such as [false, true]")?;
        drafts = each(&value, drafts, &values, |draft, value| {
            let bare = value.switch()?;
            if draft.choice.is_some() {
                draft.bare = bare;
                draft.name.extend(bare.then(|| "bare".to_owned()));
            }
            Ok(())
        })?;
    }
    if let Some(sets) = table.get("set") {
        for setting in sets.open("a table of lists, such as { dirty_decay_ms = [1000, 5000] }")? {
            drafts = set(&setting, drafts)?;
        }
    }
    if let Some(value) = table.get("pymalloc") {
        let values = value.filled_list("a list such as [\"keep\", \"off\"]")?;
        drafts = each(&value, drafts, &values, |draft, value| {
            let pymalloc = value.one_of(Pymalloc::ALL, Pymalloc::key)?;
            if draft.pymalloc.is_some() {
                return Err(twice(value, draft, "pymalloc"));
            }
            draft.pymalloc = Some(pymalloc);
            draft.name.push(format!("pymalloc {pymalloc}"));
            Ok(())
        })?;
    }
    if let Some(variables) = table.get("environment") {
        for variable in variables.open("a table of lists, such as { MALLOC_ARENA_MAX = [1, 2] }")? {
            let name = variable.variable()?;
            let values = variable.filled_list("a list of values of this variable")?;
            drafts = each(&variable, drafts, &values, |draft, value| {
                let text = value.written()?;
                draft.name.push(format!("{name}={text}"));
                match draft.environment.insert(name.clone(), text) {
                    None => Ok(()),
                    Some(_) => Err(twice(value, draft, &name)),
                }
            })?;
        }
    }
    for draft in &mut drafts {
        // Nothing differs: the one arm there is.
        if draft.name.is_empty() {
            draft.name.push(PLAIN.to_owned());
        }
    }
    Ok(drafts)
}

/// Every draft with every value.
fn each<'t>(
    place: &Value,
    drafts: Vec<Draft>,
    values: &[Value<'t>],
    apply: impl Fn(&mut Draft, &Value<'t>) -> Result<(), PlanError>,
) -> Result<Vec<Draft>, PlanError> {
    let n_combinations = drafts.len() * values.len();
    if n_combinations > MOST {
        return Err(place.conflict(
            format!("the matrix has {n_combinations} combinations or more"),
            "leave out values: every combination is an arm that is measured",
        ));
    }
    let mut combined: Vec<Draft> = Vec::with_capacity(n_combinations);
    for draft in drafts {
        for value in values {
            let mut draft = draft.clone();
            apply(&mut draft, value)?;
            if !combined.contains(&draft) {
                combined.push(draft);
            }
        }
    }
    Ok(combined)
}

fn servers(table: &Table, drafts: Vec<Draft>) -> Result<Vec<Draft>, PlanError> {
    const ACCEPTED: &str = "a table of commands by name, such as { gunicorn = \"gunicorn ...\" }";
    let Some(value) = table.get("server") else { return Ok(drafts) };
    let servers = value.open(ACCEPTED)?;
    if servers.is_empty() {
        return Err(value.refuse(ACCEPTED));
    }
    // The server leads: arms of the same server stand together.
    let mut combined = Vec::new();
    for server in servers {
        combined.extend(each(&value, drafts.clone(), std::slice::from_ref(&server), |draft, server| {
            if draft.command.is_some() {
                return Err(twice(server, draft, "command"));
            }
            draft.command = Some(server.command()?);
            draft.name.insert(0, server.key.trim().to_owned());
            Ok(())
        })?);
    }
    Ok(combined)
}

fn allocators(table: &Table, drafts: Vec<Draft>, around: &Around) -> Result<Vec<Draft>, PlanError> {
    let Some(value) = table.get("allocator") else { return Ok(drafts) };
    let values = value.filled_list("a list such as [\"plain\", \"glibc\", \"jemalloc\", \"slackwater\"]")?;
    each(&value, drafts, &values, |draft, value| {
        if draft.choice.is_some() {
            return Err(twice(value, draft, "allocator"));
        }
        if value.string("the name of an allocator, or plain")? == PLAIN {
            draft.name.push(PLAIN.to_owned());
            return Ok(());
        }
        let choice = choice(value, around)?;
        draft.name.push(match &choice {
            Choice::Known(allocator) => allocator.key().to_owned(),
            Choice::Library(path) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        });
        draft.choice = Some(choice);
        Ok(())
    })
}

/// Sets it in every arm whose allocator has it.
fn set(setting: &Value, drafts: Vec<Draft>) -> Result<Vec<Draft>, PlanError> {
    let values = setting.filled_list("a list of values of this setting")?;
    let has =
        |draft: &Draft| draft.allocator().is_some_and(|one| settings::find(one, &setting.key).is_some());
    if !drafts.iter().any(has) {
        // Which one was meant, and who would have it, is said by the first arm that takes settings.
        let mut drafts = drafts;
        let first = drafts.iter_mut().find(|draft| draft.allocator().is_some());
        return Err(match first.map(|draft| draft.assign(setting, "").map(|_| ())) {
            Some(Err(error)) => error,
            _ => setting.conflict(
                format!("no arm has an allocator that takes {}", setting.path),
                "name one under allocator, in the matrix or in an arm",
            ),
        });
    }
    each(setting, drafts, &values, |draft, value| {
        let text = value.written()?;
        if has(draft) {
            let assignment = draft.assign(value, &text)?;
            let part = format!("{}={}", assignment.setting.key, assignment.value);
            draft.name.push(part);
        }
        Ok(())
    })
}

fn twice(value: &Value, draft: &Draft, key: &str) -> PlanError {
    value.conflict(
        format!("arm '{}' has {key} of its own, and the matrix gives it another", draft.name.join(" ")),
        "leave it out in the arm or in the matrix",
    )
}
