//! The walk of jemalloc, as our library has it inside, over a recorded heap, damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_fuzz::{check_books, damaged, recorded_jemalloc};
use slackwater_heap::jemalloc::{read_block, walk};

fuzz_target!(|damage: &[u8]| {
    let (block, base) = recorded_jemalloc();
    let image = damaged(base, damage);
    let walked = read_block(&image, *block).and_then(|snapshot| walk(&image, &snapshot));
    if damage.is_empty() {
        let whole = matches!(&walked, Ok(partial) if partial.gaps.is_empty());
        assert!(whole, "a recording is walked whole: {walked:?}");
    }
    if let Ok(partial) = walked {
        check_books(&image, &partial.value.heap);
    }
});
