//! Where `_PyRuntime` keeps its interpreters, and where those keep the object allocator's state.
//!
//! Source: Include/internal/pycore_pystate.h at v3.8.18, pycore_runtime.h at v3.9.18, v3.10.13,
//! v3.11.7 and v3.12.1, by `offsetof` against the installed headers. From 3.13 on the target's own
//! [`DebugOffsets`] are used instead.

use super::{DebugOffsets, PythonVersion};

/// Where the state of pymalloc lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ObmallocHome {
    /// Until 3.11: static variables of Objects/obmalloc.c, shared by all interpreters.
    Statics,
    /// 3.12: inside each interpreter; unused where an interpreter shares the main one's.
    Embedded,
    /// Since 3.13: each interpreter points at one; the main one's is static.
    Pointed,
}

/// Offsets on the way from `_PyRuntime` to each interpreter's allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RuntimeLayout {
    /// Of `interpreters.head` in `_PyRuntime`.
    pub interpreters_head: u64,
    /// Of `next` in an interpreter.
    pub interpreter_next: u64,
    /// Bytes of an interpreter within which its allocator's state, or the pointer to it, lies.
    pub interpreter_size: u64,
    /// Where the allocator's state lies.
    pub home: ObmallocHome,
}

impl RuntimeLayout {
    /// The layout of a release that exports no offsets; `None` from 3.13 on, which does.
    pub const fn of(version: PythonVersion) -> Option<Self> {
        if version.major != 3 {
            return None;
        }
        let (interpreters_head, home) = match version.minor {
            8..=10 => (32, ObmallocHome::Statics),
            11 => (40, ObmallocHome::Statics),
            12 => (40, ObmallocHome::Embedded),
            _ => return None,
        };
        // 3.12.1's PyInterpreterState has 350,000 bytes, most of them the radix tree's root.
        Some(Self { interpreters_head, interpreter_next: 0, interpreter_size: 1 << 20, home })
    }

    /// The layout that the target's own table gives.
    pub const fn from_offsets(offsets: &DebugOffsets) -> Self {
        Self {
            interpreters_head: offsets.interpreters_head,
            interpreter_next: offsets.interpreter_next,
            interpreter_size: offsets.interpreter_size,
            home: ObmallocHome::Pointed,
        }
    }
}
