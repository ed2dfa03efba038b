//! The seccomp filters of a stopped thread, and what they say to a system call.
//!
//! A filter is a program of the classic packet filter; it sees the call's number, architecture and
//! arguments (struct seccomp_data in include/uapi/linux/seccomp.h). All filters of a thread are asked, and
//! the strictest answer counts.
//!
//! Invariant: pure but for [`of`]. A program that does anything unknown does not allow; so does one that
//! looks at the arguments, which are taken for 0 here: then both ways are taken to be possible.

use slackwater_base::Tid;

use crate::error::Unsafe;
use crate::sys;

/// `struct sock_filter`.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Instruction {
    pub(crate) code: u16,
    pub(crate) if_true: u8,
    pub(crate) if_false: u8,
    pub(crate) operand: u32,
}

/// Most filters of a thread that are read. Containers have one or two.
const FILTERS: usize = 32;

/// AUDIT_ARCH_X86_64.
const ARCHITECTURE: u32 = 0xc000_003e;
/// SECCOMP_RET_ALLOW and SECCOMP_RET_LOG, without the data in the lower half.
const ALLOWING: [u32; 2] = [0x7fff_0000, 0x7ffc_0000];

/// The filters of a thread that this thread of ours has stopped.
pub(crate) fn of(tid: Tid) -> Result<Vec<Vec<Instruction>>, Unsafe> {
    let mut filters = Vec::new();
    loop {
        match sys::filter(tid, filters.len()) {
            Ok(filter) => filters.push(filter),
            // There are no more of them.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) && !filters.is_empty() => {
                return Ok(filters);
            }
            Err(_) => return Err(Unsafe::FilterUnknown),
        }
        if filters.len() > FILTERS {
            return Err(Unsafe::FilterUnknown);
        }
    }
}

/// Whether a filter allows the system call of this number, whatever its arguments are.
pub(crate) fn allows(filter: &[Instruction], number: i64) -> bool {
    let number = u32::try_from(number).unwrap_or(u32::MAX);
    // Where to go on, with which accumulator and index; `None` for what depends on an argument.
    let mut open = vec![(0, Some(0_u32), Some(0_u32))];
    let mut steps = 0;
    while let Some((mut at, mut accumulator, mut index)) = open.pop() {
        let mut scratch = [None; 16];
        loop {
            steps += 1;
            let Some(&Instruction { code, if_true, if_false, operand }) = filter.get(at) else {
                return false;
            };
            // Each argument that is looked at doubles the ways.
            if steps > 1 << 16 {
                return false;
            }
            at += 1;
            let value = if code & BY_INDEX == 0 { Some(operand) } else { index };
            let both = |operation: fn(u32, u32) -> u32| Some(operation(accumulator?, value?));
            match code & !BY_INDEX {
                LOAD => {
                    accumulator = match operand {
                        0 => Some(number),
                        4 => Some(ARCHITECTURE),
                        // The instruction's address and the arguments.
                        8..64 => None,
                        _ => return false,
                    }
                }
                LOAD_NUMBER => accumulator = Some(operand),
                LOAD_SCRATCH => accumulator = scratch.get(operand as usize).copied().flatten(),
                INDEX_NUMBER => index = Some(operand),
                INDEX_SCRATCH => index = scratch.get(operand as usize).copied().flatten(),
                STORE | STORE_INDEX => {
                    let Some(place) = scratch.get_mut(operand as usize) else { return false };
                    *place = if code == STORE { accumulator } else { index };
                }
                AND => accumulator = both(|one, other| one & other),
                OR => accumulator = both(|one, other| one | other),
                ADD => accumulator = both(u32::wrapping_add),
                SUBTRACT => accumulator = both(u32::wrapping_sub),
                // TAX and TXA: the bit that says "by index" elsewhere is not set in either.
                TO_INDEX => index = accumulator,
                TO_ACCUMULATOR => accumulator = index,
                JUMP => at = at.saturating_add(operand as usize),
                EQUAL | GREATER | AT_LEAST | SET => {
                    let outcome = accumulator.zip(value).map(|(one, other)| match code & !BY_INDEX {
                        EQUAL => one == other,
                        GREATER => one > other,
                        AT_LEAST => one >= other,
                        _ => one & other != 0,
                    });
                    let (yes, no) = (at + usize::from(if_true), at + usize::from(if_false));
                    at = match outcome {
                        Some(true) => yes,
                        Some(false) => no,
                        None => {
                            open.push((yes, accumulator, index));
                            no
                        }
                    };
                }
                RETURN => {
                    if !ALLOWING.contains(&(operand & 0xffff_0000)) {
                        return false;
                    }
                    break;
                }
                _ => return false,
            }
        }
    }
    true
}

/// Operations of include/uapi/linux/bpf_common.h and filter.h, as seccomp allows them.
const BY_INDEX: u16 = 0x08;
const LOAD: u16 = 0x20;
const LOAD_NUMBER: u16 = 0x00;
const LOAD_SCRATCH: u16 = 0x60;
const INDEX_NUMBER: u16 = 0x01;
const INDEX_SCRATCH: u16 = 0x61;
const STORE: u16 = 0x02;
const STORE_INDEX: u16 = 0x03;
const AND: u16 = 0x54;
const OR: u16 = 0x44;
const ADD: u16 = 0x04;
const SUBTRACT: u16 = 0x14;
const TO_INDEX: u16 = 0x07;
const TO_ACCUMULATOR: u16 = 0x87;
const JUMP: u16 = 0x05;
const EQUAL: u16 = 0x15;
const GREATER: u16 = 0x25;
const AT_LEAST: u16 = 0x35;
const SET: u16 = 0x45;
const RETURN: u16 = 0x06;

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOW: u32 = 0x7fff_0000;
    const ERRNO: u32 = 0x0005_0001;
    const KILL: u32 = 0;

    fn check(filter: &[(u16, u8, u8, u32)], number: i64, expected: bool) {
        let instruction =
            |&(code, if_true, if_false, operand)| Instruction { code, if_true, if_false, operand };
        let filter: Vec<_> = filter.iter().map(instruction).collect();
        assert_eq!(allows(&filter, number), expected, "{number}: {filter:?}");
    }

    #[test]
    fn a_list_of_allowed_calls() {
        let filter = [
            (LOAD, 0, 0, 4),
            (EQUAL, 1, 0, ARCHITECTURE),
            (RETURN, 0, 0, KILL),
            (LOAD, 0, 0, 0),
            (AT_LEAST, 0, 1, 0x4000_0000),
            (RETURN, 0, 0, KILL),
            (EQUAL, 2, 0, libc::SYS_memfd_create as u32),
            (EQUAL, 1, 0, libc::SYS_close as u32),
            (RETURN, 0, 0, ERRNO),
            (RETURN, 0, 0, ALLOW),
        ];
        check(&filter, libc::SYS_memfd_create, true);
        check(&filter, libc::SYS_close, true);
        check(&filter, libc::SYS_ptrace, false);
    }

    #[test]
    fn one_that_looks_at_arguments_allows_only_what_it_always_allows() {
        let by_argument = |otherwise: u32| {
            [
                (LOAD, 0, 0, 16),
                (AND, 0, 0, 0xff),
                (EQUAL, 0, 1, 3),
                (RETURN, 0, 0, ALLOW),
                (RETURN, 0, 0, otherwise),
            ]
        };
        check(&by_argument(ERRNO), libc::SYS_close, false);
        check(&by_argument(ALLOW), libc::SYS_close, true);
    }

    #[test]
    fn what_is_not_understood_does_not_allow() {
        check(&[], 1, false);
        check(&[(0x30, 0, 0, 0)], 1, false);
        check(&[(JUMP, 0, 0, u32::MAX)], 1, false);
        check(&[(LOAD, 0, 0, 64), (RETURN, 0, 0, ALLOW)], 1, false);
        // It returns what an argument says.
        check(&[(LOAD, 0, 0, 16), (RETURN | 0x10, 0, 0, 0)], 1, false);
    }
}
