//! Finding a planted Python, damaged, and walking whatever is found.
#![no_main]

use libfuzzer_sys::fuzz_target;
use slackwater_fuzz::{check_books, damaged, planted};
use slackwater_heap::pymalloc;
use slackwater_python::find;

fuzz_target!(|input: &[u8]| {
    let Some((&which, damage)) = input.split_first() else { return };
    let planted = planted();
    let python = &planted[usize::from(which) % planted.len()];
    let image = damaged(&python.base, damage);
    let found = find(&image, &image);
    if damage.is_empty() {
        let whole = matches!(&found, Ok(Some(partial)) if partial.gaps.is_empty()
            && partial.value.n_interpreters == 2
            && partial.value.domains.is_some()
            && partial.value.pymalloc == python.pymalloc);
        assert!(whole, "a planted python is found as it is: {found:?}");
    }
    let Ok(Some(partial)) = found else { return };
    for state in &partial.value.pymalloc {
        if let Ok(walked) = pymalloc::walk(&image, state) {
            check_books(&image, &walked.value);
        }
    }
});
