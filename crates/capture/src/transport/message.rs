//! What a slot says.
//!
//! ```text
//! word 0   bits 0..8 kind   bits 8..16 slots that follow   bits 16..64 address or id
//! word 1   size, or parent and location of a stack, or lengths of two texts
//! word 2   bits 0..32 stack or line   bits 32..64 thread
//! ```

use super::ring::Slot;

/// Longest text that a message carries: the slots that follow are counted in 8 bits.
pub const TEXT_BYTES_MAX: usize = 1024;

const MALLOC: u8 = 1;
const SAMPLED: u8 = 0x20;
const UNMAPPED: u8 = 9;
const STACK: u8 = 10;
const LOCATION: u8 = 11;
const BORN: u8 = 12;
const NO_STACKS: u8 = 13;
const FREE: u8 = 14;
const NATIVE: u8 = 15;
const FACT: u8 = 16;
/// Ways to ask for memory, as the capture's list has them.
const N_MEASURES: u8 = 8;

/// Two texts that follow the first slot; the second one may be empty.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Texts {
    /// Bytes of the first one.
    pub first_bytes: u16,
    /// Bytes of the second one.
    pub second_bytes: u16,
}

impl Texts {
    /// Bytes of both.
    pub const fn bytes(self) -> usize {
        self.first_bytes as usize + self.second_bytes as usize
    }

    /// Slots of both.
    pub const fn n_slots(self) -> u64 {
        self.bytes().div_ceil(24) as u64
    }
}

/// One message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Message {
    /// Memory was handed out; `measure` is its place in the list of them.
    Allocation {
        /// How.
        measure: u8,
        /// Whether it stands for its like.
        sampled: bool,
        /// Where.
        addr: u64,
        /// How much.
        size: u64,
        /// From where.
        stack: u32,
        /// By which thread.
        tid: u32,
    },
    /// A block was given back.
    Free {
        /// Where.
        addr: u64,
        /// By which thread.
        tid: u32,
    },
    /// A range was unmapped.
    Unmapped {
        /// Where.
        addr: u64,
        /// How much.
        size: u64,
    },
    /// A stack is this parent with this location on top.
    Stack {
        /// What it is called.
        id: u32,
        /// The stack below.
        parent: u32,
        /// The location on top.
        location: u32,
    },
    /// A line of code; function and file follow.
    Location {
        /// What it is called.
        id: u32,
        /// The line.
        line: u32,
        /// What follows.
        texts: Texts,
    },
    /// Native code: what a location means.
    Native {
        /// What it is called.
        id: u32,
        /// An address within the instruction.
        pc: u64,
    },
    /// The process; its program's name follows.
    Born {
        /// What follows.
        texts: Texts,
    },
    /// Something about the process: what, and a value, follow.
    Fact {
        /// What follows.
        texts: Texts,
    },
    /// Stacks cannot be read; why follows.
    NoStacks {
        /// What follows.
        texts: Texts,
    },
}

impl Message {
    /// The first slot.
    #[inline]
    pub const fn encode(self) -> Slot {
        const fn first(kind: u8, n_more: u64, value: u64) -> u64 {
            kind as u64 | n_more << 8 | value << 16
        }
        const fn lengths(texts: Texts) -> u64 {
            texts.first_bytes as u64 | (texts.second_bytes as u64) << 16
        }
        match self {
            Self::Allocation { measure, sampled, addr, size, stack, tid } => {
                let kind = (MALLOC + measure) | if sampled { SAMPLED } else { 0 };
                [first(kind, 0, addr), size, stack as u64 | (tid as u64) << 32]
            }
            Self::Free { addr, tid } => [first(FREE, 0, addr), 0, (tid as u64) << 32],
            Self::Unmapped { addr, size } => [first(UNMAPPED, 0, addr), size, 0],
            Self::Stack { id, parent, location } => {
                [first(STACK, 0, id as u64), parent as u64 | (location as u64) << 32, 0]
            }
            Self::Location { id, line, texts } => {
                [first(LOCATION, texts.n_slots(), id as u64), lengths(texts), line as u64]
            }
            Self::Native { id, pc } => [first(NATIVE, 0, id as u64), pc, 0],
            Self::Born { texts } => [first(BORN, texts.n_slots(), 0), lengths(texts), 0],
            Self::Fact { texts } => [first(FACT, texts.n_slots(), 0), lengths(texts), 0],
            Self::NoStacks { texts } => [first(NO_STACKS, texts.n_slots(), 0), lengths(texts), 0],
        }
    }

    /// What a first slot says; `None` for a kind that is not known.
    #[inline]
    pub fn decode(slot: &Slot) -> Option<Self> {
        let value = slot[0] >> 16;
        let tid = (slot[2] >> 32) as u32;
        let texts = Texts {
            first_bytes: (slot[1] as u16).min(TEXT_BYTES_MAX as u16),
            second_bytes: ((slot[1] >> 16) as u16).min(TEXT_BYTES_MAX as u16),
        };
        let kind = slot[0] as u8;
        Some(match kind {
            FREE => Self::Free { addr: value, tid },
            UNMAPPED => Self::Unmapped { addr: value, size: slot[1] },
            STACK => {
                Self::Stack { id: value as u32, parent: slot[1] as u32, location: (slot[1] >> 32) as u32 }
            }
            LOCATION => Self::Location { id: value as u32, line: slot[2] as u32, texts },
            NATIVE => Self::Native { id: value as u32, pc: slot[1] },
            BORN => Self::Born { texts },
            FACT => Self::Fact { texts },
            NO_STACKS => Self::NoStacks { texts },
            _ => {
                let measure =
                    (kind & !SAMPLED).checked_sub(MALLOC).filter(|&measure| measure < N_MEASURES)?;
                Self::Allocation {
                    measure,
                    sampled: kind & SAMPLED != 0,
                    addr: value,
                    size: slot[1],
                    stack: slot[2] as u32,
                    tid,
                }
            }
        })
    }

    /// Slots that follow this first one.
    #[inline]
    pub const fn n_more(slot: &Slot) -> u64 {
        slot[0] >> 8 & 0xff
    }
}
