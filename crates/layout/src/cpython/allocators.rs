//! The runtime's table of allocator functions: who serves the domains `raw`, `mem` and `obj`.
//!
//! ```text
//! PyMemAllocatorEx    ctx, malloc, calloc, realloc, free                          40 bytes
//! debug_alloc_api_t   api_id ('r', 'm', 'o'), 7 bytes of padding, PyMemAllocatorEx  48 bytes
//! ```
//!
//! The three records of the debug hooks always lie together, and their letters give them away:
//! before 3.12 as the static `_PyMem_Debug`, since 3.12 in `_PyRuntime.allocators` right behind the
//! three standard records.
//!
//! Source: Include/cpython/pymem.h and Objects/obmalloc.c at v3.8.18; Include/internal/pycore_pymem.h
//! at v3.12.1; pycore_runtime_structs.h at v3.15.2.

use slackwater_base::Addr;

/// `api_id` of the debug hooks' records, in order.
pub const DEBUG_API_IDS: [u8; 3] = *b"rmo";
/// Bytes of one record of the debug hooks.
pub const DEBUG_API_SIZE: u64 = 48;
/// Bytes of the three standard records where they lie together.
pub const STANDARD_DOMAINS_SIZE: u64 = 3 * AllocatorRecord::SIZE as u64;

/// `PyMemAllocatorEx`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AllocatorRecord {
    /// First argument of each function; hooks keep the record they wrap there.
    pub context: Addr,
    /// `malloc`, `calloc`, `realloc`, `free`.
    pub functions: [Addr; 4],
}

impl AllocatorRecord {
    /// Bytes of one record.
    pub const SIZE: usize = 40;
    /// Of the record inside one of the debug hooks'.
    pub const IN_DEBUG_API: u64 = 8;

    /// Decodes a record.
    pub fn parse(bytes: &[u8; Self::SIZE]) -> Self {
        let words = bytes.as_chunks::<8>().0;
        let word = |index: usize| Addr(u64::from_le_bytes(words[index]));
        Self { context: word(0), functions: [word(1), word(2), word(3), word(4)] }
    }

    /// The `malloc` of the record, which identifies the allocator.
    pub const fn malloc(&self) -> Addr {
        self.functions[0]
    }
}
