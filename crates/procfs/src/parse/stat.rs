//! /proc/PID/stat: state, parent, start time, CPU time and faults, readable for every user.

use crate::parse::field;

/// What the scheduler says a process does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// `R`.
    Running,
    /// `S`, `I`: waits, and can be woken.
    Sleeping,
    /// `D`: waits, and cannot be woken.
    Uninterruptible,
    /// `T`: stopped by a signal.
    Stopped,
    /// `t`: stopped by a tracer.
    Traced,
    /// `Z`, `X`: has exited.
    Zombie,
    /// Any other letter.
    Other(u8),
}

impl State {
    /// From the kernel's letter.
    pub const fn from_letter(letter: u8) -> Self {
        match letter {
            b'R' => Self::Running,
            b'S' | b'I' => Self::Sleeping,
            b'D' => Self::Uninterruptible,
            b'T' => Self::Stopped,
            b't' => Self::Traced,
            b'Z' | b'X' | b'x' => Self::Zombie,
            other => Self::Other(other),
        }
    }
}

/// What the children of a process used that have ended and that it has waited for, their own included.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Collected {
    /// Page faults served without I/O (11).
    pub minor_faults: u64,
    /// Page faults that waited for I/O (13).
    pub major_faults: u64,
    /// CPU time in user mode, clock ticks (16).
    pub user_ticks: u64,
    /// CPU time in the kernel, clock ticks (17).
    pub system_ticks: u64,
}

/// The fields of stat that are used. Numbers in brackets are those of proc_pid_stat(5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    /// Thread name (2), lossily: up to 15 bytes that the program chose.
    pub comm: String,
    /// State (3).
    pub state: State,
    /// Parent (4).
    pub ppid: i32,
    /// The session that it is in: the pid of the process that began it (6); 0 for threads of the kernel, -1
    /// for a process that has just been waited for.
    pub session: i32,
    /// Kernel flags (9).
    pub flags: u64,
    /// Page faults served without I/O (10).
    pub minor_faults: u64,
    /// Page faults that waited for I/O (12).
    pub major_faults: u64,
    /// CPU time in user mode, clock ticks (14).
    pub user_ticks: u64,
    /// CPU time in the kernel, clock ticks (15).
    pub system_ticks: u64,
    /// What the children that it has collected used.
    pub collected: Collected,
    /// Threads (20).
    pub threads: u64,
    /// When the process started, clock ticks after boot (22).
    pub start_ticks: u64,
    /// Bottom of the main stack, 0 when the kernel does not say (28).
    pub start_stack: u64,
}

impl Stat {
    /// The kernel's flag for its own threads, `PF_KTHREAD` in include/linux/sched.h.
    const KERNEL_THREAD: u64 = 0x0020_0000;

    /// Parses the file. The name may hold spaces, parentheses and line feeds: the last closing
    /// parenthesis ends it, as all later fields are numbers and one letter.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let open = text.iter().position(|byte| *byte == b'(')?;
        let close = text.iter().rposition(|byte| *byte == b')')?;
        let comm = String::from_utf8_lossy(text.get(open + 1..close)?).into_owned();
        let mut fields = text[close + 1..].split(u8::is_ascii_whitespace).filter(|field| !field.is_empty());
        let state = State::from_letter(*fields.next()?.first()?);
        let ppid = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
        // Some fields (a terminal's process group) are negative: only those that are used must parse.
        let rest: Vec<&[u8]> = fields.take(48).collect();
        let word = |at: usize| rest.get(at - 5).copied();
        let number = |at: usize| word(at).and_then(field::decimal);
        Some(Self {
            comm,
            state,
            ppid,
            session: std::str::from_utf8(word(6)?).ok()?.parse().ok()?,
            flags: number(9)?,
            minor_faults: number(10)?,
            major_faults: number(12)?,
            user_ticks: number(14)?,
            system_ticks: number(15)?,
            collected: Collected {
                minor_faults: number(11)?,
                major_faults: number(13)?,
                user_ticks: number(16)?,
                system_ticks: number(17)?,
            },
            threads: number(20)?,
            start_ticks: number(22)?,
            start_stack: number(28).unwrap_or(0),
        })
    }

    /// Whether this is a thread of the kernel.
    pub const fn is_kernel_thread(&self) -> bool {
        self.flags & Self::KERNEL_THREAD != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_parentheses_and_line_feeds() {
        let tail = "S 12 12 11 0 -1 4194304 101 21 3 1 7 8 30 40 20 0 5 0 9876 1 2 3 4 5 140000 0";
        let stat = Stat::parse(format!("42 (a) R 1 (\n) {tail}").as_bytes()).unwrap();
        assert_eq!(stat.comm, "a) R 1 (\n");
        assert_eq!((stat.state, stat.ppid, stat.session, stat.minor_faults), (State::Sleeping, 12, 11, 101));
        assert_eq!((stat.major_faults, stat.user_ticks, stat.system_ticks), (3, 7, 8));
        let collected = Collected { minor_faults: 21, major_faults: 1, user_ticks: 30, system_ticks: 40 };
        assert_eq!(stat.collected, collected);
        assert_eq!((stat.threads, stat.start_ticks, stat.start_stack), (5, 9876, 140_000));
        assert!(!stat.is_kernel_thread());
    }

    /// As `do_task_stat` of fs/proc/array.c prints it once the process's signal handlers are released.
    #[test]
    fn a_process_that_was_waited_for_a_moment_ago() {
        let line = b"6363 (python3) X 0 -1 -1 0 -1 4228172 228 0 0 0 0 0 0 0 20 0 0 0 7257941 0 0 0";
        let stat = Stat::parse(line).unwrap();
        assert_eq!((stat.state, stat.ppid, stat.session), (State::Zombie, 0, -1));
        assert_eq!((stat.minor_faults, stat.start_ticks), (228, 7_257_941));
    }

    #[test]
    fn short_and_empty_files_are_refused() {
        for text in [&b""[..], b"1 (x", b"1 )x(", b"1 (x)", b"1 (x) S 1 2 3"] {
            assert_eq!(Stat::parse(text), None);
        }
    }
}
