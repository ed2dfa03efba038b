//! /proc/PID/task/TID/syscall: what a thread waits in, and where.

use crate::parse::field;

/// What a thread is doing, from its syscall file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Syscall {
    /// On a processor, or about to be.
    Running,
    /// Blocked outside a system call.
    Blocked {
        /// Stack pointer.
        stack: u64,
        /// Program counter.
        pc: u64,
    },
    /// Blocked in a system call.
    Call {
        /// Its number.
        number: u64,
        /// Its arguments.
        arguments: [u64; 6],
        /// Stack pointer.
        stack: u64,
        /// Program counter.
        pc: u64,
    },
}

impl Syscall {
    /// Parses the file.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let mut words = text.trim_ascii().split(|byte| *byte == b' ');
        let first = words.next()?;
        if first == b"running" {
            return Some(Self::Running);
        }
        let mut next = || field::hex(words.next()?.strip_prefix(b"0x")?);
        if first == b"-1" {
            return Some(Self::Blocked { stack: next()?, pc: next()? });
        }
        let mut arguments = [0; 6];
        for argument in &mut arguments {
            *argument = next()?;
        }
        Some(Self::Call { number: field::decimal(first)?, arguments, stack: next()?, pc: next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_of_a_syscall_file() {
        assert_eq!(Syscall::parse(b"running\n"), Some(Syscall::Running));
        assert_eq!(Syscall::parse(b"-1 0x7ffd 0x55\n"), Some(Syscall::Blocked { stack: 0x7ffd, pc: 0x55 }));
        assert_eq!(
            Syscall::parse(b"202 0x1 0x2 0x3 0x4 0x5 0x6 0x7 0x8\n"),
            Some(Syscall::Call { number: 202, arguments: [1, 2, 3, 4, 5, 6], stack: 7, pc: 8 })
        );
        assert_eq!(Syscall::parse(b"202 0x1\n"), None);
        assert_eq!(Syscall::parse(b""), None);
    }
}
