//! The table of size classes is the library's own.

use slackwater_layout::jemalloc::{N_SMALL_CLASSES, size_of_class};

use crate::held::program;

#[test]
fn small_classes_are_those_that_jemalloc_names() {
    let target = program("jemalloc_classes", include_str!("../planted/jemalloc_classes.c")).spawn().unwrap();
    let said = target.greeting_numbers();
    assert_eq!(said[0], u64::from(N_SMALL_CLASSES));
    let known: Vec<u64> = (0..N_SMALL_CLASSES).filter_map(size_of_class).collect();
    assert_eq!(said[1..], known);
}
