//! The whole stack of a stopped thread, frame by frame, by call frame information only.
//!
//! Invariant: nothing is guessed. A frame without frame information, a rule that cannot be
//! evaluated, a stack pointer that does not grow: each ends the walk with an error, because the
//! walk is a proof about what the thread is inside of. (General unwinders fall back to frame
//! pointers and to reading instructions, which is right for a profiler and wrong here.)

use std::time::Instant;

use gimli::{CfaRule, EvaluationResult, Expression, Register, RegisterRule, UnwindContext, Value, X86_64};
use slackwater_base::{Addr, Range};

use crate::error::Unsafe;
use crate::module::Module;
use crate::regs::Registers;

/// Deepest stack that is walked. Python's recursion limit is 1000; C code called from it stays far
/// below a frame per 128 bytes of an 8 MiB stack.
const DEEPEST: usize = 1 << 16;

/// A frame of the stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Frame {
    /// An address inside the instruction that is executing: the program counter in the innermost
    /// frame, one below the return address in all others.
    pub(crate) lookup: Addr,
    /// Which module it lies in.
    pub(crate) module: usize,
}

/// What the walk asks of the target.
pub(crate) trait Context {
    /// The module that holds the code at an address.
    fn module_at(&self, addr: Addr) -> Result<usize, Unsafe>;
    /// A module that `module_at` has named.
    fn module(&self, index: usize) -> Option<&Module>;
    /// The 8-byte word at an address of the stack.
    fn word(&self, addr: Addr) -> Option<u64>;
}

/// The registers that frame information can name: 0 to 15 and the return address.
type File = [Option<u64>; 17];

/// All frames, innermost first, unless they cannot be had by `until`. The last one's frame information says that it has no caller.
pub(crate) fn walk(
    context: &impl Context,
    registers: &Registers,
    stack: Range,
    until: Instant,
) -> Result<Vec<Frame>, Unsafe> {
    let mut file = by_dwarf_number(registers);
    let mut unwind = UnwindContext::new();
    let mut frames = Vec::new();
    let mut pc = registers.pc();
    loop {
        let lookup = if frames.is_empty() { pc } else { pc - 1 };
        let frame = Frame { lookup, module: context.module_at(lookup)? };
        frames.push(frame);
        if frames.len().is_multiple_of(64) && Instant::now() > until {
            return Err(Unsafe::TookTooLong);
        }
        if frames.len() > DEEPEST {
            return Err(Unsafe::NoCaller(lookup));
        }
        match step(context, frame, &file, &mut unwind)? {
            None => return Ok(frames),
            Some(caller) => {
                let (Some(sp), Some(new_sp), Some(new_pc)) = (file[7], caller[7], caller[16]) else {
                    return Err(Unsafe::NoCaller(lookup));
                };
                if new_sp <= sp || new_sp > stack.end.get() {
                    return Err(Unsafe::NoCaller(lookup));
                }
                file = caller;
                pc = Addr(new_pc);
            }
        }
    }
}

/// The caller's registers; `None` when the frame is the outermost one.
fn step(
    context: &impl Context,
    frame: Frame,
    file: &File,
    unwind: &mut UnwindContext<usize>,
) -> Result<Option<File>, Unsafe> {
    let lookup = frame.lookup;
    let module = context.module(frame.module).ok_or(Unsafe::NoModule(lookup))?;
    let covered = module.with_frame_info(lookup, |info, section, bases, address| {
        if info.is_signal_trampoline() {
            return Err(Unsafe::InSignalHandler);
        }
        let unknown = Unsafe::NoCaller(lookup);
        let row = info
            .unwind_info_for_address(section, bases, unwind, address)
            .map_err(|_| Unsafe::NoUnwindInfo(lookup))?;
        let evaluate = |expression: gimli::UnwindExpression<usize>, first: Option<u64>| {
            let expression = expression.get(section).ok()?;
            evaluate(context, expression, info.cie().encoding(), file, first)
        };
        let cfa = match row.cfa() {
            CfaRule::RegisterAndOffset { register, offset } => {
                value(file, *register).and_then(|value| value.checked_add_signed(*offset))
            }
            CfaRule::Expression(expression) => evaluate(*expression, None),
        };
        let cfa = cfa.ok_or_else(|| unknown.clone())?;

        let recovered = |register: Register| match row.register(register) {
            Some(RegisterRule::Offset(offset)) => context.word(Addr(cfa.checked_add_signed(offset)?)),
            Some(RegisterRule::ValOffset(offset)) => cfa.checked_add_signed(offset),
            Some(RegisterRule::Register(other)) => value(file, other),
            Some(RegisterRule::Expression(expression)) => {
                context.word(Addr(evaluate(expression, Some(cfa))?))
            }
            Some(RegisterRule::ValExpression(expression)) => evaluate(expression, Some(cfa)),
            Some(RegisterRule::SameValue) => value(file, register),
            // Without a rule: kept by a callee where the ABI says so.
            None if CALLEE_SAVED.contains(&register) => value(file, register),
            _ => None,
        };
        if matches!(row.register(X86_64::RA), Some(RegisterRule::Undefined)) {
            return Ok(None);
        }
        let mut caller = [None; 17];
        for register in CALLEE_SAVED {
            caller[usize::from(register.0)] = recovered(register);
        }
        caller[7] = Some(cfa);
        caller[16] = Some(recovered(X86_64::RA).ok_or(unknown)?);
        Ok(Some(caller))
    });
    covered.unwrap_or(Err(Unsafe::NoUnwindInfo(lookup)))
}

/// Registers that a function hands back as it found them.
const CALLEE_SAVED: [Register; 6] =
    [X86_64::RBX, X86_64::RBP, X86_64::R12, X86_64::R13, X86_64::R14, X86_64::R15];

fn value(file: &File, register: Register) -> Option<u64> {
    file.get(usize::from(register.0)).copied().flatten()
}

fn evaluate(
    context: &impl Context,
    expression: Expression<gimli::EndianSlice<'_, gimli::LittleEndian>>,
    encoding: gimli::Encoding,
    file: &File,
    first: Option<u64>,
) -> Option<u64> {
    let mut evaluation = expression.evaluation(encoding);
    // Bounds loops in hostile files.
    evaluation.set_max_iterations(1000);
    if let Some(first) = first {
        evaluation.set_initial_value(first);
    }
    let mut state = evaluation.evaluate().ok()?;
    loop {
        state = match state {
            EvaluationResult::Complete => return evaluation.as_result().last()?.address(),
            EvaluationResult::RequiresRegister { register, .. } => {
                evaluation.resume_with_register(Value::Generic(value(file, register)?)).ok()?
            }
            EvaluationResult::RequiresMemory { address, size: 8, .. } => {
                evaluation.resume_with_memory(Value::Generic(context.word(Addr(address))?)).ok()?
            }
            _ => return None,
        };
    }
}

/// A single location of the kind an unwind expression yields.
trait AsAddress {
    fn address(&self) -> Option<u64>;
}

impl AsAddress for gimli::Piece<gimli::EndianSlice<'_, gimli::LittleEndian>> {
    fn address(&self) -> Option<u64> {
        match self.location {
            gimli::Location::Address { address } => Some(address),
            _ => None,
        }
    }
}

/// The DWARF numbering of the x86-64 ABI.
const fn by_dwarf_number(r: &Registers) -> File {
    [
        Some(r.rax),
        Some(r.rdx),
        Some(r.rcx),
        Some(r.rbx),
        Some(r.rsi),
        Some(r.rdi),
        Some(r.rbp),
        Some(r.rsp),
        Some(r.r8),
        Some(r.r9),
        Some(r.r10),
        Some(r.r11),
        Some(r.r12),
        Some(r.r13),
        Some(r.r14),
        Some(r.r15),
        Some(r.rip),
    ]
}
