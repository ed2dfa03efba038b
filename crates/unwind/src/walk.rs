//! From one frame to its caller.

use crate::rule::{Base, Cfa, RULE_WORDS, Rule, Saved};

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

/// No return address: at the beginning of a stack that a program has made itself, or what was never one.
const NOWHERE: u64 = 0;

/// The caller of a frame, by the encoded rule of its code.
#[inline]
pub fn step(rule: [u64; RULE_WORDS], registers: &Registers, memory: &mut impl Memory) -> Step {
    match Rule::saved_from_rsp(rule) {
        Some(saved) => step_from_rsp(rule, saved, registers, memory).unwrap_or(Step::Ended(Ended::Unknown)),
        None => step_by(Rule::decode(rule), registers, memory),
    }
}

/// By the commonest of rules.
#[inline]
fn step_from_rsp(
    [first, second]: [u64; RULE_WORDS],
    [saves_bp, saves_bx]: [bool; 2],
    registers: &Registers,
    memory: &mut impl Memory,
) -> Option<Step> {
    let cfa = registers.sp.checked_add_signed(i64::from((first >> 32) as i32))?;
    if cfa <= registers.sp || cfa & 7 != 0 {
        return None;
    }
    let mut at = |offset: u64| {
        let addr = cfa.checked_add_signed(i64::from(offset as i32))?;
        if addr & 7 == 0 { memory.word(addr) } else { None }
    };
    let bp = if saves_bp { at(second) } else { registers.bp };
    let bx = if saves_bx { at(second >> 32) } else { registers.bx };
    let pc = memory.word(cfa - 8).filter(|&pc| pc != NOWHERE)?;
    Some(Step::Caller(Registers { pc, sp: cfa, bp, bx, is_return: true }))
}

/// By any rule.
#[inline(never)]
fn step_by(rule: Rule, registers: &Registers, memory: &mut impl Memory) -> Step {
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
    let pc = recover(Saved::At(-8), None).filter(|&pc| pc != NOWHERE)?;
    Some(Step::Caller(Registers { pc, sp: cfa, bp, bx, is_return: true }))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stack from 0x1000 on, whose words are their own addresses with a bit set.
    struct Stack;

    const TAG: u64 = 1 << 40;

    impl Memory for Stack {
        fn word(&mut self, addr: u64) -> Option<u64> {
            (0x1000..0x2000).contains(&addr).then_some(addr | TAG)
        }
    }

    const AT: Registers =
        Registers { pc: 0x40_0000, sp: 0x1100, bp: Some(0x1200), bx: Some(0x1300), is_return: false };

    fn rule(cfa: Cfa) -> Rule {
        Rule { cfa, rbp: Saved::Kept, rbx: Saved::Kept, runs_python: false }
    }

    fn caller(rule: Rule, registers: Registers) -> Option<Registers> {
        match step(rule.encode(), &registers, &mut Stack) {
            Step::Caller(registers) => Some(registers),
            Step::Ended(ended) => {
                assert_eq!(ended, Ended::Unknown);
                None
            }
        }
    }

    #[test]
    fn the_cfa_is_found_from_each_register_and_the_return_address_lies_below_it() {
        let check = |base, offset, sp: u64| {
            let expected = Registers { pc: (sp - 8) | TAG, sp, is_return: true, ..AT };
            assert_eq!(caller(rule(Cfa::Offset(base, offset)), AT), Some(expected), "{base:?} {offset}");
        };
        check(Base::Rsp, 8, 0x1108);
        check(Base::Rbp, 16, 0x1210);
        check(Base::Rbx, -256, 0x1200);
        // A pointer to the frame, kept in memory: here it leads out of the stack.
        assert_eq!(caller(rule(Cfa::Loaded(Base::Rbp, -8)), AT), None);
    }

    #[test]
    fn registers_are_recovered_from_where_the_rule_says() {
        let check = |rbp, bp| {
            let found = caller(Rule { rbp, rbx: rbp, ..rule(Cfa::Offset(Base::Rsp, 32)) }, AT).unwrap();
            assert_eq!(found.bp, bp, "{rbp:?}");
        };
        check(Saved::Kept, AT.bp);
        check(Saved::At(-16), Some(0x1110 | TAG));
        check(Saved::AtRbp(8), Some(0x1208 | TAG));
        check(Saved::At(-0x1000), None);
        check(Saved::Lost, None);
        let found = caller(Rule { rbx: Saved::Lost, ..rule(Cfa::Offset(Base::Rsp, 32)) }, AT).unwrap();
        assert_eq!((found.bp, found.bx), (AT.bp, None));
    }

    #[test]
    fn a_walk_that_would_not_go_up_or_cannot_be_known_ends() {
        let check = |cfa, registers| assert_eq!(caller(rule(cfa), registers), None, "{cfa:?}");
        check(Cfa::Offset(Base::Rsp, 0), AT);
        check(Cfa::Offset(Base::Rsp, -8), AT);
        check(Cfa::Offset(Base::Rsp, 4), AT);
        check(Cfa::Offset(Base::Rsp, 0x4000), AT);
        check(Cfa::Offset(Base::Rbp, 16), Registers { bp: None, ..AT });
        check(Cfa::Offset(Base::Rbx, 16), Registers { bx: None, ..AT });
        check(Cfa::Offset(Base::Rsp, -8), Registers { sp: 0, ..AT });
        check(Cfa::Unknown, AT);
        assert_eq!(step(rule(Cfa::End).encode(), &AT, &mut Stack), Step::Ended(Ended::Outermost));
    }

    #[test]
    fn a_stack_that_begins_without_a_return_address_ends_a_walk() {
        struct Zeroes;
        impl Memory for Zeroes {
            fn word(&mut self, _: u64) -> Option<u64> {
                Some(0)
            }
        }
        for cfa in [Cfa::Offset(Base::Rsp, 16), Cfa::Offset(Base::Rbp, 16)] {
            assert_eq!(step(rule(cfa).encode(), &AT, &mut Zeroes), Step::Ended(Ended::Unknown), "{cfa:?}");
        }
    }

    #[test]
    fn what_a_signal_interrupted_goes_on_where_it_was_on_any_stack() {
        // Offsets of struct ucontext_t and sigcontext of Linux, x86-64: rbp, rbx, rsp, rip.
        let [bp, bx, sp, pc] = [120, 128, 160, 168].map(|offset| (0x1100 + offset) | TAG);
        let expected = Registers { pc, sp, bp: Some(bp), bx: Some(bx), is_return: false };
        assert_eq!(caller(rule(Cfa::Signal), AT), Some(expected));
        // It had not called anything: its own instruction is looked up, a caller's is the one before.
        assert_eq!(expected.lookup(), pc);
        assert_eq!(Registers { is_return: true, ..expected }.lookup(), pc - 1);
    }

    #[test]
    fn the_commonest_rules_say_what_any_rule_says() {
        let offsets = [i32::MIN, -8, 0, 4, 8, 16, 17, 0x700, 0x4000, i32::MAX];
        let saved =
            [Saved::Kept, Saved::Lost, Saved::At(-16), Saved::At(-17), Saved::At(0), Saved::At(i32::MIN)];
        let mut n_common = 0;
        for cfa in offsets.map(|offset| Cfa::Offset(Base::Rsp, offset)) {
            for (rbp, rbx) in saved.iter().flat_map(|&rbp| saved.map(|rbx| (rbp, rbx))) {
                let rule = Rule { cfa, rbp, rbx, runs_python: true };
                assert!(Rule::runs_python(rule.encode()));
                n_common += usize::from(Rule::saved_from_rsp(rule.encode()).is_some());
                for sp in [0, 0x1000, 0x1104, 0x1108, u64::MAX - 7] {
                    for registers in [Registers { sp, ..AT }, Registers { sp, bp: None, ..AT }] {
                        let any = step_by(rule, &registers, &mut Stack);
                        assert_eq!(
                            step(rule.encode(), &registers, &mut Stack),
                            any,
                            "{rule:?} {registers:?}"
                        );
                    }
                }
            }
        }
        assert_eq!(n_common, offsets.len() * 25);
        for cfa in [Cfa::Offset(Base::Rbp, 8), Cfa::Offset(Base::Rbx, 8), Cfa::Signal, Cfa::End] {
            assert_eq!(Rule::saved_from_rsp(rule(cfa).encode()), None);
        }
    }
}
