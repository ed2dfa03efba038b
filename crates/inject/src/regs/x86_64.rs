//! x86-64: the general registers as NT_PRSTATUS lays them out, and what they say about a system
//! call that the stop interrupted.
//!
//! Invariant: pure. Nothing here reads or changes a thread.

use slackwater_base::Addr;

/// The two bytes of `syscall`.
pub(crate) const SYSCALL_INSTRUCTION: [u8; 2] = [0x0f, 0x05];

/// User code segment of a 64-bit task (`__USER_CS` in arch/x86/include/asm/segment.h).
const USER_CS_64: u64 = 0x33;

/// Trap flag: someone single-steps the thread.
const FLAG_TRAP: u64 = 1 << 8;

/// In the order of the kernel's `struct user_regs_struct`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub(crate) struct Registers {
    pub(crate) r15: u64,
    pub(crate) r14: u64,
    pub(crate) r13: u64,
    pub(crate) r12: u64,
    pub(crate) rbp: u64,
    pub(crate) rbx: u64,
    pub(crate) r11: u64,
    pub(crate) r10: u64,
    pub(crate) r9: u64,
    pub(crate) r8: u64,
    pub(crate) rax: u64,
    pub(crate) rcx: u64,
    pub(crate) rdx: u64,
    pub(crate) rsi: u64,
    pub(crate) rdi: u64,
    pub(crate) orig_rax: u64,
    pub(crate) rip: u64,
    pub(crate) cs: u64,
    pub(crate) eflags: u64,
    pub(crate) rsp: u64,
    pub(crate) ss: u64,
    pub(crate) fs_base: u64,
    pub(crate) gs_base: u64,
    pub(crate) ds: u64,
    pub(crate) es: u64,
    pub(crate) fs: u64,
    pub(crate) gs: u64,
}

/// What the stop did to the system call the thread was in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Interrupted {
    /// The thread was running its own code, or its system call had finished.
    Nothing,
    /// The kernel would begin the call again by itself: `number` with unchanged arguments.
    Restarts { number: u64 },
    /// As above, but through `restart_syscall`, which knows neither number nor remaining time
    /// outside the kernel. The number has to be read from the program's code.
    RestartsUnnamed,
    /// The kernel would report EINTR although no signal came. The call, one of those that may be
    /// begun again, is `number`.
    WouldReportEintr { number: u64 },
    /// The call reports EINTR and must not be begun again by us.
    ReportsEintr,
}

/// Kernel-internal results (include/linux/errno.h), seen only while a thread is stopped.
const ERESTARTSYS: i64 = -512;
const ERESTARTNOINTR: i64 = -513;
const ERESTARTNOHAND: i64 = -514;
const ERESTART_RESTARTBLOCK: i64 = -516;
const EINTR: i64 = -(libc::EINTR as i64);

/// Waits that report EINTR after any stop (signal(7), "never restarted"), or do so when the socket
/// has a timeout. Each leaves nothing half done when it does, so it can be begun again.
const EINTR_AFTER_STOP: &[i64] = &[
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_semop,
    libc::SYS_semtimedop,
    libc::SYS_io_getevents,
    libc::SYS_read,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_accept,
    libc::SYS_accept4,
];

impl Registers {
    pub(crate) const fn pc(&self) -> Addr {
        Addr(self.rip)
    }

    pub(crate) const fn sp(&self) -> Addr {
        Addr(self.rsp)
    }

    /// Whether the thread runs 64-bit code.
    pub(crate) const fn is_64_bit(&self) -> bool {
        self.cs == USER_CS_64
    }

    pub(crate) const fn is_single_stepped(&self) -> bool {
        self.eflags & FLAG_TRAP != 0
    }

    /// Whether the thread is inside of a system call that may be this one.
    pub(crate) const fn is_in(&self, call: i64) -> bool {
        let number = self.orig_rax as i64;
        number == call || number == libc::SYS_restart_syscall
    }

    /// What the stop interrupted.
    pub(crate) fn interrupted(&self) -> Interrupted {
        // The kernel clears orig_rax to -1 wherever it is not inside a call.
        let number = self.orig_rax as i64;
        if number < 0 {
            return Interrupted::Nothing;
        }
        match self.rax as i64 {
            ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK
                if number == libc::SYS_restart_syscall =>
            {
                Interrupted::RestartsUnnamed
            }
            ERESTARTSYS | ERESTARTNOINTR | ERESTARTNOHAND | ERESTART_RESTARTBLOCK => {
                Interrupted::Restarts { number: self.orig_rax }
            }
            EINTR if EINTR_AFTER_STOP.contains(&number) => {
                Interrupted::WouldReportEintr { number: self.orig_rax }
            }
            EINTR => Interrupted::ReportsEintr,
            _ => Interrupted::Nothing,
        }
    }

    /// The same thread about to issue system call `number` from the start.
    pub(crate) const fn reissuing(&self, number: u64) -> Self {
        Self {
            rip: self.rip.wrapping_sub(SYSCALL_INSTRUCTION.len() as u64),
            rax: number,
            orig_rax: u64::MAX,
            ..*self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_what_a_stop_interrupted() {
        let check = |orig_rax: i64, rax: i64, expected: Interrupted| {
            let registers = Registers { orig_rax: orig_rax as u64, rax: rax as u64, ..Registers::default() };
            assert_eq!(registers.interrupted(), expected, "orig_rax {orig_rax} rax {rax}");
        };
        check(-1, -512, Interrupted::Nothing);
        check(7, 1, Interrupted::Nothing);
        check(7, -516, Interrupted::Restarts { number: 7 });
        check(202, -512, Interrupted::Restarts { number: 202 });
        check(219, -516, Interrupted::RestartsUnnamed);
        check(232, -4, Interrupted::WouldReportEintr { number: 232 });
        // close(2) has closed the descriptor by then: never again.
        check(3, -4, Interrupted::ReportsEintr);
        // write(2) may have written.
        check(1, -4, Interrupted::ReportsEintr);
    }

    #[test]
    fn matches_the_kernel_struct() {
        assert_eq!(size_of::<Registers>(), size_of::<libc::user_regs_struct>());
        assert_eq!(std::mem::offset_of!(Registers, rip), std::mem::offset_of!(libc::user_regs_struct, rip));
        assert_eq!(
            std::mem::offset_of!(Registers, fs_base),
            std::mem::offset_of!(libc::user_regs_struct, fs_base)
        );
        assert_eq!(std::mem::offset_of!(Registers, gs), std::mem::offset_of!(libc::user_regs_struct, gs));
    }
}
