//! The thread-local variable in which CPython keeps a thread's state, found in the machine code of the one
//! function that returns it.
//!
//! Invariant: an offset comes from one load relative to the thread pointer and nothing else around it; any
//! other code is refused.

use crate::sys;

/// Bytes of code that are looked at.
const CODE_BYTES: usize = 24;
/// `endbr64`, which compilers put before what may be jumped to.
const ENDBR64: &[u8] = &[0xf3, 0x0f, 0x1e, 0xfa];
/// `push %rbp; mov %rsp,%rbp`, in builds that keep frame pointers in leaves too.
const ENTER: &[u8] = &[0x55, 0x48, 0x89, 0xe5];
/// `mov %fs:OFFSET,%rax`; four bytes of offset follow.
const LOAD: &[u8] = &[0x64, 0x48, 0x8b, 0x04, 0x25];
const POP_RBP: u8 = 0x5d;
const RET: u8 = 0xc3;

/// Where the variable lies from the thread pointer on. Asks the loader: for the constructor only.
pub(super) fn find() -> Option<u64> {
    let function = sys::global_symbol(c"PyGILState_GetThisThreadState")? as u64;
    let mut code = [0; CODE_BYTES];
    for (idx, byte) in code.iter_mut().enumerate() {
        let addr = function + idx as u64;
        *byte = (sys::read_u64_carefully(addr & !7)? >> ((addr & 7) * 8)) as u8;
    }
    offset(&code)
}

/// The offset that this code loads from and returns.
fn offset(code: &[u8]) -> Option<u64> {
    let code = code.strip_prefix(ENDBR64).unwrap_or(code);
    let (code, is_framed) = match code.strip_prefix(ENTER) {
        Some(rest) => (rest, true),
        None => (code, false),
    };
    let (offset, rest) = code.strip_prefix(LOAD)?.split_first_chunk()?;
    let rest = if is_framed { rest.strip_prefix(&[POP_RBP])? } else { rest };
    // It is sign-extended, and negative: an executable's variables lie below the thread pointer.
    let offset = i32::from_le_bytes(*offset);
    (rest.first() == Some(&RET) && offset < 0 && offset % 8 == 0).then_some(i64::from(offset) as u64)
}
