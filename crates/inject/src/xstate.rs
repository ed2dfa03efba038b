//! The vector and floating-point state: from what ptrace reads (NT_X86_XSTATE) to what `sigreturn`
//! restores.
//!
//! Both are the processor's standard XSAVE layout; a signal frame adds 48 bytes of kernel
//! bookkeeping in the legacy area and a magic word behind the state:
//!
//! ```text
//!    0  legacy x87 and SSE area
//!  464    magic1, extended_size, xfeatures, xstate_size      (ptrace: xfeatures first)
//!  512  header: xstate_bv, xcomp_bv = 0, zeros
//!  576  extended components at their standard offsets
//!    n  magic2                                                n = xstate_size
//! ```
//!
//! Invariant: `n` is what the kernel thinks this thread's state is (`fpstate->user_size`), or the
//! kernel ignores everything past SSE and the thread loses its vector registers. It has two possible
//! values: the size without AMX tile data, and with it once the thread has used tiles. The first is
//! announced while no tile is live, and the magic word is put at both ends: kernels up to 6.9 look
//! where `xstate_size` says, later ones where they know the end to be.

/// `FP_XSTATE_MAGIC1` and `FP_XSTATE_MAGIC2` of arch/x86/include/uapi/asm/sigcontext.h.
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;

const SOFTWARE_AREA: usize = 464;
const SOFTWARE_AREA_LEN: usize = 48;
const HEADER: usize = 512;
const HEADER_LEN: usize = 64;

/// AMX tile data: enabled per thread on first use (`XFEATURE_XTILE_DATA`).
const TILE_DATA: u32 = 18;

/// Alignment that XRSTOR demands.
pub(crate) const ALIGN: u64 = 64;

/// A component's place in the standard layout.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Component {
    pub(crate) offset: u32,
    pub(crate) size: u32,
}

/// The state as a signal frame holds it. `None` when the bytes are not such a state.
///
/// `component` answers CPUID leaf 0xD for a feature number.
pub(crate) fn for_signal_frame(ptrace: &[u8], component: impl Fn(u32) -> Component) -> Option<Vec<u8>> {
    if ptrace.len() < HEADER + HEADER_LEN {
        return None;
    }
    let word = |at: usize| ptrace.get(at..at + 8)?.first_chunk().copied().map(u64::from_le_bytes);
    let features = word(SOFTWARE_AREA)?;
    let live = word(HEADER)?;
    let compacted = word(HEADER + 8)?;
    if features & 0b11 != 0b11 || live & !features != 0 || compacted != 0 {
        return None;
    }

    let tiles = 1 << TILE_DATA;
    let restored = if live & tiles == 0 { features & !tiles } else { features };
    let end = |features: u64| {
        (2..63)
            .filter(|&number| features & (1 << number) != 0)
            .map(&component)
            .map(|place| place.offset as usize + place.size as usize)
            .fold(HEADER + HEADER_LEN, usize::max)
    };
    let size = end(restored);
    let full_size = end(features);
    if full_size > ptrace.len() {
        return None;
    }

    let mut state = ptrace[..full_size].to_vec();
    // Past the announced size lies nothing to be restored; the kernel hands zeros there anyway.
    state[size..].fill(0);
    let software = &mut state[SOFTWARE_AREA..SOFTWARE_AREA + SOFTWARE_AREA_LEN];
    software.fill(0);
    software[0..4].copy_from_slice(&MAGIC1.to_le_bytes());
    software[4..8].copy_from_slice(&u32::try_from(size + MAGIC2_LEN).ok()?.to_le_bytes());
    software[8..16].copy_from_slice(&restored.to_le_bytes());
    software[16..20].copy_from_slice(&u32::try_from(size).ok()?.to_le_bytes());
    state[HEADER + 8..HEADER + HEADER_LEN].fill(0);
    state.extend_from_slice(&MAGIC2.to_le_bytes());
    state[size..size + MAGIC2_LEN].copy_from_slice(&MAGIC2.to_le_bytes());
    Some(state)
}

const MAGIC2_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// Offsets and sizes as Sapphire Rapids reports them.
    fn component(number: u32) -> Component {
        let (offset, size) = match number {
            2 => (576, 256),
            5 => (1088, 64),
            6 => (1152, 512),
            7 => (1664, 1024),
            9 => (2688, 8),
            17 => (2752, 64),
            18 => (2816, 8192),
            _ => (0, 0),
        };
        Component { offset, size }
    }

    const WITH_AMX: u64 = 0b11 | 1 << 2 | 0b111 << 5 | 1 << 9 | 0b11 << 17;

    fn ptrace(features: u64, live: u64, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        bytes[464..472].copy_from_slice(&features.to_le_bytes());
        bytes[512..520].copy_from_slice(&live.to_le_bytes());
        bytes[24..28].copy_from_slice(&0x1f80_u32.to_le_bytes());
        bytes
    }

    fn dword(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
    }

    #[test]
    fn announces_the_size_the_thread_has() {
        let check = |features: u64, live: u64, len: usize, size: usize| {
            let state = for_signal_frame(&ptrace(features, live, len), component).unwrap();
            assert_eq!(dword(&state, 464), MAGIC1);
            assert_eq!(dword(&state, 480) as usize, size);
            assert_eq!(dword(&state, 468) as usize, size + 4);
            assert_eq!(dword(&state, size), MAGIC2);
            assert_eq!(dword(&state, state.len() - 4), MAGIC2);
            assert_eq!(state.len() - 4, len.min(state.len() - 4), "no longer than what ptrace gave");
            assert_eq!(dword(&state, 24), 0x1f80, "the legacy area is untouched");
        };
        check(0b111, 0b111, 832, 832);
        // Tiles enabled but not live: either end is marked.
        check(WITH_AMX, 0b111, 11008, 2816);
        check(WITH_AMX, 0b111 | 1 << 18, 11008, 11008);
    }

    #[test]
    fn refuses_what_is_not_such_a_state() {
        let check = |bytes: &[u8]| assert_eq!(for_signal_frame(bytes, component), None);
        check(&[]);
        check(&ptrace(0b111, 0b111, 575));
        check(&ptrace(0b111, 0b111, 600));
        check(&ptrace(0b111, 0b1111, 832));
        check(&ptrace(0, 0, 832));
        let mut compacted = ptrace(0b111, 0b111, 832);
        compacted[527] = 0x80;
        check(&compacted);
    }
}
