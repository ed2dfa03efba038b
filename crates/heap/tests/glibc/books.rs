//! Chunks in use, free, fast, cached and mapped: counts and bytes to the last one.

use slackwater_heap::ArenaKind;

use crate::held::{Books, Walked, program};

#[test]
fn fault_43_blocks_of_all_sizes() {
    let mut target = program("mixed", include_str!("../planted/mixed.c")).spawn().unwrap();
    let walked = Walked::whole(&target);
    assert_eq!(Books::of_walk(&walked.heap), Books::of_glibc(&mut target));
    let [count, bytes] = target.greeting_numbers().try_into().unwrap();
    assert_eq!((walked.heap.live.count, walked.heap.live.bytes), (count, bytes), "live blocks");
}

#[test]
fn fault_43_thread_caches() {
    for n_threads in ["1", "20"] {
        let program = program("caches", include_str!("../planted/caches.c")).arg(n_threads);
        let mut target = program.spawn().unwrap();
        let walked = Walked::whole(&target);
        assert_eq!(Books::of_walk(&walked.heap), Books::of_glibc(&mut target));
        let [count, bytes] = target.greeting_numbers().try_into().unwrap();
        assert_eq!(walked.cached(), (count, bytes), "cached blocks of {n_threads} threads");
    }
}

#[test]
fn fault_43_fast_bins() {
    let mut target = program("fast", include_str!("../planted/fast.c")).spawn().unwrap();
    let walked = Walked::whole(&target);
    let books = Books::of_glibc(&mut target);
    assert!(books.n_fast > 1000, "the fast bins are filled: {books:?}");
    assert_eq!(Books::of_walk(&walked.heap), books);
}

#[test]
fn fault_43_arenas_of_several_heaps() {
    let mut target = program("arenas", include_str!("../planted/arenas.c")).arg("8").spawn().unwrap();
    let walked = Walked::whole(&target);
    assert_eq!(Books::of_walk(&walked.heap), Books::of_glibc(&mut target));
    assert_eq!(walked.arenas(ArenaKind::Secondary), 8);
    let longest = walked.heap.arenas.iter().map(|arena| arena.mapped_bytes).max().unwrap();
    assert!(longest > 64 << 20, "one heap is not enough: {longest}");
    let secondary = walked.heap.arenas.iter().filter(|arena| arena.kind == ArenaKind::Secondary);
    let live: u64 = secondary.map(|arena| arena.live.count).sum();
    assert_eq!(vec![live], target.greeting_numbers(), "live blocks");
    check_by_arena(&mut target, &walked);
}

#[test]
fn fault_43_one_arena_for_all_threads() {
    let program =
        program("arenas", include_str!("../planted/arenas.c")).arg("4").env("MALLOC_ARENA_MAX", "1");
    let mut target = program.spawn().unwrap();
    let walked = Walked::whole(&target);
    assert_eq!(Books::of_walk(&walked.heap), Books::of_glibc(&mut target));
    assert_eq!(walked.arenas(ArenaKind::Secondary), 0);
}

/// Explicit huge pages change the size of heaps, whether the machine has some or not. The main
/// arena then consists of maps that glibc keeps no list of: it is left unexplained, and said to be.
#[test]
fn fault_43_heaps_for_huge_pages() {
    let program = program("arenas", include_str!("../planted/arenas.c")).arg("4");
    let target = program.env("GLIBC_TUNABLES", "glibc.malloc.hugetlb=2").spawn().unwrap();
    let walked = Walked::new(&target);
    assert_eq!(walked.gaps.len(), 1, "{:?}", walked.gaps);
    assert!(walked.gaps[0].subject.contains("main arena"), "{:?}", walked.gaps);
    let secondary = walked.heap.arenas.iter().filter(|arena| arena.kind == ArenaKind::Secondary);
    assert_eq!(secondary.filter(|arena| arena.glibc.is_some()).count(), 4);
    let heaps = walked.heap.claims.iter().filter(|claim| claim.start.is_aligned(8 << 20));
    assert!(heaps.count() > 4 * 4, "heaps of 8 MiB at most");
}

#[test]
fn fault_43_mapped_chunks() {
    let mut target = program("mapped", include_str!("../planted/mapped.c")).spawn().unwrap();
    let walked = Walked::whole(&target);
    assert_eq!(Books::of_walk(&walked.heap), Books::of_glibc(&mut target));
    let mapped = walked.heap.arenas.iter().find(|arena| arena.kind == ArenaKind::Mapped).unwrap();
    assert_eq!(vec![mapped.live.count], target.greeting_numbers());
}

#[test]
fn fault_43_another_user_of_the_program_break() {
    let mut target = program("foreign", include_str!("../planted/foreign.c")).spawn().unwrap();
    let walked = Walked::whole(&target);
    let mut books = Books::of_glibc(&mut target);
    // glibc counts foreign memory as its own, in use; the walk does not claim it.
    let foreign = books.arena_bytes - Books::of_walk(&walked.heap).arena_bytes;
    assert!((100_040..100_040 + 3 * 4096).contains(&foreign), "{foreign} bytes are foreign");
    books.arena_bytes -= foreign;
    books.used_bytes -= foreign;
    assert_eq!(Books::of_walk(&walked.heap), books);
    assert_eq!(walked.heap.live.count, 300);
}

/// Holds each arena against its element in `malloc_info`.
fn check_by_arena(target: &mut slackwater_testkit::Target, walked: &Walked) {
    target.ask("info").unwrap();
    let xml = target.said();
    let per_arena: Vec<(u64, u64, u64)> = xml
        .split("<heap nr=")
        .skip(1)
        .map(|heap| {
            let figure = |mark: &str| {
                let rest = &heap[heap.find(mark).unwrap() + mark.len()..];
                rest[..rest.find('"').unwrap()].parse::<u64>().unwrap()
            };
            (
                figure("<total type=\"fast\" count=\""),
                figure("<system type=\"current\" size=\""),
                figure("<total type=\"rest\" count=\""),
            )
        })
        .collect();
    let walked: Vec<(u64, u64, u64)> = walked
        .heap
        .arenas
        .iter()
        .filter(|arena| arena.kind != ArenaKind::Mapped)
        .map(|arena| {
            let glibc = arena.glibc.unwrap();
            (glibc.fast.count, arena.mapped_bytes, glibc.free.count + 1)
        })
        .collect();
    assert_eq!(walked, per_arena, "fast chunks, bytes and free chunks of each arena");
}
