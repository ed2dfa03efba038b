//! The bytes written below a thread's stack pointer: a chain of signal frames that makes calls and
//! then puts the thread back where it was, without anybody's help.
//!
//! ```text
//!   T's stack                                          high addresses
//!   ------------------------------------ rsp when stopped
//!   red zone, 128 bytes: T's own, untouched
//!   vector state of T                    64-aligned
//!   blob        strings for arguments
//!   finish word the last thing that is written
//!   frame R     "return" of the last call: T's registers, mask, state
//!   frame n     starts call n; its rsp is frame R
//!   ...
//!   frame 2     starts call 2; its rsp is frame 3
//!   start word  the first thing call 1 overwrites
//!   frame 1     starts call 1; its rsp is frame 2
//!   ------------------------------------ rsp when released, rip = sigreturn
//!   stack of the calls
//! ```
//!
//! Each frame begins with the address of an existing `mov $15,%rax; syscall` in the target, so the
//! `ret` of a call is what starts the next frame, as the return of a signal handler would. `sigreturn`
//! loads all registers, the signal mask and the vector state in one step inside the kernel: while the
//! calls run every signal is blocked and the vector state is the initial one; after frame R
//! everything is as before.
//!
//! Invariant: pure; computed completely before anything is written. The alternate signal stack is
//! not restored but left alone: its flags hold a mode the kernel rejects without further effect
//! (`restore_altstack` squashes all errors but EFAULT).

use slackwater_base::Addr;

use crate::regs::Registers;
use crate::xstate;

/// Below the stack pointer the ABI gives a function this many bytes without asking.
const RED_ZONE: u64 = 128;

/// `pretcode`, `struct ucontext`, `struct siginfo`: the kernel checks that much to be mapped.
const FRAME_LEN: u64 = 8 + UCONTEXT_LEN + 128;
const UCONTEXT_LEN: u64 = 304;

/// Offsets in a frame, from arch/x86/include/uapi/asm/{ucontext,sigcontext}.h.
mod at {
    pub(super) const UC_FLAGS: usize = 8;
    pub(super) const STACK_FLAGS: usize = 8 + 24;
    pub(super) const REGISTERS: usize = 8 + 40;
    pub(super) const SEGMENTS: usize = REGISTERS + 18 * 8;
    pub(super) const FPSTATE: usize = REGISTERS + 184;
    pub(super) const SIGMASK: usize = 8 + 296;
}

/// `UC_FP_XSTATE | UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS`.
const UC_FLAGS: u64 = 0b111;

/// Neither 0, `SS_ONSTACK` nor `SS_DISABLE`: `do_sigaltstack` answers EINVAL and changes nothing.
const STACK_FLAGS_REJECTED: u32 = 7;

/// Interrupts enabled and the bit that is always one; direction and trap flags clear.
const EFLAGS_FOR_CALL: u64 = 0x202;

/// Every signal. The kernel itself leaves out SIGKILL and SIGSTOP.
const ALL_SIGNALS: u64 = u64::MAX;

/// What is known of the target's code and needed to build a chain.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gadgets {
    /// `mov $15,%rax; syscall`.
    pub(crate) sigreturn: Addr,
    /// `syscall; ret`.
    pub(crate) syscall: Addr,
}

/// An argument of a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Argument {
    /// Passed as it is.
    Word(u64),
    /// The address at which byte `n` of the call's blob will lie.
    Blob(u64),
}

/// One step of a chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Step {
    /// Calls a function.
    Function { at: Addr, arguments: Vec<Argument> },
    /// Makes a system call.
    Syscall { number: i64, arguments: Vec<Argument> },
}

/// The thread's state to come back to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Home<'a> {
    pub(crate) registers: &'a Registers,
    pub(crate) signal_mask: u64,
    /// From [`xstate::for_signal_frame`].
    pub(crate) vector_state: &'a [u8],
}

/// A chain ready to be written.
#[derive(Debug)]
pub(crate) struct Chain {
    /// Where its first byte goes.
    pub(crate) base: Addr,
    pub(crate) bytes: Vec<u8>,
    /// The registers that set it off.
    pub(crate) release: Registers,
    /// Holds [`Chain::sentinel`] until the first call pushes something.
    pub(crate) start_word: Addr,
    /// Holds [`Chain::sentinel`] until the last step, when one was asked for, or until the thread
    /// uses its stack again.
    pub(crate) finish_word: Addr,
    pub(crate) sentinel: u64,
    /// Where the blob lies.
    pub(crate) blob: Addr,
}

impl Chain {
    /// Lays out `steps` below `home`'s stack. `announce` adds a last step in which the kernel
    /// overwrites the finish word.
    ///
    /// `None` when the stack pointer leaves no room below it, or when there are no steps.
    pub(crate) fn build(
        gadgets: Gadgets,
        steps: &[Step],
        blob: &[u8],
        home: Home<'_>,
        sentinel: u64,
        announce: Announce,
    ) -> Option<Self> {
        let mut steps = steps.to_vec();
        let first = steps.first()?.clone();
        let blob_len = (blob.len() as u64).next_multiple_of(16);
        let frames = steps.len() as u64 + 1 + matches!(announce, Announce::Kernel) as u64;
        let room = RED_ZONE + home.vector_state.len() as u64 + blob_len + (frames + 2) * (FRAME_LEN + 64);
        home.registers.sp().checked_sub(room)?;

        // From high to low addresses, as in the picture. A frame starts 8 below a multiple of 16:
        // the stack pointer a function sees at entry.
        let frame_below = |upper: Addr| (upper - FRAME_LEN).align_down(16) - 8;
        let vector_state =
            (home.registers.sp() - RED_ZONE - home.vector_state.len() as u64).align_down(xstate::ALIGN);
        let blob_at = vector_state - blob_len;
        let finish_word = blob_at - 16;
        let home_frame = frame_below(finish_word);
        if matches!(announce, Announce::Kernel) {
            // Asks for the mask and sets none: how = SIG_BLOCK, set = NULL, oldset, its size.
            let arguments = [0, 0, finish_word.get(), 8].map(Argument::Word).to_vec();
            steps.push(Step::Syscall { number: libc::SYS_rt_sigprocmask, arguments });
        }

        let mut frame_at = home_frame;
        let mut upper = home_frame;
        let mut start_word = Addr(0);
        let mut launches = Vec::new();
        for (index, step) in steps.iter().enumerate().rev() {
            let registers = launch(gadgets, step, frame_at, blob_at, home.registers);
            if index == 0 {
                start_word = match &first {
                    // Directly below the return address: what the function pushes first.
                    Step::Function { .. } => frame_at - 8,
                    Step::Syscall { .. } => upper - 8,
                };
                upper = upper.min(start_word).align_down(16) - 16;
            }
            let at = frame_below(upper);
            launches.push((at, registers));
            frame_at = at;
            upper = at;
        }

        let base = frame_at.align_down(16);
        let top = vector_state + home.vector_state.len() as u64;
        let mut chain = Self {
            base,
            bytes: vec![0; top.offset_from(base) as usize],
            release: Registers {
                rip: gadgets.sigreturn.get(),
                // As after the `ret` that pops the frame's first word.
                rsp: frame_at.get() + 8,
                rax: 0,
                orig_rax: u64::MAX,
                eflags: EFLAGS_FOR_CALL,
                ..*home.registers
            },
            start_word,
            finish_word,
            sentinel,
            blob: blob_at,
        };
        chain.put(vector_state, home.vector_state);
        chain.put(blob_at, blob);
        chain.put(finish_word, &sentinel.to_le_bytes());
        chain.put(start_word, &sentinel.to_le_bytes());
        chain.put_frame(gadgets, home_frame, home.registers, home.signal_mask, vector_state);
        for (at, registers) in launches {
            // No vector state: the kernel puts the initial one in force, as the ABI wants at entry.
            chain.put_frame(gadgets, at, &registers, ALL_SIGNALS, Addr(0));
        }
        Some(chain)
    }

    fn put(&mut self, at: Addr, bytes: &[u8]) {
        let from = at.offset_from(self.base) as usize;
        self.bytes[from..from + bytes.len()].copy_from_slice(bytes);
    }

    fn put_frame(
        &mut self,
        gadgets: Gadgets,
        at: Addr,
        registers: &Registers,
        signal_mask: u64,
        vector_state: Addr,
    ) {
        let r = registers;
        let mut frame = vec![0; FRAME_LEN as usize];
        let mut word = |at: usize, value: u64| frame[at..at + 8].copy_from_slice(&value.to_le_bytes());
        word(0, gadgets.sigreturn.get());
        word(at::UC_FLAGS, UC_FLAGS);
        word(at::STACK_FLAGS, u64::from(STACK_FLAGS_REJECTED));
        let general = [
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax,
            r.rcx, r.rsp, r.rip, r.eflags,
        ];
        for (index, value) in general.into_iter().enumerate() {
            word(at::REGISTERS + index * 8, value);
        }
        // cs, gs, fs, ss, 16 bits each; the kernel restores the first and the last.
        word(at::SEGMENTS, r.cs | r.ss << 48);
        word(at::FPSTATE, vector_state.get());
        word(at::SIGMASK, signal_mask);
        self.put(at, &frame);
    }
}

/// Whether the end is announced by a system call of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Announce {
    /// A last `rt_sigprocmask` writes the finish word.
    Kernel,
    /// No system call but `sigreturn`: for threads under a seccomp filter, where any call that the
    /// program does not make by itself might be fatal.
    Silent,
}

/// The registers with which `step` begins, returning to the frame at `next`.
fn launch(gadgets: Gadgets, step: &Step, next: Addr, blob: Addr, home: &Registers) -> Registers {
    let value = |arguments: &[Argument], index: usize| match arguments.get(index) {
        Some(Argument::Word(word)) => *word,
        Some(Argument::Blob(offset)) => blob.get() + offset,
        None => 0,
    };
    let base = Registers {
        rsp: next.get(),
        eflags: EFLAGS_FOR_CALL,
        cs: home.cs,
        ss: home.ss,
        ..Registers::default()
    };
    match step {
        Step::Function { at, arguments } => Registers {
            rip: at.get(),
            rdi: value(arguments, 0),
            rsi: value(arguments, 1),
            rdx: value(arguments, 2),
            rcx: value(arguments, 3),
            r8: value(arguments, 4),
            r9: value(arguments, 5),
            ..base
        },
        Step::Syscall { number, arguments } => Registers {
            rip: gadgets.syscall.get(),
            rax: *number as u64,
            rdi: value(arguments, 0),
            rsi: value(arguments, 1),
            rdx: value(arguments, 2),
            r10: value(arguments, 3),
            r8: value(arguments, 4),
            r9: value(arguments, 5),
            ..base
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GADGETS: Gadgets = Gadgets { sigreturn: Addr(0x1000), syscall: Addr(0x2000) };

    fn word(chain: &Chain, at: Addr) -> u64 {
        let from = at.offset_from(chain.base) as usize;
        u64::from_le_bytes(chain.bytes[from..from + 8].try_into().unwrap())
    }

    /// Follows the chain as the kernel would: `(rip, rsp, mask, fpstate)` of each `sigreturn`.
    fn follow(chain: &Chain, steps: usize) -> Vec<(u64, u64, u64, u64)> {
        let mut seen = Vec::new();
        let mut frame = Addr(chain.release.rsp - 8);
        for _ in 0..=steps {
            assert_eq!(word(chain, frame), GADGETS.sigreturn.get());
            let rsp = word(chain, frame + 48 + 15 * 8);
            seen.push((
                word(chain, frame + 48 + 16 * 8),
                rsp,
                word(chain, frame + 304),
                word(chain, frame + 232),
            ));
            frame = Addr(rsp);
        }
        seen
    }

    fn home(registers: &Registers) -> Home<'_> {
        Home { registers, signal_mask: 0x4000, vector_state: &[7; 836] }
    }

    #[test]
    fn leads_through_every_call_and_home() {
        for slide in 0..64 {
            let registers =
                Registers { rsp: 0x7000_0000 + slide, rip: 0x4242, eflags: 0x246, ..Registers::default() };
            let steps = [
                Step::Function { at: Addr(0x5000), arguments: vec![Argument::Blob(2), Argument::Word(9)] },
                Step::Syscall { number: 11, arguments: vec![] },
            ];
            let chain = Chain::build(GADGETS, &steps, b"ab", home(&registers), 99, Announce::Kernel).unwrap();
            let seen = follow(&chain, 3);
            assert_eq!(seen.iter().map(|call| call.0).collect::<Vec<_>>(), [0x5000, 0x2000, 0x2000, 0x4242]);
            for call in &seen[..3] {
                assert_eq!(call.1 % 16, 8, "a function sees the stack pointer 8 below a multiple of 16");
                assert_eq!((call.2, call.3), (u64::MAX, 0));
            }
            assert_eq!(seen[3].1, registers.rsp);
            assert_eq!(seen[3].2, 0x4000);
            assert_eq!(seen[3].3 % 64, 0);
            assert!(chain.base.get() + chain.bytes.len() as u64 <= registers.rsp - RED_ZONE);
            assert_eq!(word(&chain, chain.finish_word), 99);
            assert_eq!(chain.start_word.get(), seen[0].1 - 8, "where the first call pushes first");
            assert_eq!(word(&chain, chain.start_word), 99);
            assert!(chain.finish_word.get() > seen[2].1, "no call's stack reaches it");
        }
    }

    #[test]
    fn needs_room_below_the_stack_pointer() {
        let registers = Registers { rsp: 1000, ..Registers::default() };
        let steps = [Step::Syscall { number: 39, arguments: vec![] }];
        assert!(Chain::build(GADGETS, &steps, b"", home(&registers), 1, Announce::Silent).is_none());
        let registers = Registers { rsp: 0x10_0000, ..Registers::default() };
        assert!(Chain::build(GADGETS, &[], b"", home(&registers), 1, Announce::Silent).is_none());
    }
}
