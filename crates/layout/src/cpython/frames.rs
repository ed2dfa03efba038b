//! Where a thread of CPython keeps its frames, and what a frame and its code say of themselves.
//!
//! Source: `offsetof` against the headers of 3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1 and 3.13.0
//! (Include/cpython/pystate.h, frameobject.h, code.h, Include/internal/pycore_runtime.h, pycore_frame.h);
//! for 3.14 and 3.15 the tables that 3.14.10 and 3.15.2 carry (Include/internal/pycore_debug_offsets.h), and
//! Include/internal/pycore_interpframe_structs.h. Since 3.13 a build says most of it itself:
//! [`FrameLayout::agrees`].

use super::{LineTable, PythonVersion};

/// Where a thread finds its state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StateHome {
    /// Under a key of the thread's: at this offset in `_PyRuntime` are an `int` that is 1, then the
    /// `pthread_key_t`.
    Key(u64),
    /// In the thread-local variable that `PyGILState_GetThisThreadState` returns.
    Variable,
}

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
    /// Where a thread finds its state.
    pub state: StateHome,
    /// Of `thread_id`, its `pthread_self()`, in a thread's state.
    pub thread_id: u64,
    /// Where the newest frame is.
    pub current: CurrentFrame,
    /// Of the code in a frame. The word's lowest bits are no part of the address: [`FrameLayout::TAGS`].
    pub frame_code: u64,
    /// Of the caller's frame in a frame.
    pub frame_previous: u64,
    /// Of the byte that says who owns a frame, where frames without code exist; those have
    /// [`FrameLayout::WITHOUT_CODE`] there, or more.
    pub frame_owner: Option<u64>,
    /// Where a call of the interpreter's loop begins.
    pub loop_entry: LoopEntry,
    /// Where in its code a frame is.
    pub instruction: Instruction,
    /// Bytes before the first frame in a piece of a thread's stack of frames, where that is a mapping of
    /// its own which is unmapped when that frame ends (Python/pystate.c, `_PyThreadState_PopFrame`). Later
    /// releases keep one such piece for the next call: [`FrameLayout::of_build`].
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
    /// In the byte at [`FrameLayout::frame_owner`], this or more: a frame without code. 3 is an entry from C
    /// (`FRAME_OWNED_BY_CSTACK`, since 3.14 `..._INTERPRETER`), 4 the thread's base since 3.15.
    pub const WITHOUT_CODE: u8 = 3;
    /// Bits by which `_PyStackRef` marks a reference since 3.14. Objects lie at multiples of 16.
    pub const TAGS: u64 = 3;
    /// Of the length in a string.
    pub const STRING_LENGTH: u64 = 16;
    /// Of the flags in a string: two bits, three bits of bytes per character, compact, ASCII.
    pub const STRING_STATE: u64 = 32;
    /// Of the length in a `bytes`.
    pub const BYTES_LENGTH: u64 = 16;
    /// Of the contents in a `bytes`.
    pub const BYTES_CONTENT: u64 = 32;
    /// Bytes of the runtime's own table that [`FrameLayout::agrees`] looks at.
    pub const TABLE_BYTES: usize = 57 * 8;

    /// The layout of a release; `None` when it is not known.
    pub const fn of(version: PythonVersion) -> Option<Self> {
        if version.major != 3 {
            return None;
        }
        Some(match version.minor {
            8 => Self::objects(1392, 104, 1, LineTable::Increments),
            9 => Self::objects(584, 104, 1, LineTable::Increments),
            10 => Self::objects(584, 96, 2, LineTable::Ranges),
            11 => Self {
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
                ..Self::interpreter_frames(StateHome::Key(592))
            },
            12 => Self {
                thread_id: 136,
                current: CurrentFrame::Through { record: 56, frame: 0 },
                instruction: Instruction::Pointer { offset: 56, code_start: 192 },
                ..Self::interpreter_frames(StateHome::Key(1544))
            },
            13 => Self::interpreter_frames(StateHome::Key(2160)),
            14 => Self::tagged_frames(StateHome::Key(2336)),
            15 => Self { thread_id: 176, ..Self::tagged_frames(StateHome::Variable) },
            _ => return None,
        })
    }

    /// Until 3.10 frames are objects.
    const fn objects(key: u64, index: u64, unit_bytes: u32, lines: LineTable) -> Self {
        Self {
            state: StateHome::Key(key),
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
    const fn interpreter_frames(state: StateHome) -> Self {
        Self {
            state,
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

    /// Since 3.14 their references are tagged. As in 3.14.
    const fn tagged_frames(state: StateHome) -> Self {
        Self {
            frame_owner: Some(74),
            instruction: Instruction::Pointer { offset: 56, code_start: 208 },
            // 3.14.10 and 3.15.2 keep a piece.
            stack_piece: None,
            // Whether it still holds was not shown.
            code_version: None,
            ..Self::interpreter_frames(state)
        }
    }

    /// What of the layout holds for the build that has this table at the start of its `_PyRuntime`: 3.13 and
    /// later. A later 3.13 keeps a piece of a thread's stack for the next call (python/cpython#146123), in a
    /// field that its thread's state did not have before. Then a piece is there while its first frame ends and
    /// another begins.
    #[must_use]
    pub fn of_build(self, table: &[u64; Self::TABLE_BYTES / 8]) -> Self {
        /// Of a thread's state in 3.13.0, as the table has it at this place.
        const STATE: (usize, u64) = (19, 304);
        let stack_piece = self.stack_piece.filter(|_| table[STATE.0] == STATE.1);
        Self { stack_piece, ..self }
    }

    /// Whether the table at the start of the `_PyRuntime` of this minor release, 3.13 or later, says the same.
    pub fn agrees(&self, minor: u8, table: &[u64; Self::TABLE_BYTES / 8]) -> bool {
        let (CurrentFrame::Direct(current), Instruction::Pointer { offset, code_start }, Some(owner)) =
            (self.current, self.instruction, self.frame_owner)
        else {
            return false;
        };
        // Where the thread's, the frame's and the code's parts of the table have what is compared.
        let (thread, frame, code) = match minor {
            13 => ([23, 24], [29, 30, 31, 33], [35, 37, 38, 39, 43]),
            14 => ([26, 27], [32, 33, 34, 36], [40, 42, 43, 44, 48]),
            15 => ([26, 30], [40, 41, 42, 44], [48, 50, 51, 52, 56]),
            _ => return false,
        };
        let says = |places: &[usize], offsets: &[u64]| {
            places.iter().zip(offsets).all(|(&place, offset)| table.get(place) == Some(offset))
        };
        says(&thread, &[current, self.thread_id])
            && says(&frame, &[self.frame_previous, self.frame_code, offset, owner])
            && says(
                &code,
                &[self.code_file, self.code_name, self.code_lines, self.code_first_line, code_start],
            )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The heads of the tables of 3.13.0, 3.14.10 and 3.15.2, as they stand in `_PyRuntime`.
    #[rustfmt::skip]
    const TABLES: [(u8, [u64; 57]); 3] = [
        (
            13,
            [
                0x7970_6775_6265_6478, 0x030d_00f0, 0, 283_320, 608, 632, 194_968, 7272, 7264, 7344, 7400,
                7656, 7640, 7648, 16, 7752, 0, 7768, 7760, 304, 0, 8, 16, 72, 152, 160, 232, 32, 80, 8, 0,
                56, 72, 70, 208, 112, 120, 128, 136, 68, 52, 96, 104, 200, 16, 8, 416, 24, 88, 168, 32,
                24, 16, 40, 24, 16, 48,
            ],
        ),
        (
            14,
            [
                0x7970_6775_6265_6478, 0x030e_0af0, 0, 316_616, 784, 808, 225_864, 7280, 7272, 7344, 7360,
                7408, 7688, 7672, 7680, 16, 7784, 0, 7800, 7792, 7992, 0, 832, 0, 8, 16, 72, 152, 160,
                232, 32, 88, 8, 0, 56, 80, 74, 64, 0, 216, 112, 120, 128, 136, 68, 52, 96, 104, 208, 0,
                16, 8, 416, 24, 88, 168, 40,
            ],
        ),
        (
            15,
            [
                0x7970_6775_6265_6478, 0x030f_02f0, 0, 346_568, 912, 936, 226_240, 7272, 7264, 7336, 7352,
                7400, 7592, 7576, 7584, 16, 7736, 0, 7752, 7744, 7944, 0, 888, 0, 8, 16, 72, 80, 88, 96,
                176, 184, 256, 32, 36, 40, 136, 288, 0, 88, 8, 0, 56, 80, 74, 64, 0, 216, 112, 120, 128,
                136, 68, 52, 96, 104, 208,
            ],
        ),
    ];

    fn layout(minor: u8) -> FrameLayout {
        let version = format!("3.{minor}.0").parse().expect("a version");
        FrameLayout::of(version).expect("a known release")
    }

    #[test]
    fn a_layout_agrees_with_the_table_of_its_own_release_alone() {
        for (minor, table) in TABLES {
            for other in 13..=15 {
                assert_eq!(layout(minor).agrees(other, &table), minor == other, "3.{minor} as 3.{other}");
            }
            // No other table of its kind.
            for (_, foreign) in TABLES.iter().filter(|(other, _)| *other != minor) {
                assert!(!layout(minor).agrees(minor, foreign), "3.{minor}");
            }
        }
        assert_eq!(FrameLayout::of("3.16.0a1".parse().expect("a version")), None);
        assert!(!layout(12).agrees(12, &TABLES[0].1), "3.12 has no table");
    }

    #[test]
    fn pieces_of_a_stack_are_relied_on_only_where_none_is_kept() {
        let of_build = |(minor, table)| layout(minor).of_build(&table).stack_piece;
        assert_eq!(TABLES.map(of_build), [Some(24), None, None]);
        // As 3.13.18 says.
        let mut later = TABLES[0].1;
        later[19] = 312;
        assert_eq!(of_build((13, later)), None);
    }

    #[test]
    fn one_offset_that_differs_is_enough() {
        for (minor, table) in TABLES {
            let n_compared = (0..table.len())
                .filter(|&idx| {
                    let mut forged = table;
                    forged[idx] += 8;
                    !layout(minor).agrees(minor, &forged)
                })
                .count();
            assert_eq!(n_compared, 11, "3.{minor}");
        }
    }
}
