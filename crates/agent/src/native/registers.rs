//! The registers of the running function.
#![allow(unsafe_code)] // reading registers

use slackwater_unwind::Registers;

/// The registers here, as frame information understands them: the caller of this is the first frame.
#[inline(always)]
pub(super) fn here() -> Registers {
    let (pc, sp, bp, bx): (u64, u64, u64, u64);
    // SAFETY: reads registers only.
    unsafe {
        core::arch::asm!(
            "lea {pc}, [rip]",
            "mov {sp}, rsp",
            "mov {bp}, rbp",
            "mov {bx}, rbx",
            pc = out(reg) pc,
            sp = out(reg) sp,
            bp = out(reg) bp,
            bx = out(reg) bx,
            options(nomem, nostack, preserves_flags),
        );
    }
    Registers { pc, sp, bp: Some(bp), bx: Some(bx), is_return: false }
}
