//! Recordings of real interpreters, changed: other releases, other builds, damage of every kind.

use std::collections::HashSet;
use std::sync::OnceLock;

use proptest::prelude::*;
use slackwater_base::{Addr, PAGE_SIZE, Range, Resident};
use slackwater_heap::pymalloc;
use slackwater_layout::cpython::{ArenaObject, Geometry};
use slackwater_memory::{Access, FileId, Image, Kind, MemoryExt, Page, Symbols};
use slackwater_python::{Backend, Interpreter, PythonError, find};
use slackwater_testkit::{Program, interpreters};

use crate::planted::open;
use crate::recording::record;

/// A recorded interpreter of each minor release found, with what is found in it.
fn recordings() -> &'static [(Image, Interpreter)] {
    static RECORDED: OnceLock<Vec<(Image, Interpreter)>> = OnceLock::new();
    RECORDED.get_or_init(|| {
        let mut minors = HashSet::new();
        let usual = interpreters().iter().filter(|one| !one.is_free_threaded() && !one.is_debug());
        let one_each = usual.filter(|one| minors.insert(one.version().1));
        one_each
            .map(|interpreter| {
                let source =
                    "kept = [bytes(index % 500) for index in range(6000)]\ndel kept[::3]\nready()\nserve()\n";
                let target = Program::python(interpreter, "recorded", source).unwrap().spawn().unwrap();
                let live = open(&target);
                let python = find(&live, &live).unwrap().unwrap().value;
                (record(&live, &python.image), python)
            })
            .collect()
    })
}

fn symbol(image: &Image, python: &Interpreter, name: &str) -> Option<Addr> {
    image.symbol(python.image.file, name).map(|range| range.start)
}

#[test]
fn a_recording_is_read_like_the_process() {
    for (image, python) in recordings() {
        let found = find(image, image).unwrap().unwrap();
        assert_eq!(found.gaps, []);
        assert_eq!(&found.value, python);
        let walked = pymalloc::walk(image, &python.pymalloc[0]).unwrap();
        assert_eq!(walked.gaps, [], "{}", python.version);
        assert!(walked.value.live.count > 4000);
    }
}

#[test]
fn a_release_of_the_future_is_refused() {
    for (image, python) in recordings().iter().filter(|(_, python)| python.version.is_from(11)) {
        let mut image = image.clone();
        let version = symbol(&image, python, "Py_Version").unwrap();
        image.set_access(version, Access { read: true, write: true, execute: false });
        image.poke(version, &0x0310_00a1_u32.to_le_bytes());
        match find(&image, &image) {
            Err(error @ PythonError::UnknownRelease { .. }) => {
                let said = "python 3.16.0a1 is not supported; the nearest supported release is 3.15";
                assert_eq!(error.to_string(), said);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn offsets_of_another_release_are_refused() {
    for (image, python) in recordings().iter().filter(|(_, python)| python.version.is_from(13)) {
        let runtime = symbol(image, python, "_PyRuntime").unwrap();
        for (offset, forged) in [(0, u64::from_le_bytes(*b"ydebugpx")), (8, 0x030d_ffff), (40, u64::MAX)] {
            let mut image = image.clone();
            image.poke(runtime + offset, &forged.to_le_bytes());
            let found = find(&image, &image);
            assert!(matches!(found, Err(PythonError::DecodeOffsets { .. })), "{found:?}");
        }
    }
}

#[test]
fn a_free_threaded_build_is_named() {
    for (image, python) in recordings().iter().filter(|(_, python)| python.version.is_from(13)) {
        let mut image = image.clone();
        let runtime = symbol(&image, python, "_PyRuntime").unwrap();
        image.poke(runtime + 16, &1u64.to_le_bytes());
        let found = find(&image, &image).unwrap().unwrap();
        assert!(found.value.build.free_threaded);
        assert_eq!(found.value.pymalloc, []);
        assert_eq!(found.value.domains.unwrap().obj.backend, Backend::Mimalloc);
    }
}

#[test]
fn a_python_that_was_never_started_is_none() {
    for (image, python) in recordings() {
        let mut image = image.clone();
        let runtime = symbol(&image, python, "_PyRuntime").unwrap();
        let head = if python.version.is_from(13) {
            runtime + image.read_u64(runtime + 40).unwrap()
        } else {
            runtime + if python.version.is_from(11) { 40 } else { 32 }
        };
        image.poke(head, &[0; 8]);
        assert_eq!(find(&image, &image), Ok(None), "{}", python.version);
    }
}

#[test]
fn another_implementation_is_named() {
    let file = FileId { device: 1, inode: 2 };
    let kind = Kind::File { path: "/usr/lib/libpypy3.9-c.so".into(), id: file, deleted: false };
    let image = Image::new().map(Addr(0x40_0000), vec![0; 4096], kind);
    assert_eq!(find(&image, &image), Err(PythonError::OtherImplementation { name: "PyPy" }));
}

/// Where damage hurts: the runtime, the state, the table, the arenas' pools.
fn targets(image: &Image, python: &Interpreter) -> Vec<Range> {
    let state = python.pymalloc[0];
    let table = image.read_addr(state.arenas).unwrap();
    let n_slots = u64::from(image.read_u32(state.max_arenas).unwrap());
    let mut targets = vec![
        Range::sized(symbol(image, python, "_PyRuntime").unwrap(), 1024),
        Range::sized(state.arenas - 64, 640),
        Range::sized(table, n_slots * ArenaObject::SIZE),
    ];
    let Geometry { arena_bytes, pool_bytes } = state.geometry;
    for slot in 0..n_slots {
        let arena = image.read_addr(table + slot * ArenaObject::SIZE).unwrap();
        if !arena.is_null() {
            let pools = Range::sized(arena, arena_bytes).align_in(pool_bytes);
            targets.extend((0..4).map(|pool| Range::sized(pools.start + pool * pool_bytes, 128)));
        }
    }
    targets
}

#[derive(Clone, Debug)]
enum Damage {
    Word(u64),
    /// A pointer somewhere into one of the targets.
    Link(usize, u64),
    Bit(u32),
    Swapped,
    Absent,
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        prop_oneof![Just(0), Just(u64::MAX), Just(0xffff_ffff), 0..0x2000u64, any::<u64>()]
            .prop_map(Damage::Word),
        (any::<usize>(), 0..4096u64).prop_map(|(target, offset)| Damage::Link(target, offset & !7)),
        (0..64u32).prop_map(Damage::Bit),
        Just(Damage::Swapped),
        Just(Damage::Absent),
    ]
}

fn apply(image: &mut Image, targets: &[Range], target: usize, offset: u64, damage: &Damage) {
    let range = targets[target % targets.len()];
    let addr = Addr(range.start.get() + offset % range.len()).align_down(8);
    let Ok(word) = image.read_u64(addr) else { return };
    let page = Range::sized(addr.align_down(PAGE_SIZE), PAGE_SIZE);
    match *damage {
        Damage::Word(word) => image.poke(addr, &word.to_le_bytes()),
        Damage::Link(target, offset) => {
            let link = targets[target % targets.len()].start + offset;
            image.poke(addr, &link.get().to_le_bytes());
        }
        Damage::Bit(bit) => image.poke(addr, &(word ^ 1 << bit).to_le_bytes()),
        Damage::Swapped => image.set_pages(page, Page::SWAPPED),
        Damage::Absent => image.set_pages(page, Page::ABSENT),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever is damaged: no panic, no endless loop, and every resident byte that is claimed is in
    /// one class.
    #[test]
    fn fault_35_damage_never_unbalances_the_books(
        recording in any::<usize>(),
        damages in proptest::collection::vec((any::<usize>(), any::<u64>(), damage()), 1..24),
    ) {
        let recordings = recordings();
        let (image, python) = &recordings[recording % recordings.len()];
        let targets = targets(image, python);
        let mut image = image.clone();
        for (target, offset, damage) in &damages {
            apply(&mut image, &targets, *target, *offset, damage);
        }
        // The state as it was found before, and the one that is found now, if any.
        let found = find(&image, &image).ok().flatten().map(|found| found.value.pymalloc);
        for state in python.pymalloc.iter().chain(found.iter().flatten()) {
            if let Ok(walked) = pymalloc::walk(&image, state) {
                let heap = walked.value;
                let resident: Resident =
                    heap.claims.iter().map(|&claim| image.resident(claim).unwrap()).sum();
                prop_assert_eq!(heap.ledger.total(), resident);
                let is_disjoint = heap.claims.windows(2).all(|two| two[0].end <= two[1].start);
                prop_assert!(is_disjoint);
                prop_assert!(walked.gaps.len() < 32);
            }
        }
    }
}
