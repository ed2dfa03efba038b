//! From one frame to its caller.

use crate::rule::{Base, Cfa, Rule, Saved};

/// The stack, which is read word by word.
pub trait Memory {
    /// The eight bytes at `addr`, a multiple of 8; `None` where they may not be read.
    fn word(&mut self, addr: u64) -> Option<u64>;
}

/// What is known of a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Registers {
    /// The instruction, or the return address.
    pub pc: u64,
    /// The stack pointer.
    pub sp: u64,
    /// rbp, if it can be told.
    pub bp: Option<u64>,
    /// rbx, if it can be told.
    pub bx: Option<u64>,
    /// Whether `pc` is a return address: then the code that runs is the call before it.
    pub is_return: bool,
}

impl Registers {
    /// An address within the instruction that runs.
    #[inline]
    pub const fn lookup(&self) -> u64 {
        self.pc.wrapping_sub(self.is_return as u64)
    }
}

/// Why a walk goes no further.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// At the first frame of the thread.
    Outermost,
    /// Nothing, or nothing that can be true, is known of this code.
    Unknown,
}

/// One step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// To the caller.
    Caller(Registers),
    /// Nowhere.
    Ended(Ended),
}

/// In a signal's frame: where the kernel keeps the interrupted registers, from the stack pointer with which
/// the handler returns. `ucontext`'s `uc_mcontext.gregs` begins at 40 (arch/x86/include/uapi/asm/sigcontext.h).
const SIGNAL_RBP: u64 = 40 + 10 * 8;
const SIGNAL_RBX: u64 = 40 + 11 * 8;
const SIGNAL_RSP: u64 = 40 + 15 * 8;
const SIGNAL_RIP: u64 = 40 + 16 * 8;

/// The caller of a frame, by the rule of its code.
#[inline]
pub fn step(rule: Rule, registers: &Registers, memory: &mut impl Memory) -> Step {
    try_step(rule, registers, memory).unwrap_or(Step::Ended(Ended::Unknown))
}

#[inline]
fn try_step(rule: Rule, registers: &Registers, memory: &mut impl Memory) -> Option<Step> {
    let at = |base: Base, offset: i32| {
        let value = match base {
            Base::Rsp => registers.sp,
            Base::Rbp => registers.bp?,
            Base::Rbx => registers.bx?,
        };
        value.checked_add_signed(i64::from(offset))
    };
    let mut word = |addr: u64| if addr & 7 == 0 { memory.word(addr) } else { None };
    let cfa = match rule.cfa {
        Cfa::Unknown => return None,
        Cfa::End => return Some(Step::Ended(Ended::Outermost)),
        Cfa::Offset(base, offset) => at(base, offset)?,
        Cfa::Loaded(base, offset) => word(at(base, offset)?)?,
        Cfa::Signal => {
            let mut saved = |offset: u64| word(registers.sp.checked_add(offset)?);
            // The interrupted code may run on another stack, so this one's pointer may go down.
            return Some(Step::Caller(Registers {
                pc: saved(SIGNAL_RIP)?,
                sp: saved(SIGNAL_RSP)?,
                bp: saved(SIGNAL_RBP),
                bx: saved(SIGNAL_RBX),
                is_return: false,
            }));
        }
    };
    // A caller's frame lies above: anything else is a rule that does not fit, or a stack overwritten.
    if cfa <= registers.sp {
        return None;
    }
    let mut recover = |saved: Saved, present: Option<u64>| match saved {
        Saved::Kept => present,
        Saved::At(offset) => word(cfa.checked_add_signed(i64::from(offset))?),
        Saved::AtRbp(offset) => word(registers.bp?.checked_add_signed(i64::from(offset))?),
        Saved::Lost => None,
    };
    let bp = recover(rule.rbp, registers.bp);
    let bx = recover(rule.rbx, registers.bx);
    let pc = recover(Saved::At(-8), None)?;
    Some(Step::Caller(Registers { pc, sp: cfa, bp, bx, is_return: true }))
}
