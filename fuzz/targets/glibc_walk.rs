//! The walk of glibc malloc over recorded heaps, damaged.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_fuzz::{check_books, damaged, recordings};
use slackwater_heap::glibc;

fuzz_target!(|input: &[u8]| {
    let Some((&which, damage)) = input.split_first() else { return };
    let recordings = recordings();
    let base = &recordings[usize::from(which) % recordings.len()];
    let image = damaged(base, damage);
    let walked = glibc::walk(&image, &base.threads);
    if damage.is_empty() {
        let whole = matches!(&walked, Ok(Some(partial)) if partial.gaps.is_empty());
        assert!(whole, "a recording is walked whole: {walked:?}");
    }
    if let Ok(Some(partial)) = walked {
        check_books(&image, &partial.value);
    }
});
