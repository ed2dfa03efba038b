//! System calls on a traced thread and on the target's memory, one function each.
//!
//! Invariant: no policy. errno is returned as it came; EINTR is retried. A ptrace request other than
//! [`seize`] is only answered to the thread of ours that seized, which the kernel checks.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd};
use std::os::unix::fs::FileExt;

use slackwater_base::{Addr, Pid, Tid};

use crate::filters::Instruction;
use crate::regs::Registers;
use crate::xstate::Component;

/// Note types of the register sets (include/uapi/linux/elf.h).
const NT_PRSTATUS: usize = 1;
const NT_X86_XSTATE: usize = 0x202;

/// Not in libc for this target (include/uapi/linux/ptrace.h).
const PTRACE_GET_RSEQ_CONFIGURATION: libc::c_uint = 0x420f;

/// As above.
const PTRACE_SECCOMP_GET_FILTER: libc::c_uint = 0x420c;

/// What a traced thread did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Event {
    /// Nothing yet.
    None,
    /// It stopped because it was asked to.
    Interrupted,
    /// It stopped because its process was stopped by job control.
    GroupStop,
    /// It stopped because this signal is about to be delivered to it.
    Signal(i32),
    /// It has ended.
    Ended,
}

fn check(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Begins to trace a thread without stopping it.
pub(crate) fn seize(tid: Tid) -> io::Result<()> {
    // SAFETY: PTRACE_SEIZE takes a thread id, no address and an option word by value; it touches no
    // memory of ours. No options: in particular no PTRACE_O_EXITKILL, so our end detaches.
    check(unsafe { libc::ptrace(libc::PTRACE_SEIZE, tid.0, 0usize, 0usize) })
}

/// Asks a seized thread to stop.
pub(crate) fn interrupt(tid: Tid) -> io::Result<()> {
    // SAFETY: as in `seize`; both addresses are ignored by this request.
    check(unsafe { libc::ptrace(libc::PTRACE_INTERRUPT, tid.0, 0usize, 0usize) })
}

/// Lets a stopped thread run, delivering `signal` unless it is 0.
pub(crate) fn resume(tid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: as in `seize`; the signal is passed by value.
    check(unsafe { libc::ptrace(libc::PTRACE_CONT, tid.0, 0usize, signal as usize) })
}

/// Ends tracing a stopped thread, delivering `signal` unless it is 0.
pub(crate) fn detach(tid: Tid, signal: i32) -> io::Result<()> {
    // SAFETY: as in `resume`.
    check(unsafe { libc::ptrace(libc::PTRACE_DETACH, tid.0, 0usize, signal as usize) })
}

/// What a traced thread did since the last call; does not block.
pub(crate) fn poll(tid: Tid) -> io::Result<Event> {
    let mut status = 0;
    // SAFETY: `status` outlives the call, which writes one int to it.
    let found = unsafe { libc::waitpid(tid.0, &raw mut status, libc::__WALL | libc::WNOHANG) };
    match found {
        0 => Ok(Event::None),
        -1 => match io::Error::last_os_error() {
            error if error.kind() == io::ErrorKind::Interrupted => Ok(Event::None),
            error => Err(error),
        },
        _ => Ok(event(status)),
    }
}

fn event(status: i32) -> Event {
    if !libc::WIFSTOPPED(status) {
        return Event::Ended;
    }
    let signal = libc::WSTOPSIG(status);
    match (status >> 16, signal) {
        (libc::PTRACE_EVENT_STOP, libc::SIGTRAP) => Event::Interrupted,
        (libc::PTRACE_EVENT_STOP, _) => Event::GroupStop,
        _ => Event::Signal(signal),
    }
}

/// The general registers of a stopped thread.
pub(crate) fn registers(tid: Tid) -> io::Result<Registers> {
    let mut registers = Registers::default();
    let mut vector = libc::iovec { iov_base: (&raw mut registers).cast(), iov_len: size_of::<Registers>() };
    // SAFETY: the vector describes `registers`, plain integers that outlive the call; the kernel
    // writes at most iov_len bytes and any bytes are valid integers.
    check(unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid.0, NT_PRSTATUS, &raw mut vector) })?;
    if vector.iov_len == size_of::<Registers>() {
        Ok(registers)
    } else {
        // A 32-bit thread has a shorter set.
        Err(io::Error::from_raw_os_error(libc::ENOTSUP))
    }
}

/// Sets the general registers of a stopped thread, all at once.
pub(crate) fn set_registers(tid: Tid, registers: &Registers) -> io::Result<()> {
    let mut copy = *registers;
    let mut vector = libc::iovec { iov_base: (&raw mut copy).cast(), iov_len: size_of::<Registers>() };
    // SAFETY: the vector describes `copy`, which outlives the call; the kernel only reads it.
    check(unsafe { libc::ptrace(libc::PTRACE_SETREGSET, tid.0, NT_PRSTATUS, &raw mut vector) })
}

/// The vector state of a stopped thread, exactly as long as the kernel gives it.
pub(crate) fn vector_state(tid: Tid) -> io::Result<Vec<u8>> {
    // The kernel fills what it is offered; when less comes back, that was all there is.
    let mut bytes = vec![0_u8; 4096];
    while bytes.len() <= 1 << 20 {
        let mut vector = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        // SAFETY: the vector describes the buffer, which outlives the call and is not moved in it.
        check(unsafe { libc::ptrace(libc::PTRACE_GETREGSET, tid.0, NT_X86_XSTATE, &raw mut vector) })?;
        if vector.iov_len < bytes.len() {
            bytes.truncate(vector.iov_len);
            return Ok(bytes);
        }
        let larger = bytes.len() * 2;
        bytes = vec![0; larger];
    }
    Err(io::Error::from_raw_os_error(libc::E2BIG))
}

/// Place and size of an XSAVE component, from CPUID.
pub(crate) fn vector_component(number: u32) -> Component {
    let leaf = std::arch::x86_64::__cpuid_count(0xd, number);
    Component { offset: leaf.ebx, size: leaf.eax }
}

/// The signal mask of a stopped thread: the one that is in force outside the system call it is in.
pub(crate) fn signal_mask(tid: Tid) -> io::Result<u64> {
    let mut mask = 0_u64;
    // SAFETY: the kernel writes the 8 bytes whose size is passed, to `mask`, which outlives the call.
    check(unsafe { libc::ptrace(libc::PTRACE_GETSIGMASK, tid.0, size_of::<u64>(), &raw mut mask) })?;
    Ok(mask)
}

/// Address of the thread's `struct rseq`, or null when it registered none or the kernel (before
/// 5.13) does not say.
pub(crate) fn restartable_sequences(tid: Tid) -> Addr {
    // struct ptrace_rseq_configuration: pointer, size, signature, flags, padding.
    let mut configuration = [0_u64; 3];
    // SAFETY: the kernel writes the 24 bytes whose size is passed, to an array that outlives the call.
    let result = unsafe {
        libc::ptrace(
            PTRACE_GET_RSEQ_CONFIGURATION,
            tid.0,
            size_of_val(&configuration),
            configuration.as_mut_ptr(),
        )
    };
    if result == -1 { Addr(0) } else { Addr(configuration[0]) }
}

/// The seccomp filter of this number of a stopped thread, the newest one first.
pub(crate) fn filter(tid: Tid, number: usize) -> io::Result<Vec<Instruction>> {
    let ask = |into: *mut Instruction| {
        // SAFETY: with no buffer the kernel only counts; with one it writes as many instructions as it has
        // counted, filters being immutable once they are in force.
        let n = unsafe { libc::ptrace(PTRACE_SECCOMP_GET_FILTER, tid.0, number, into) };
        usize::try_from(n).map_err(|_| io::Error::last_os_error())
    };
    let mut instructions = vec![Instruction::default(); ask(std::ptr::null_mut())?];
    ask(instructions.as_mut_ptr())?;
    Ok(instructions)
}

/// Opens a descriptor of the target's again, for ourselves, to read and write.
pub(crate) fn open_descriptor(directory: BorrowedFd<'_>, descriptor: u32) -> io::Result<File> {
    let name = std::ffi::CString::new(format!("fd/{descriptor}"))?;
    // SAFETY: the name is a C string, the descriptor is open while it is borrowed.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), name.as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just opened, and that nobody else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// What a descriptor of the target's refers to, as the kernel names it.
pub(crate) fn describe_descriptor(directory: BorrowedFd<'_>, descriptor: u32) -> io::Result<String> {
    let name = std::ffi::CString::new(format!("fd/{descriptor}"))?;
    let mut text = [0_u8; 128];
    // SAFETY: the name is a C string, the buffer writable for its length.
    let n_bytes = unsafe {
        libc::readlinkat(directory.as_raw_fd(), name.as_ptr(), text.as_mut_ptr().cast(), text.len())
    };
    let n_bytes = usize::try_from(n_bytes).map_err(|_| io::Error::last_os_error())?;
    Ok(String::from_utf8_lossy(&text[..n_bytes]).into_owned())
}

/// Seals a file in memory, for good.
pub(crate) fn seal(file: &File, seals: i32) -> io::Result<()> {
    // SAFETY: fcntl with an integer touches no memory.
    check(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }.into())
}

/// The process's memory, through its directory in /proc: tied to the program that runs now, so that
/// after an exec nothing can be read or written through it.
pub(crate) fn open_memory(directory: BorrowedFd<'_>) -> io::Result<File> {
    // SAFETY: the name is a C string, the descriptor is open while it is borrowed.
    let fd = unsafe { libc::openat(directory.as_raw_fd(), c"mem".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a descriptor that was just opened, and that nobody else owns.
    Ok(unsafe { File::from_raw_fd(fd) })
}

/// Reads memory; all of `bytes`, or an error.
pub(crate) fn read_memory(memory: &File, at: Addr, bytes: &mut [u8]) -> io::Result<()> {
    memory.read_exact_at(bytes, at.get())
}

/// Writes memory; all of `bytes`, or an error.
pub(crate) fn write_memory(memory: &File, at: Addr, bytes: &[u8]) -> io::Result<()> {
    memory.write_all_at(bytes, at.get())
}

/// Whether two processes are known to share their memory, as a `vfork` child does with its parent.
pub(crate) fn share_memory(one: Pid, other: Pid) -> bool {
    /// Of include/uapi/linux/kcmp.h.
    const KCMP_VM: libc::c_long = 1;
    // SAFETY: kcmp takes five integers and touches no memory of ours.
    let order = unsafe { libc::syscall(libc::SYS_kcmp, one.0, other.0, KCMP_VM, 0usize, 0usize) };
    order == 0
}

/// Puts the calling thread ahead of others, where we may: while it works, a stranger's thread is
/// stopped. Without the right to do so nothing changes.
pub(crate) fn hurry() {
    // SAFETY: setpriority takes three integers; 0 names the calling thread only (setpriority(2), "on
    // Linux the nice value is a per-thread attribute").
    let _ = unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) };
}

/// Lets others run.
pub(crate) fn yield_now() {
    std::thread::yield_now();
}

/// `major * 1000 + minor` of the running kernel.
pub(crate) fn kernel_release() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/osrelease").ok()?;
    let mut parts = text.split(|c: char| !c.is_ascii_digit());
    Some(parts.next()?.parse::<u32>().ok()? * 1000 + parts.next()?.parse::<u32>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_stops_apart() {
        let check = |status: i32, expected: Event| assert_eq!(event(status), expected, "{status:#x}");
        check(0x80_057f, Event::Interrupted);
        check(0x80_137f, Event::GroupStop);
        check(0x0e7f, Event::Signal(libc::SIGALRM));
        check(0x057f, Event::Signal(libc::SIGTRAP));
        check(0x0009, Event::Ended);
        check(0x0100, Event::Ended);
    }
}
