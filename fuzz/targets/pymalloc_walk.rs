//! The walk of pymalloc over planted arenas, damaged, from where its state was before.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_fuzz::{check_books, damaged, planted};
use slackwater_heap::pymalloc;

/// Most gaps, however many arenas are damaged.
const MOST_GAPS: usize = 32;

fuzz_target!(|input: &[u8]| {
    let Some((&which, damage)) = input.split_first() else { return };
    let planted = planted();
    let python = &planted[usize::from(which) % planted.len()];
    let image = damaged(&python.base, damage);
    for state in &python.pymalloc {
        let walked = pymalloc::walk(&image, state);
        if damage.is_empty() {
            let whole =
                matches!(&walked, Ok(partial) if partial.gaps.is_empty() && partial.value.live.count > 0);
            assert!(whole, "a planted arena is walked whole: {walked:?}");
        }
        if let Ok(partial) = walked {
            assert!(partial.gaps.len() < MOST_GAPS);
            check_books(&image, &partial.value);
        }
    }
});
