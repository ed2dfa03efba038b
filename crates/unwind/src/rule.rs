//! How the caller of one instruction is found, in two words.
//!
//! ```text
//! word 0   bits 0..4 kind   bit 4 runs Python   bits 8..16 base
//!          bits 16..24 rbp: 0 kept, 1 saved from the CFA, 2 lost, 3 saved from rbp
//!          bits 24..32 rbx, likewise   bits 32..64 offset
//! word 1   bits 0..32 where rbp is saved   bits 32..64 where rbx is
//! ```
//!
//! The CFA is the stack pointer before the call (DWARF's canonical frame address). The return address lies
//! just below it: code that keeps it anywhere else has no rule. Only rsp, rbp and rbx are followed,
//! because no compiler finds a CFA by any other register outside of a prologue.

/// Words of a rule.
pub const RULE_WORDS: usize = 2;

const UNKNOWN: u64 = 0;
const END: u64 = 1;
const OFFSET: u64 = 2;
const LOADED: u64 = 3;
const SIGNAL: u64 = 4;
const KIND: u64 = 0xf;
const RUNS_PYTHON: u64 = 1 << 4;

/// A register that a CFA is found by.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Base {
    /// The stack pointer.
    Rsp,
    /// Frame pointers, where there are any.
    Rbp,
    /// The loader's trampolines.
    Rbx,
}

/// Where the CFA is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cfa {
    /// It cannot be told.
    Unknown,
    /// Nobody has called this code: the stack ends here.
    End,
    /// At the register plus so many bytes.
    Offset(Base, i32),
    /// In memory at the register plus so many bytes: functions that align their stack.
    Loaded(Base, i32),
    /// A signal came here. The kernel has put the interrupted registers at the stack pointer.
    Signal,
}

/// What became of a register that the caller wants back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Saved {
    /// It still holds the caller's value.
    Kept,
    /// Its value lies so many bytes from the CFA.
    At(i32),
    /// Its value lies so many bytes from where rbp points: functions that align their stack.
    AtRbp(i32),
    /// It cannot be told.
    Lost,
}

/// How the caller of one instruction is found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rule {
    /// Where the CFA is.
    pub cfa: Cfa,
    /// The caller's rbp.
    pub rbp: Saved,
    /// The caller's rbx.
    pub rbx: Saved,
    /// Whether this is the interpreter's loop, so that Python frames run here.
    pub runs_python: bool,
}

impl Rule {
    /// Nothing is known.
    pub const UNKNOWN: Self =
        Self { cfa: Cfa::Unknown, rbp: Saved::Lost, rbx: Saved::Lost, runs_python: false };

    /// As two words.
    pub const fn encode(self) -> [u64; RULE_WORDS] {
        const fn base(base: Base) -> u64 {
            match base {
                Base::Rsp => 0,
                Base::Rbp => 1,
                Base::Rbx => 2,
            }
        }
        const fn saved(saved: Saved) -> (u64, u64) {
            match saved {
                Saved::Kept => (0, 0),
                Saved::At(offset) => (1, offset as u32 as u64),
                Saved::Lost => (2, 0),
                Saved::AtRbp(offset) => (3, offset as u32 as u64),
            }
        }
        let (kind, base, offset) = match self.cfa {
            Cfa::Unknown => (UNKNOWN, 0, 0),
            Cfa::End => (END, 0, 0),
            Cfa::Offset(register, offset) => (OFFSET, base(register), offset),
            Cfa::Loaded(register, offset) => (LOADED, base(register), offset),
            Cfa::Signal => (SIGNAL, 0, 0),
        };
        let (rbp, rbp_at) = saved(self.rbp);
        let (rbx, rbx_at) = saved(self.rbx);
        let python = if self.runs_python { RUNS_PYTHON } else { 0 };
        let first = kind | python | base << 8 | rbp << 16 | rbx << 24 | (offset as u32 as u64) << 32;
        [first, rbp_at | rbx_at << 32]
    }

    /// Whether words say that the CFA is an offset from rsp, and rbp and rbx are kept or saved from the CFA, as
    /// in nearly all code; which of them are saved: rbp at the lower half of the second word, rbx at the upper.
    #[inline]
    pub const fn saved_from_rsp(words: [u64; RULE_WORDS]) -> Option<[bool; 2]> {
        const TAGS: u64 = 0xfefe << 16 | 0xff << 8 | KIND;
        match words[0] & TAGS {
            OFFSET => Some([words[0] & 1 << 16 != 0, words[0] & 1 << 24 != 0]),
            _ => None,
        }
    }

    /// Whether words say that the interpreter's loop runs here.
    #[inline]
    pub const fn runs_python(words: [u64; RULE_WORDS]) -> bool {
        words[0] & RUNS_PYTHON != 0
    }

    /// What two words say; anything that was never encoded is unknown.
    #[inline]
    pub const fn decode(words: [u64; RULE_WORDS]) -> Self {
        let [first, second] = words;
        let offset = (first >> 32) as u32 as i32;
        let base = match first >> 8 & 0xff {
            0 => Base::Rsp,
            1 => Base::Rbp,
            2 => Base::Rbx,
            _ => return Self::UNKNOWN,
        };
        const fn saved(tag: u64, at: u64) -> Saved {
            match tag & 0xff {
                0 => Saved::Kept,
                1 => Saved::At(at as u32 as i32),
                3 => Saved::AtRbp(at as u32 as i32),
                _ => Saved::Lost,
            }
        }
        Self {
            cfa: match first & KIND {
                END => Cfa::End,
                OFFSET => Cfa::Offset(base, offset),
                LOADED => Cfa::Loaded(base, offset),
                SIGNAL => Cfa::Signal,
                _ => Cfa::Unknown,
            },
            rbp: saved(first >> 16, second),
            rbx: saved(first >> 24, second >> 32),
            runs_python: first & RUNS_PYTHON != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_comes_back_as_it_was() {
        let bases = [Base::Rsp, Base::Rbp, Base::Rbx];
        let offsets = [0, 8, -8, 1 << 20, i32::MIN, i32::MAX];
        let saved = [Saved::Kept, Saved::At(-16), Saved::AtRbp(i32::MAX), Saved::Lost];
        let places = bases.iter().flat_map(|&base| {
            offsets.iter().flat_map(move |&offset| [Cfa::Offset(base, offset), Cfa::Loaded(base, offset)])
        });
        for cfa in places.chain([Cfa::Unknown, Cfa::End, Cfa::Signal]) {
            for rbp in saved {
                for rbx in saved {
                    for runs_python in [false, true] {
                        let rule = Rule { cfa, rbp, rbx, runs_python };
                        assert_eq!(Rule::decode(rule.encode()), rule);
                    }
                }
            }
        }
    }

    #[test]
    fn words_that_are_no_rule_know_nothing() {
        assert_eq!(Rule::decode([0, 0]).cfa, Cfa::Unknown);
        assert_eq!(Rule::decode([u64::MAX; 2]).cfa, Cfa::Unknown);
        assert_eq!(Rule::decode([7, 0]).cfa, Cfa::Unknown);
    }
}
