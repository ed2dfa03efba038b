//! jemalloc: what `mallctl` answers to a list of names, in one entry.
//!
//! ```text
//! blob on the thread's own stack    name\0 name\0 ... │ value, length │ value, length │ ... │ mark
//! steps                             mallctl("epoch"), mallctl(name) ..., fill the mark, rest
//! ```
//!
//! The answers lie where the thread's own frames will lie again. So the last step is a short sleep, in
//! which they are copied; the copy counts only if the thread was still in its steps afterwards.
//!
//! Invariant: nothing of jemalloc is changed but the snapshot of its statistics, which every reader
//! renews. A name that this jemalloc does not know leaves its value as it was, and has no answer.

use slackwater_base::Addr;
use slackwater_memory::FileId;

use crate::error::InjectError;
use crate::frame::{Argument, Step};
use crate::{Options, Outcome, Target, sys};

/// Names of the function, by the prefix with which jemalloc was built.
const SYMBOLS: [&str; 3] = ["mallctl", "je_mallctl", "_rjem_mallctl"];

/// Most questions of one entry: each takes some half a kilobyte of the thread's stack.
const MOST_QUESTIONS: usize = 32;

/// How long the thread rests, at the first attempt and at those that follow, ms.
const RESTS: [u64; 3] = [10, 25, 50];

/// Longest text that is taken for an answer.
const LONGEST_TEXT: usize = 128;

/// What a value holds before the call. Its first byte is no `bool`.
const UNANSWERED: u64 = 0x51ac_0a7e_9d3b_5ea5;

/// Bytes of a value and its length.
const SLOT_BYTES: usize = 16;

/// What is asked: a name of jemalloc's manual, and the type of its value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Question {
    /// `opt.narenas`, `stats.active`.
    pub name: &'static str,
    /// The type that the manual gives it.
    pub type_: Type,
}

/// The type of a value.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Type {
    /// `bool`.
    Bool,
    /// `unsigned`.
    Unsigned,
    /// `size_t`.
    Size,
    /// `ssize_t`.
    Signed,
    /// `const char *`.
    Text,
}

impl Type {
    const fn bytes(self) -> u64 {
        match self {
            Self::Bool => 1,
            Self::Unsigned => 4,
            Self::Size | Self::Signed | Self::Text => 8,
        }
    }
}

/// What was answered.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A `bool`.
    Bool(bool),
    /// An `unsigned` or `size_t`.
    Unsigned(u64),
    /// An `ssize_t`.
    Signed(i64),
    /// The text that a `const char *` points to.
    Text(String),
}

impl std::fmt::Display for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Unsigned(value) => value.fmt(f),
            Self::Signed(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// What came of asking.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asked {
    /// The entry. `ran` includes the rest at its end.
    pub outcome: Outcome,
    /// An answer for each question; `None` for names that this jemalloc does not know.
    pub answers: Vec<Option<Answer>>,
}

/// Asks the jemalloc in `file`. `None` when it exports no `mallctl`.
///
/// # Errors
/// As [`Target::call`]; [`InjectError::Unsupported`] also when a thread runs under a seccomp filter, to
/// which the rest might be fatal, and when the answers were gone each time before they could be read.
///
/// # Panics
/// With more than 32 questions.
pub fn ask(
    target: &Target<'_>,
    file: FileId,
    questions: &[Question],
    options: &Options,
) -> Result<Option<Asked>, InjectError> {
    assert!(questions.len() <= MOST_QUESTIONS, "questions for one entry");
    let Some(function) = function(target, file)? else { return Ok(None) };
    if is_filtered(target) {
        return Err(target.lacking("it is under a seccomp filter, so its answers cannot be held still"));
    }
    let plan = Plan::new(function, questions);
    for rest_ms in RESTS {
        let steps = plan.steps(questions, rest_ms);
        let (outcome, left) = target.run_and_collect(&steps, &plan.blob, plan.mark, &[file], options)?;
        if let Some(left) = left {
            let answers =
                questions.iter().zip(&plan.slots).map(|(one, &slot)| plan.answer(target, *one, slot, &left));
            return Ok(Some(Asked { outcome, answers: answers.collect() }));
        }
        if !outcome.finished {
            break;
        }
    }
    Err(target.lacking("its answers were gone before they could be read"))
}

fn function(target: &Target<'_>, file: FileId) -> Result<Option<Addr>, InjectError> {
    let mappings = target.mappings()?;
    let own = mappings.iter().find(|mapping| mapping.file() == Some(file));
    let Some(name) = own.and_then(|mapping| Some(mapping.file_name()?.into_owned())) else { return Ok(None) };
    for symbol in SYMBOLS {
        let found = target.exported(symbol, |other| other == name)?;
        if let Some((function, _)) = found.filter(|(_, exporter)| *exporter == file) {
            return Ok(Some(function));
        }
    }
    Ok(None)
}

/// Whether any thread is under a filter of system calls, or that cannot be seen.
fn is_filtered(target: &Target<'_>) -> bool {
    let process = target.process();
    let is_free = |tid| process.task_status(tid).is_ok_and(|status| status.seccomp == Some(0));
    // A thread that ends meanwhile is seen as filtered; asking again is cheap.
    process.tasks().map_or(true, |tids| !tids.into_iter().all(is_free))
}

/// Where everything lies in the blob.
struct Plan {
    function: Addr,
    blob: Vec<u8>,
    /// Of each question.
    names: Vec<u64>,
    slots: Vec<u64>,
    /// The word that is filled when all is answered.
    mark: u64,
    /// `epoch`, and a slot that holds what is written there.
    epoch_name: u64,
    epoch: u64,
}

impl Plan {
    fn new(function: Addr, questions: &[Question]) -> Self {
        let mut blob = Vec::new();
        let text = |blob: &mut Vec<u8>, name: &str| {
            let at = blob.len() as u64;
            blob.extend(name.as_bytes());
            blob.push(0);
            at
        };
        let epoch_name = text(&mut blob, "epoch");
        let names = questions.iter().map(|question| text(&mut blob, question.name)).collect();
        blob.resize(blob.len().next_multiple_of(SLOT_BYTES), 0);
        let slot = |blob: &mut Vec<u8>, value: u64, len: u64| {
            let at = blob.len() as u64;
            blob.extend(value.to_le_bytes());
            blob.extend(len.to_le_bytes());
            at
        };
        // Any number that is written there renews the statistics.
        let epoch = slot(&mut blob, 1, 8);
        let slots =
            questions.iter().map(|question| slot(&mut blob, UNANSWERED, question.type_.bytes())).collect();
        let mark = slot(&mut blob, 0, 0);
        Self { function, blob, names, slots, mark, epoch_name, epoch }
    }

    fn steps(&self, questions: &[Question], rest_ms: u64) -> Vec<Step> {
        let word = Argument::Word;
        let call =
            |arguments: [Argument; 5]| Step::Function { at: self.function, arguments: arguments.to_vec() };
        // mallctl(name, oldp, oldlenp, newp, newlen)
        let renew = [Argument::Blob(self.epoch_name), word(0), word(0), Argument::Blob(self.epoch), word(8)];
        let mut steps = vec![call(renew)];
        for index in 0..questions.len() {
            let (name, slot) = (self.names[index], self.slots[index]);
            let ask =
                [Argument::Blob(name), Argument::Blob(slot), Argument::Blob(slot + 8), word(0), word(0)];
            steps.push(call(ask));
        }
        // All signals are blocked while the steps run, so the mask that the kernel writes is not zero.
        let mask = [word(0), word(0), Argument::Blob(self.mark), word(8)];
        steps.push(Step::Syscall { number: libc::SYS_rt_sigprocmask, arguments: mask.to_vec() });
        let rest = [word(0), word(0), word(rest_ms)];
        steps.push(Step::Syscall { number: libc::SYS_poll, arguments: rest.to_vec() });
        steps
    }

    /// The answer in the slot, if the call has written one.
    fn answer(&self, target: &Target<'_>, question: Question, slot: u64, left: &[u8]) -> Option<Answer> {
        let value = u64::from_le_bytes(*left.get(slot as usize..)?.first_chunk()?);
        let unanswered = UNANSWERED.to_le_bytes();
        let bytes = question.type_.bytes() as usize;
        if value.to_le_bytes()[..bytes] == unanswered[..bytes] {
            return None;
        }
        match question.type_ {
            Type::Bool => match value as u8 {
                0 => Some(Answer::Bool(false)),
                1 => Some(Answer::Bool(true)),
                _ => None,
            },
            Type::Unsigned => Some(Answer::Unsigned(u64::from(value as u32))),
            Type::Size => Some(Answer::Unsigned(value)),
            Type::Signed => Some(Answer::Signed(value as i64)),
            Type::Text => text(target, Addr(value)).map(Answer::Text),
        }
    }
}

/// The printable text at `at`, which jemalloc keeps for good.
fn text(target: &Target<'_>, at: Addr) -> Option<String> {
    let mut text = Vec::new();
    // Byte by byte: the next page may not be there.
    while text.len() < LONGEST_TEXT {
        let mut byte = [0];
        sys::read_memory(target.memory(), at.checked_add(text.len() as u64)?, &mut byte).ok()?;
        match byte[0] {
            0 => return String::from_utf8(text).ok(),
            byte if byte.is_ascii_graphic() || byte == b' ' => text.push(byte),
            _ => return None,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_own_place() {
        let question = |name, type_| Question { name, type_ };
        let questions = [question("opt.narenas", Type::Unsigned), question("version", Type::Text)];
        let plan = Plan::new(Addr(0x5000), &questions);
        let text_at = |at: u64| {
            let from = &plan.blob[at as usize..];
            String::from_utf8(from[..from.iter().position(|byte| *byte == 0).unwrap()].to_vec()).unwrap()
        };
        assert_eq!(text_at(plan.epoch_name), "epoch");
        assert_eq!(plan.names.iter().map(|&at| text_at(at)).collect::<Vec<_>>(), ["opt.narenas", "version"]);
        let word = |at: u64| u64::from_le_bytes(plan.blob[at as usize..][..8].try_into().unwrap());
        assert_eq!((word(plan.epoch), word(plan.epoch + 8)), (1, 8));
        assert_eq!(plan.slots.iter().map(|slot| word(slot + 8)).collect::<Vec<_>>(), [4, 8]);
        assert_eq!(word(plan.mark), 0);
        assert!(plan.slots.iter().all(|slot| slot % 16 == 0));
        let steps = plan.steps(&questions, 10);
        assert_eq!(steps.len(), 1 + 2 + 2);
        assert!(matches!(&steps[4], Step::Syscall { number: libc::SYS_poll, .. }));
    }
}
