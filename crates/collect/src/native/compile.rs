//! From `.eh_frame` to a table of rules.
//!
//! Invariant: pure over bytes that may be hostile. What does not parse, contradicts itself or cannot be said
//! by a rule is unknown; nothing is guessed.

use std::collections::HashMap;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, EndianSlice, Expression, FrameDescriptionEntry, LittleEndian,
    Operation, Register, RegisterRule, UnwindContext, UnwindSection, UnwindTableRow, X86_64,
};
use slackwater_unwind::{Base, Cfa, Row, Rule, Saved, row};

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Most rows of one file: a gigabyte of dense code.
const ROWS_MAX: usize = 16 << 20;

/// Where the kernel keeps the interrupted stack pointer, from the one with which a handler returns.
const SIGNAL_RSP: i64 = 160;

/// The sections that frame information lies in and refers to, with their addresses.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Frames<'a> {
    pub(crate) eh_frame: &'a [u8],
    pub(crate) eh_frame_at: u64,
    pub(crate) text_at: u64,
    pub(crate) got_at: u64,
}

/// The rules of one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Table {
    pub(crate) rows: Vec<Row>,
    pub(crate) rules: Vec<Rule>,
}

/// Compiles the rules of all code from `base` on. `runs_python` tells of a function, by its first address,
/// whether it is the interpreter's loop.
pub(crate) fn compile(frames: &Frames<'_>, base: u64, runs_python: impl Fn(u64) -> bool) -> Table {
    let mut section = EhFrame::new(frames.eh_frame, LittleEndian);
    section.set_address_size(8);
    let bases = BaseAddresses::default()
        .set_eh_frame(frames.eh_frame_at)
        .set_text(frames.text_at)
        .set_got(frames.got_at);
    let mut spans = Spans::new(base);
    let mut context = UnwindContext::new();
    let mut entries = section.entries(&bases);
    while let Ok(Some(entry)) = entries.next() {
        let CieOrFde::Fde(partial) = entry else { continue };
        let Ok(entry) = partial.parse(EhFrame::cie_from_offset) else { continue };
        let is_python = runs_python(entry.initial_address());
        let Ok(mut rows) = entry.rows(&section, &bases, &mut context) else { continue };
        while let Ok(Some(row)) = rows.next_row() {
            let mut rule = rule(row, &entry, &section);
            rule.runs_python = is_python;
            spans.push(row.start_address(), row.end_address(), rule);
        }
        if spans.list.len() > ROWS_MAX {
            break;
        }
    }
    spans.finish()
}

/// Spans of code with one rule each.
struct Spans {
    base: u64,
    list: Vec<(u32, u32, u32)>,
    rules: Vec<Rule>,
    known: HashMap<Rule, u32>,
}

impl Spans {
    fn new(base: u64) -> Self {
        Self {
            base,
            list: Vec::new(),
            rules: vec![Rule::UNKNOWN],
            known: HashMap::from([(Rule::UNKNOWN, 0)]),
        }
    }

    fn push(&mut self, start: u64, end: u64, rule: Rule) {
        let offset = |address: u64| u32::try_from(address.checked_sub(self.base)?).ok();
        let (Some(start), Some(end)) = (offset(start), offset(end)) else { return };
        if start >= end {
            return;
        }
        let next = self.rules.len() as u32;
        let id = *self.known.entry(rule).or_insert(next);
        if id == next {
            self.rules.push(rule);
        }
        self.list.push((start, end, id));
    }

    /// Sorted, and with what lies in between unknown.
    fn finish(mut self) -> Table {
        self.list.sort_unstable();
        let mut rows: Vec<Row> = Vec::with_capacity(self.list.len() + self.list.len() / 4);
        let mut reached = 0;
        let mut last = None;
        for (start, end, rule) in self.list {
            // Two entries for the same code: the first one counts.
            let start = start.max(reached);
            if start >= end {
                continue;
            }
            if start > reached && last.is_some_and(|last| last != 0) {
                rows.push(row(reached, 0));
                last = Some(0);
            }
            if last != Some(rule) {
                rows.push(row(start, rule));
                last = Some(rule);
            }
            reached = end;
        }
        rows.push(row(reached, 0));
        Table { rows, rules: self.rules }
    }
}

fn rule<'a>(
    row: &UnwindTableRow<usize>,
    entry: &FrameDescriptionEntry<Slice<'a>>,
    section: &EhFrame<Slice<'a>>,
) -> Rule {
    let encoding = entry.cie().encoding();
    let place = |expression: &gimli::UnwindExpression<usize>| place(expression.get(section).ok()?, encoding);
    if entry.is_signal_trampoline() {
        let is_kernels = match row.cfa() {
            CfaRule::Expression(expression) => place(expression) == Some((X86_64::RSP, SIGNAL_RSP, true)),
            CfaRule::RegisterAndOffset { .. } => false,
        };
        return if is_kernels { Rule { cfa: Cfa::Signal, ..Rule::UNKNOWN } } else { Rule::UNKNOWN };
    }
    match row.register(X86_64::RA) {
        Some(RegisterRule::Offset(-8)) => {}
        Some(RegisterRule::Undefined) => return Rule { cfa: Cfa::End, ..Rule::UNKNOWN },
        _ => return Rule::UNKNOWN,
    }
    let cfa = match row.cfa() {
        CfaRule::RegisterAndOffset { register, offset } => at(*register, *offset, false),
        CfaRule::Expression(expression) => {
            place(expression).and_then(|(register, offset, is_loaded)| at(register, offset, is_loaded))
        }
    };
    let saved = |register: Register| match row.register(register) {
        None | Some(RegisterRule::SameValue) => Saved::Kept,
        Some(RegisterRule::Offset(offset)) => i32::try_from(offset).map_or(Saved::Lost, Saved::At),
        Some(RegisterRule::Expression(expression)) => match place(&expression) {
            Some((X86_64::RBP, offset, false)) => i32::try_from(offset).map_or(Saved::Lost, Saved::AtRbp),
            _ => Saved::Lost,
        },
        Some(_) => Saved::Lost,
    };
    match cfa {
        Some(cfa) => Rule { cfa, rbp: saved(X86_64::RBP), rbx: saved(X86_64::RBX), runs_python: false },
        None => Rule::UNKNOWN,
    }
}

fn at(register: Register, offset: i64, is_loaded: bool) -> Option<Cfa> {
    let base = match register {
        X86_64::RSP => Base::Rsp,
        X86_64::RBP => Base::Rbp,
        X86_64::RBX => Base::Rbx,
        _ => return None,
    };
    let offset = i32::try_from(offset).ok()?;
    Some(if is_loaded { Cfa::Loaded(base, offset) } else { Cfa::Offset(base, offset) })
}

/// What compilers write as an expression: a register plus an offset, perhaps loaded from there.
fn place(expression: Expression<Slice<'_>>, encoding: gimli::Encoding) -> Option<(Register, i64, bool)> {
    let mut operations = expression.operations(encoding);
    let Ok(Some(Operation::RegisterOffset { register, offset, .. })) = operations.next() else { return None };
    match operations.next() {
        Ok(None) => Some((register, offset, false)),
        Ok(Some(Operation::Deref { size: 8, space: false, .. })) => {
            matches!(operations.next(), Ok(None)).then_some((register, offset, true))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use slackwater_remote::ElfFile;

    use super::*;

    /// Frame information of a real program, and its address.
    fn real() -> (Vec<u8>, u64) {
        let elf = ElfFile::open(std::fs::File::open("/bin/true").unwrap()).unwrap();
        let section = elf.section(".eh_frame").unwrap();
        (elf.contents(section).unwrap(), section.address)
    }

    fn table(eh_frame: &[u8], eh_frame_at: u64) -> Table {
        compile(&Frames { eh_frame, eh_frame_at, ..Frames::default() }, 0, |_| false)
    }

    #[test]
    fn a_real_program_has_rules_in_order() {
        let (bytes, at) = real();
        let table = table(&bytes, at);
        let offsets: Vec<u64> = table.rows.iter().map(|row| row >> 32).collect();
        assert!(offsets.len() > 100 && offsets.is_sorted_by(|one, other| one < other));
        assert!(table.rows.iter().all(|&row| (row as u32 as usize) < table.rules.len()));
        let start =
            Rule { cfa: Cfa::Offset(Base::Rsp, 8), rbp: Saved::Kept, rbx: Saved::Kept, runs_python: false };
        assert!(table.rules.contains(&start), "no function begins");
        assert!(table.rules.iter().any(|rule| rule.cfa == Cfa::End), "_start has no end");
    }

    #[test]
    fn damaged_frame_information_is_unknown_and_nothing_worse() {
        let (bytes, at) = real();
        let mut random = 0x9e37_79b9_7f4a_7c15_u64;
        let mut next = |below: usize| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            (random % below as u64) as usize
        };
        for round in 0..300 {
            let mut damaged = bytes.clone();
            for _ in 0..=round % 40 {
                let place = next(damaged.len());
                damaged[place] = next(256) as u8;
            }
            damaged.truncate(damaged.len() - next(if round % 3 == 0 { damaged.len() } else { 1 }));
            let table = table(&damaged, at);
            assert!(table.rows.is_sorted(), "round {round}");
            assert!(table.rows.iter().all(|&row| (row as u32 as usize) < table.rules.len()));
        }
    }
}
