//! The registers that a thread comes back with: those of the stop, but with a wait that the stop
//! interrupted about to be begun again.
//!
//! The kernel would begin most waits again by itself when the thread goes on; but it forgets how at
//! the first `sigreturn`. So the registers to come back with are those of the moment before the
//! `syscall` instruction, as in a program that has just arrived there.
//!
//! Invariant: only reads. A wait whose number is not certain is not begun again; the thread is refused.

use std::fs::File;

use slackwater_base::{Addr, Tid};
use slackwater_procfs::Status;

use crate::error::Unsafe;
use crate::regs::{Interrupted, Registers, SYSCALL_INSTRUCTION};
use crate::{stop, sys};

/// The registers to come back with. `entered` is the exported function of the C library that the
/// thread waits in, if it waits in one.
pub(crate) fn home(
    memory: &File,
    tid: Tid,
    registers: &Registers,
    status: &Status,
    entered: Option<&str>,
) -> Result<Registers, Unsafe> {
    let unnamed = |registers: &Registers| {
        number_in_code(memory, registers).or_else(|| entered.and_then(number_of_wait))
    };
    let (behind, number) = match registers.interrupted() {
        Interrupted::Nothing if is_about_to_restart(memory, registers) => {
            // As if stopped in the call that `restart_syscall` is about to go on with.
            let behind = Registers { rip: registers.rip + 2, ..*registers };
            (behind, unnamed(&behind))
        }
        Interrupted::Nothing => {
            check_restartable_sequence(memory, tid, registers)?;
            return Ok(*registers);
        }
        Interrupted::Restarts { number } | Interrupted::WouldReportEintr { number } => {
            (*registers, Some(number))
        }
        Interrupted::RestartsUnnamed => (*registers, unnamed(registers)),
        Interrupted::ReportsEintr => return Err(Unsafe::NotRestartable),
    };
    // The signal's handler may be what the wait is to be interrupted for.
    if stop::signal_pending(status) {
        return Err(Unsafe::SignalPending);
    }
    let home = behind.reissuing(number.ok_or(Unsafe::NotRestartable)?);
    if is_syscall(memory, home.pc()) { Ok(home) } else { Err(Unsafe::NotRestartable) }
}

fn is_syscall(memory: &File, at: Addr) -> bool {
    let mut instruction = [0; 2];
    sys::read_memory(memory, at, &mut instruction).is_ok() && instruction == SYSCALL_INSTRUCTION
}

/// Whether the kernel has let the thread go on with an interrupted wait, but it has not got there
/// yet.
fn is_about_to_restart(memory: &File, registers: &Registers) -> bool {
    registers.rax as i64 == libc::SYS_restart_syscall && is_syscall(memory, registers.pc())
}

/// The number of the call in progress from the program's own code: `mov $number,%eax; syscall`.
fn number_in_code(memory: &File, registers: &Registers) -> Option<u64> {
    const MOV_EAX: u8 = 0xb8;
    let mut bytes = [0; 7];
    sys::read_memory(memory, registers.pc().checked_sub(7)?, &mut bytes).ok()?;
    let number = u32::from_le_bytes(*bytes[1..].first_chunk()?);
    (bytes[0] == MOV_EAX && bytes[5..] == SYSCALL_INSTRUCTION && number < 1000).then_some(number.into())
}

/// The call that a function waits in, of those that the kernel restarts without their number: it
/// does so for poll, sleeps and futexes only (`set_restart_fn` in the kernel). From 2.41 on, glibc
/// makes all of them through one instruction.
fn number_of_wait(function: &str) -> Option<u64> {
    let number = match function {
        "poll" | "__poll" | "__poll_chk" => libc::SYS_poll,
        "nanosleep" | "__nanosleep" | "clock_nanosleep" | "sleep" | "usleep" => libc::SYS_clock_nanosleep,
        _ if function.starts_with("pthread_") || function.starts_with("sem_") => libc::SYS_futex,
        _ => return None,
    };
    u64::try_from(number).ok()
}

/// A restartable sequence must not be left and resumed in the middle: the kernel would take our call
/// for its end, and the rest would run on another processor's data.
fn check_restartable_sequence(memory: &File, tid: Tid, registers: &Registers) -> Result<(), Unsafe> {
    /// Offset of `rseq_cs` in `struct rseq` (include/uapi/linux/rseq.h).
    const CURRENT: u64 = 8;
    let area = sys::restartable_sequences(tid);
    if area.is_null() {
        return Ok(());
    }
    let read = |at: Addr| {
        // struct rseq_cs: version and flags, start, length, where to go instead.
        let mut bytes = [0; 24];
        sys::read_memory(memory, at, &mut bytes).map_err(|_| Unsafe::RestartableSequence)?;
        Ok([0, 8, 16].map(|from| bytes[from..].first_chunk().copied().map_or(0, u64::from_le_bytes)))
    };
    let [current, ..] = read(area + CURRENT)?;
    if current == 0 {
        return Ok(());
    }
    let [_, start, len] = read(Addr(current))?;
    if registers.rip.wrapping_sub(start) < len { Err(Unsafe::RestartableSequence) } else { Ok(()) }
}
