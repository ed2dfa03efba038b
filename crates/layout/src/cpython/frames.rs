//! Where a thread of CPython keeps its frames, and what a frame and its code say of themselves.
//!
//! Source: `offsetof` against the headers of 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0
//! (Include/cpython/pystate.h, frameobject.h, code.h, Include/internal/pycore_runtime.h, pycore_frame.h).
//! 3.13 says most of it itself: [`FrameLayout::agrees`].

use super::{LineTable, PythonVersion};

/// Where the newest frame of a thread is found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CurrentFrame {
    /// The thread's state points at it, at this offset.
    Direct(u64),
    /// The thread's state points at a record on the C stack, which points at it.
    Through {
        /// Of the record's address in the thread's state.
        record: u64,
        /// Of the frame's address in the record.
        frame: u64,
    },
}

/// How a frame says where in its code it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Instruction {
    /// A 32-bit index, in units of so many bytes; -1 before the first.
    Index {
        /// Of the index in the frame.
        offset: u64,
        /// Bytes of a unit.
        unit_bytes: u32,
    },
    /// An address within the code object.
    Pointer {
        /// Of the address in the frame.
        offset: u64,
        /// Of the first instruction in the code object.
        code_start: u64,
    },
}

/// Where a call of the interpreter's loop begins in the chain of frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LoopEntry {
    /// Each frame has a call of its own.
    EveryFrame,
    /// The byte at this offset of a frame is 1 where one begins.
    Flag(u64),
    /// Below the frames of a call stands one without code: [`FrameLayout::frame_owner`].
    FrameWithoutCode,
}

/// Offsets on the way from the runtime to the names and lines of a thread's stack.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameLayout {
    /// Of the key of the thread's state in `_PyRuntime`: an `int` that is 1, then a `pthread_key_t`.
    pub runtime_key: u64,
    /// Of `thread_id`, its `pthread_self()`, in a thread's state.
    pub thread_id: u64,
    /// Where the newest frame is.
    pub current: CurrentFrame,
    /// Of the code in a frame.
    pub frame_code: u64,
    /// Of the caller's frame in a frame.
    pub frame_previous: u64,
    /// Of the byte that says who owns a frame, where frames without code exist; those have 3 there.
    pub frame_owner: Option<u64>,
    /// Where a call of the interpreter's loop begins.
    pub loop_entry: LoopEntry,
    /// Where in its code a frame is.
    pub instruction: Instruction,
    /// Bytes before the first frame in a piece of a thread's stack of frames, where that is a mapping of
    /// its own which is unmapped when that frame ends (Python/pystate.c, `_PyThreadState_PopFrame`).
    pub stack_piece: Option<u64>,
    /// Of a number that no other code object has, an `int`, in a code object, where there is one.
    pub code_version: Option<u64>,
    /// Of the first line, an `int`, in a code object.
    pub code_first_line: u64,
    /// Of the file's name in a code object.
    pub code_file: u64,
    /// Of the function's name in a code object, qualified where there is such a name.
    pub code_name: u64,
    /// Of the table of lines, a `bytes`, in a code object.
    pub code_lines: u64,
    /// How that table is written.
    pub lines: LineTable,
    /// Bytes before the characters of a compact ASCII string.
    pub ascii_bytes: u64,
    /// Bytes before the characters of any other compact string.
    pub compact_bytes: u64,
}

impl FrameLayout {
    /// In the byte at [`FrameLayout::frame_owner`]: a frame without code.
    pub const OWNED_BY_C_STACK: u8 = 3;
    /// Of the length in a string.
    pub const STRING_LENGTH: u64 = 16;
    /// Of the flags in a string: two bits, three bits of bytes per character, compact, ASCII.
    pub const STRING_STATE: u64 = 32;
    /// Of the length in a `bytes`.
    pub const BYTES_LENGTH: u64 = 16;
    /// Of the contents in a `bytes`.
    pub const BYTES_CONTENT: u64 = 32;
    /// Bytes of the runtime's own table that [`FrameLayout::agrees`] looks at.
    pub const TABLE_BYTES: usize = 44 * 8;

    /// The layout of a release; `None` when it is not known.
    pub const fn of(version: PythonVersion) -> Option<Self> {
        if version.major != 3 {
            return None;
        }
        Some(match version.minor {
            8 => Self { runtime_key: 1392, ..Self::objects(104, 1, LineTable::Increments) },
            9 => Self { runtime_key: 584, ..Self::objects(104, 1, LineTable::Increments) },
            10 => Self { runtime_key: 584, ..Self::objects(96, 2, LineTable::Ranges) },
            11 => Self {
                runtime_key: 592,
                thread_id: 152,
                current: CurrentFrame::Through { record: 56, frame: 8 },
                frame_code: 32,
                frame_previous: 48,
                frame_owner: None,
                loop_entry: LoopEntry::Flag(68),
                instruction: Instruction::Pointer { offset: 56, code_start: 184 },
                code_version: None,
                code_first_line: 72,
                ascii_bytes: 48,
                compact_bytes: 72,
                ..Self::interpreter_frames()
            },
            12 => Self {
                runtime_key: 1544,
                thread_id: 136,
                current: CurrentFrame::Through { record: 56, frame: 0 },
                instruction: Instruction::Pointer { offset: 56, code_start: 192 },
                ..Self::interpreter_frames()
            },
            13 => Self { runtime_key: 2160, ..Self::interpreter_frames() },
            _ => return None,
        })
    }

    /// Until 3.10 frames are objects.
    const fn objects(index: u64, unit_bytes: u32, lines: LineTable) -> Self {
        Self {
            runtime_key: 0,
            thread_id: 176,
            current: CurrentFrame::Direct(24),
            frame_code: 32,
            frame_previous: 24,
            frame_owner: None,
            loop_entry: LoopEntry::EveryFrame,
            instruction: Instruction::Index { offset: index, unit_bytes },
            stack_piece: None,
            code_version: None,
            code_first_line: 40,
            code_file: 104,
            code_name: 112,
            code_lines: 120,
            lines,
            ascii_bytes: 48,
            compact_bytes: 72,
        }
    }

    /// Since 3.11 they lie on a stack of their own. As in 3.13.
    const fn interpreter_frames() -> Self {
        Self {
            runtime_key: 0,
            thread_id: 152,
            current: CurrentFrame::Direct(72),
            frame_code: 0,
            frame_previous: 8,
            frame_owner: Some(70),
            loop_entry: LoopEntry::FrameWithoutCode,
            instruction: Instruction::Pointer { offset: 56, code_start: 200 },
            stack_piece: Some(24),
            code_version: Some(92),
            code_first_line: 68,
            code_file: 112,
            code_name: 128,
            code_lines: 136,
            lines: LineTable::Locations,
            ascii_bytes: 40,
            compact_bytes: 56,
        }
    }

    /// Whether the table at the start of a 3.13's `_PyRuntime` says the same.
    pub fn agrees(&self, table: &[u64; Self::TABLE_BYTES / 8]) -> bool {
        let (CurrentFrame::Direct(current), Instruction::Pointer { offset, code_start }, Some(owner)) =
            (self.current, self.instruction, self.frame_owner)
        else {
            return false;
        };
        let has_lock = table[2] == 0;
        has_lock
            && [table[23], table[24]] == [current, self.thread_id]
            && table[29..32] == [self.frame_previous, self.frame_code, offset]
            && table[33] == owner
            && table[35] == self.code_file
            && table[37..40] == [self.code_name, self.code_lines, self.code_first_line]
            && table[43] == code_start
    }
}
