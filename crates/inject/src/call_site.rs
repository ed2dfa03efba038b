//! Which function a call led to, told by the caller's own code.
//!
//! A function may end by a jump to another one and leave no frame: glibc's `sem_clockwait` does. What can be
//! seen then is the function that was jumped to, and the instruction that called the first one, which names
//! the slot through which libraries are called:
//!
//! ```text
//! call *slot(%rip)                          ff 15 ....
//! call stub        stub: jmp *slot(%rip)    e8 ....        [f3 0f 1e fa] [f2] ff 25 ....
//! ```
//!
//! Invariant: only reads. A call of another shape leads nowhere; so does a slot that is not bound yet, since
//! what it holds is no function of a library.

use slackwater_base::Addr;

/// Bytes of the longest call that is looked for.
const CALL_BYTES: u64 = 7;

/// The address that the call before `behind`, a return address, has found in its slot.
pub(crate) fn callee(behind: Addr, read: impl Fn(Addr, &mut [u8]) -> Option<()>) -> Option<Addr> {
    let mut call = [0; CALL_BYTES as usize];
    read(behind.checked_sub(CALL_BYTES)?, &mut call)?;
    let slot = match call {
        // call *disp(%base,%index,scale): its last bytes may look like the next but one.
        [0xff, 0x94, ..] => return None,
        [_, 0xff, 0x15, distance @ ..] => relative(behind, distance),
        [_, _, 0xe8, distance @ ..] => slot_of(relative(behind, distance), &read)?,
        _ => return None,
    };
    let mut word = [0; 8];
    read(slot, &mut word)?;
    Some(Addr(u64::from_le_bytes(word)))
}

/// The slot that a stub jumps through.
fn slot_of(stub: Addr, read: impl Fn(Addr, &mut [u8]) -> Option<()>) -> Option<Addr> {
    const ENDBR64: [u8; 4] = [0xf3, 0x0f, 0x1e, 0xfa];
    const BND: [u8; 1] = [0xf2];
    let mut code = [0; 11];
    read(stub, &mut code)?;
    let rest = code.strip_prefix(&ENDBR64).unwrap_or(&code);
    let rest = rest.strip_prefix(&BND).unwrap_or(rest);
    let distance = *rest.strip_prefix(&[0xff, 0x25])?.first_chunk()?;
    let behind = stub + (code.len() - rest.len() + 6) as u64;
    Some(relative(behind, distance))
}

fn relative(behind: Addr, distance: [u8; 4]) -> Addr {
    Addr(behind.get().wrapping_add_signed(i64::from(i32::from_le_bytes(distance))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Code at 0x1000 that ends with a call, stubs at 0x2000, slots at 0x3000.
    fn check(call: &[u8], stub: &[u8], expected: Option<u64>) {
        let mut memory = vec![0_u8; 0x2100];
        memory[0x10..0x10 + call.len()].copy_from_slice(call);
        memory[0x1000..0x1000 + stub.len()].copy_from_slice(stub);
        memory[0x2008..0x2010].copy_from_slice(&0x7f00_1234_5678_u64.to_le_bytes());
        let read = |at: Addr, into: &mut [u8]| {
            let from = at.get().checked_sub(0x1000)? as usize;
            into.copy_from_slice(memory.get(from..from + into.len())?);
            Some(())
        };
        let behind = Addr(0x1010 + call.len() as u64);
        assert_eq!(callee(behind, read), expected.map(Addr), "{call:x?} {stub:x?}");
    }

    const FUNCTION: Option<u64> = Some(0x7f00_1234_5678);

    #[test]
    fn calls_through_slots_are_followed() {
        // 0x3008 - 0x1016
        check(&[0xff, 0x15, 0xf2, 0x1f, 0, 0], &[], FUNCTION);
        // 0x2000 - 0x1015
        let call = [0xe8, 0xeb, 0x0f, 0, 0];
        check(&call, &[0xff, 0x25, 0x02, 0x10, 0, 0], FUNCTION);
        check(&call, &[0xf3, 0x0f, 0x1e, 0xfa, 0xff, 0x25, 0xfe, 0x0f, 0, 0], FUNCTION);
        check(&call, &[0xf3, 0x0f, 0x1e, 0xfa, 0xf2, 0xff, 0x25, 0xfd, 0x0f, 0, 0], FUNCTION);
    }

    #[test]
    fn other_calls_lead_nowhere() {
        let stub = [0xff, 0x25, 0x02, 0x10, 0, 0];
        // A function of its own, a register, an unmapped slot.
        check(&[0xe8, 0xeb, 0x0f, 0, 0], &[0x55, 0x48, 0x89, 0xe5], None);
        check(&[0x90, 0x90, 0x90, 0x90, 0xff, 0xd0], &stub, None);
        check(&[0xff, 0x15, 0xf2, 0xff, 0, 0], &stub, None);
        // By a table: a distance that happens to lead to the stub.
        check(&[0xff, 0x94, 0xe8, 0xe9, 0x0f, 0, 0], &stub, None);
    }
}
