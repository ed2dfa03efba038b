//! What a foreign jemalloc says of itself when it is asked: shared by the verbs that may enter.

use std::path::Path;
use std::time::Duration;

use slackwater_base::{Gap, Pid};
use slackwater_diagnose::ProcessReport;
use slackwater_diagnose::serving::Answers;
use slackwater_heap::jemalloc::Statistics;
use slackwater_inject::recipe::{Answer, Question, Type, ask as ask_mallctl};
use slackwater_inject::{InjectError, Options, Target};
use slackwater_procfs::{ProcError, Process, Root};

use super::look;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;

/// The page that jemalloc counts by; 4096 in `stats.arenas.<i>` stands for all arenas.
const PAGE_BYTES: u64 = slackwater_base::PAGE_SIZE;

const fn question(name: &'static str, type_: Type) -> Question {
    Question { name, type_ }
}

/// Settings as they were decided at the start, or as they are now where that can change. The last of
/// several with one key counts.
const SETTINGS: [Question; 14] = [
    question("opt.narenas", Type::Unsigned),
    question("opt.background_thread", Type::Bool),
    question("opt.dirty_decay_ms", Type::Signed),
    question("arenas.dirty_decay_ms", Type::Signed),
    question("opt.muzzy_decay_ms", Type::Signed),
    question("arenas.muzzy_decay_ms", Type::Signed),
    question("opt.tcache", Type::Bool),
    question("opt.lg_tcache_max", Type::Size),
    question("opt.tcache_max", Type::Size),
    question("opt.oversize_threshold", Type::Size),
    question("opt.thp", Type::Text),
    question("opt.metadata_thp", Type::Text),
    question("opt.retain", Type::Bool),
    question("opt.percpu_arena", Type::Text),
];

const RUNS: Question = question("background_thread", Type::Bool);
const VERSION: Question = question("version", Type::Text);

/// In the order of the fields of [`Statistics`] that [`statistics`] fills.
const STATISTICS: [Question; 8] = [
    question("stats.allocated", Type::Size),
    question("stats.active", Type::Size),
    question("stats.resident", Type::Size),
    question("stats.metadata", Type::Size),
    question("stats.retained", Type::Size),
    question("stats.arenas.4096.pdirty", Type::Size),
    question("stats.arenas.4096.pmuzzy", Type::Size),
    question("stats.arenas.4096.tcache_bytes", Type::Size),
];

/// Asks the jemalloc in `library` of the process that began at `start_ticks`. `None` when it cannot be
/// asked: it exports no `mallctl`.
///
/// # Errors
/// When the process is gone, or no thread of it could be entered.
pub(super) fn ask(
    root: &Root,
    pid: Pid,
    start_ticks: u64,
    library: &Path,
    deadline: Duration,
) -> Result<Option<Answers>, Failure> {
    let process = root.process(pid).map_err(|error| look::refused(&error))?;
    if process.start_ticks() != start_ticks {
        return Err(look::refused(&ProcError::Gone { pid }));
    }
    enter(&process, library, deadline).map_err(|error| refused(&error))
}

fn enter(process: &Process, library: &Path, deadline: Duration) -> Result<Option<Answers>, InjectError> {
    let target = Target::open(process)?;
    let maps = process.maps().unwrap_or_default();
    // A diagnosis knows the file's name alone.
    let is_library = |path: &Path| {
        path == library
            || library.file_name() == Some(library.as_os_str()) && path.file_name() == library.file_name()
    };
    let mapping = maps.iter().find(|mapping| mapping.path().is_some_and(is_library));
    let Some(file) = mapping.and_then(|mapping| mapping.file()) else { return Ok(None) };
    let questions: Vec<Question> = SETTINGS.into_iter().chain([RUNS, VERSION]).chain(STATISTICS).collect();
    let options = Options { search: deadline, ..Options::default() };
    let Some(asked) = ask_mallctl(&target, file, &questions, &options)? else { return Ok(None) };
    let mut answers = asked.answers.into_iter();
    let settings = SETTINGS.iter().zip(answers.by_ref()).filter_map(|(question, answer)| {
        let key = question.name.rsplit('.').next().unwrap_or(question.name);
        Some((key.to_owned(), answer?.to_string()))
    });
    let settings = settings.collect();
    let runs = match answers.next().flatten() {
        Some(Answer::Bool(runs)) => Some(runs),
        _ => None,
    };
    let version = answers.next().flatten().map(|version| version.to_string());
    let statistics = statistics(answers);
    Ok(Some(Answers { settings, runs_background_threads: runs, version, statistics }))
}

/// `None` when this jemalloc was built without them.
fn statistics(answers: impl Iterator<Item = Option<Answer>>) -> Option<Statistics> {
    let numbers: Option<Vec<u64>> = answers
        .map(|answer| match answer {
            Some(Answer::Unsigned(number)) => Some(number),
            _ => None,
        })
        .collect();
    let [allocated, active, resident, metadata, retained, dirty, muzzy, cached] = numbers?.try_into().ok()?;
    Some(Statistics {
        taken_ns: 0,
        allocated_bytes: allocated,
        active_bytes: active,
        resident_bytes: resident,
        dirty_bytes: dirty.saturating_mul(PAGE_BYTES),
        muzzy_bytes: muzzy.saturating_mul(PAGE_BYTES),
        metadata_bytes: metadata,
        retained_bytes: retained,
        cached_bytes: cached,
    })
}

/// Asks each foreign jemalloc of a service what it holds. One that cannot be asked has a gap.
pub(super) fn ask_all(
    root: &Root,
    processes: &mut [ProcessReport],
    deadline: Duration,
    printer: &Printer,
) -> Exit {
    let mut exit = Exit::Done;
    for report in processes {
        let (Some(jemalloc), Some(library)) = (&mut report.jemalloc, &report.malloc.library) else {
            continue;
        };
        match ask(root, report.pid, report.start_ticks, Path::new(library), deadline) {
            Ok(answers) => jemalloc.statistics = answers.and_then(|answers| answers.statistics),
            Err(failure) => {
                report.gaps.push(Gap::new("what jemalloc itself says", failure.error.clone()));
                // A thread that stands in no safe place (a supervisor's, often) is no failure of the look.
                if failure.exit == Exit::Denied {
                    printer.failure(&failure);
                    exit = Exit::Denied;
                }
            }
        }
    }
    exit
}

/// An entry that was not made, as the user sees it.
fn refused(error: &InjectError) -> Failure {
    let exit = if matches!(error, InjectError::Denied { .. }) { Exit::Denied } else { Exit::Target };
    Failure::of(exit, error, error.hint())
}
