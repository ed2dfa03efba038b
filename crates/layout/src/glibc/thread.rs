//! `struct pthread`: a thread's descriptor. The thread pointer points at it, and the block of
//! static thread-local variables ends there.
//!
//! Source: nptl/descr.h and sysdeps/x86_64/nptl/tls.h, the same from glibc-2.17 to 2.43 as far as
//! it is used here.

use slackwater_base::Addr;

use crate::Field;

/// Address of the descriptor itself.
pub const TCB: Field<Addr> = Field::at(0);
/// Address of the descriptor itself, again.
pub const SELF: Field<Addr> = Field::at(16);
/// Link into the list of threads with a stack of glibc's or of the user's: next, then previous,
/// each the address of such a link.
pub const LIST: Field<Addr> = Field::at(0x2c0);
/// Thread id in the target's own pid namespace; 0 once the thread has ended.
pub const TID: Field<i32> = Field::at(0x2d0);
/// Bytes from the start that are described here.
pub const BYTES: u64 = 0x2d8;
/// Alignment of a descriptor, `TCB_ALIGNMENT` of the oldest release.
pub const ALIGN: u64 = 64;
