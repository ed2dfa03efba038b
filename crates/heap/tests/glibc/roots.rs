//! The same programs under other releases of glibc, and linked statically.

use slackwater_heap::{Allocator, ArenaKind, GlibcVersion};
use slackwater_testkit::{Linking, Program, Target, glibc_roots};

use crate::held::{Books, Walked, with_oracle};

/// Programs that end with the thread caches and, where there are any, the fast bins filled.
const PROGRAMS: [(&str, &str, &str); 5] = [
    ("mixed", include_str!("../planted/mixed.c"), ""),
    ("caches", include_str!("../planted/caches.c"), "5"),
    ("fast", include_str!("../planted/fast.c"), ""),
    ("arenas", include_str!("../planted/arenas.c"), "4"),
    ("mapped", include_str!("../planted/mapped.c"), ""),
];

const SHAPES: [&str; 5] = ["large-holes", "fast-to-top", "arenas", "tops", "realloc"];

#[test]
fn every_release_found() {
    for root in glibc_roots() {
        let (major, minor) = root.glibc();
        let version = GlibcVersion { major: major as u16, minor: minor as u16 };
        println!("glibc {version} of {}", root.suite());
        for (name, text, argument) in PROGRAMS {
            let program = Program::c_within(root, name, &with_oracle(text)).unwrap();
            check_books(program.arg(argument).spawn().unwrap(), version, name);
        }
        for shape in SHAPES {
            let text = with_oracle(include_str!("../planted/shapes.c"));
            let program = Program::c_within(root, "shapes", &text).unwrap();
            check_trim(program.arg(shape).spawn().unwrap(), &format!("{shape} on {version}"));
        }
    }
}

#[test]
fn static_executables() {
    for linking in [Linking::Static, Linking::StaticPie] {
        for (name, text, argument) in PROGRAMS {
            let program = Program::c_linked(name, &with_oracle(text), linking, &[]).unwrap();
            let mut target = program.arg(argument).spawn().unwrap();
            let walked = Walked::whole(&target);
            assert_eq!(Books::of_walk(&walked.heap), Books::of_glibc(&mut target), "{name} {linking:?}");
            check_caches(&walked, &target, name);
        }
    }
}

fn check_books(mut target: Target, version: GlibcVersion, name: &str) {
    let walked = Walked::whole(&target);
    let Allocator::Glibc { version: found, settings } = walked.heap.allocator else { panic!("not glibc") };
    assert_eq!(found, version);
    assert_eq!(settings.mmap_threshold, 128 << 10, "{name} on {version}");
    let mut books = Books::of_glibc(&mut target);
    if version.minor >= 43 {
        // Its own figure grows by 16 bytes with each block that is remapped.
        books.mapped_bytes -= books.mapped_bytes % 4096;
    }
    assert_eq!(Books::of_walk(&walked.heap), books, "{name} on {version}");
    check_caches(&walked, &target, name);
    if name == "arenas" {
        assert_eq!(walked.arenas(ArenaKind::Secondary), 4, "{version}");
    }
}

fn check_caches(walked: &Walked, target: &Target, name: &str) {
    if name == "caches" {
        let [count, bytes] = target.greeting_numbers().try_into().unwrap();
        assert_eq!(walked.cached(), (count, bytes));
    }
}

fn check_trim(mut target: Target, what: &str) {
    let before = Walked::whole(&target);
    target.ask("trim").unwrap();
    let after = Walked::whole(&target);
    let given_back = before.heap.ledger.total().process - after.heap.ledger.total().process;
    assert_eq!(before.trimmable_bytes(), given_back, "{what}");
    assert_eq!(after.trimmable_bytes(), 0, "{what}, after a trim");
}
