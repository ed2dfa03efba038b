//! /proc/PID/auxv: what the kernel told the program when it started.

/// `AT_SECURE` of include/uapi/linux/auxvec.h.
const SECURE: u64 = 23;

/// Whether the program was started with more rights than its caller has, so that the loader takes
/// nothing from the environment: set-user-id, set-group-id, file capabilities. `None` when the file
/// does not say.
pub(crate) fn is_secure(bytes: &[u8]) -> Option<bool> {
    // Pairs of a key and a value, a word each.
    let (pairs, _) = bytes.as_chunks::<16>();
    pairs.iter().find_map(|pair| {
        let [key, value] =
            [0, 8].map(|from| pair[from..].first_chunk().map_or(0, |word| u64::from_le_bytes(*word)));
        (key == SECURE).then_some(value != 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secure_is_what_the_kernel_says() {
        let check = |words: &[u64], expected: Option<bool>| {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
            assert_eq!(is_secure(&bytes), expected, "{words:?}");
        };
        check(&[6, 4096, 23, 0, 0, 0], Some(false));
        check(&[6, 23, 23, 1, 0, 0], Some(true));
        check(&[6, 4096, 0, 0], None);
        check(&[23], None);
        check(&[], None);
    }
}
