//! Each allocator's recipe, on the allocator itself.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod common;

use std::path::Path;

use common::{Peek, eventually, patient, process, program, victim};
use slackwater_base::{Addr, Pid, Range};
use slackwater_inject::Target;
use slackwater_inject::recipe::{
    Answer, JEMALLOC_PURGE, MIMALLOC_COLLECT, Question, Recipe, TCMALLOC_RELEASE, Top, Type, ask,
    release_tops,
};
use slackwater_memory::{FileId, Mapping};
use slackwater_procfs::{Process, Root};

/// Allocates 60 MB in small blocks, and frees them when told to.
const FREED: &str = r#"
    #include "planted.h"
    enum { COUNT = 15000 };
    static void *blocks[COUNT];
    int main(void) {
        for (int i = 0; i < COUNT; i++) memset(blocks[i] = malloc(4000), 1, 4000);
        for (int i = 0; i < COUNT; i++) free(blocks[i]);
        ready("%d", COUNT);
        serve();
    }"#;

/// Runs `recipe` in a program under the preloaded library; its RSS must fall by `falls` bytes.
fn preloaded(recipe: &Recipe, library: &str, environment: &[(&str, &str)], falls: u64) {
    let path = format!("/usr/lib/x86_64-linux-gnu/{library}");
    if !Path::new(&path).exists() {
        eprintln!("skipped: {path} is not installed");
        return;
    }
    let program = program("freed", FREED).env("LD_PRELOAD", path);
    let program = environment.iter().fold(program, |program, (name, value)| program.env(name, value));
    let mut victim = program.spawn().unwrap();
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    let call = recipe.resolve(&target).unwrap().expect("the library exports it");
    let before = process.usage().unwrap().rss_bytes;
    let outcome = target.call(&call, &patient()).unwrap();
    assert!(outcome.finished);
    let after = process.usage().unwrap().rss_bytes;
    eprintln!("{}: {before} to {after} bytes, {outcome:?}", recipe.allocator);
    assert!(before.saturating_sub(after) > falls, "{before} to {after}");
    assert_eq!(victim.ask("still there").unwrap(), "");
}

#[test]
fn jemalloc_purges() {
    let keep = [("MALLOC_CONF", "dirty_decay_ms:-1")];
    preloaded(&JEMALLOC_PURGE, "libjemalloc.so.2", &keep, 40_000_000);
}

#[test]
fn mimalloc_collects() {
    // Version 2.0 calls it a reset.
    let keep =
        [("MIMALLOC_PURGE_DELAY", "-1"), ("MIMALLOC_PAGE_RESET", "0"), ("MIMALLOC_SEGMENT_RESET", "0")];
    preloaded(&MIMALLOC_COLLECT, "libmimalloc.so.2", &keep, 0);
}

#[test]
fn tcmalloc_releases() {
    let keep = [("TCMALLOC_RELEASE_RATE", "0")];
    preloaded(&TCMALLOC_RELEASE, "libtcmalloc.so.4", &keep, 40_000_000);
    preloaded(&TCMALLOC_RELEASE, "libtcmalloc_minimal.so.4", &keep, 40_000_000);
}

#[test]
fn an_absent_allocator_has_no_call() {
    let victim = victim("freed", FREED);
    let process = process(&victim);
    let target = Target::open(&process).unwrap();
    for recipe in [JEMALLOC_PURGE, MIMALLOC_COLLECT, TCMALLOC_RELEASE] {
        assert_eq!(recipe.resolve(&target).unwrap(), None, "{}", recipe.allocator);
    }
}

/// A thread's arena keeps 40 MB in its top: the trim threshold has been raised, and `malloc_trim` does
/// not look there. The main thread hands out what a walk of the heap would find.
const TOPS: &str = r#"
    #include "planted.h"
    #include <pthread.h>
    static pthread_barrier_t filled, done;
    static char *first[4];
    static void *fill(void *own) {
        void *blocks[400];
        for (int i = 0; i < 400; i++) memset(blocks[i] = malloc(100000), 1, 100000);
        *(char **)own = blocks[0];
        for (int i = 399; i > 0; i--) free(blocks[i]);
        pthread_barrier_wait(&filled);
        pthread_barrier_wait(&done);
        for (int i = 1; i < 400; i++) {
            blocks[i] = calloc(1, 100000);
            for (int k = 0; k < 100000; k++) if (((char *)blocks[i])[k] != 0) _exit(7);
        }
        for (int i = 0; i < 400; i++) free(blocks[i]);
        pthread_barrier_wait(&done);
        return NULL;
    }
    int main(void) {
        pthread_t threads[4];
        mallopt(M_TRIM_THRESHOLD, 1 << 30);
        pthread_barrier_init(&filled, NULL, 5);
        pthread_barrier_init(&done, NULL, 5);
        for (int i = 0; i < 4; i++) pthread_create(&threads[i], NULL, fill, &first[i]);
        pthread_barrier_wait(&filled);
        ready("%p %p %p %p", first[0], first[1], first[2], first[3]);
        while (next_command() != NULL) {
            pthread_barrier_wait(&done);
            pthread_barrier_wait(&done);
            reply("%s", "intact");
        }
    }"#;

/// The top of the arena that `block` is in, by glibc's layout: the heap's header is at the 64 MiB
/// boundary and begins with the arena's address; top ends where the heap does.
fn top_of(peek: &Peek, block: u64) -> Top {
    let heap = block & !((64 << 20) - 1);
    let arena = peek.word(heap);
    let end = heap + peek.word(heap + 16);
    let ends_there = |top: u64| heap < top && top < end && top + (peek.word(top + 8) & !7) == end;
    let field = (0..64).map(|word| arena + 8 * word).find(|field| ends_there(peek.word(*field))).unwrap();
    Top { lock: Addr(arena), field: Addr(field), range: Range::new(Addr(peek.word(field)), Addr(end)) }
}

#[test]
fn tops_of_secondary_arenas_are_released() {
    let mut victim = victim("tops", TOPS);
    let process = process(&victim);
    let peek = Peek::at(&victim);
    let mut tops: Vec<_> = victim.greeting_numbers().into_iter().map(|block| top_of(&peek, block)).collect();
    let rss = || process.usage().unwrap().rss_bytes;
    let maps = process.maps().unwrap();

    let before = rss();
    common::trim(&process, &patient()).unwrap();
    let trimmed = rss();
    assert!(trimmed + 1_000_000 > before, "malloc_trim leaves tops: {before} to {trimmed}");

    // One whose lock is taken for ever, and one that its heap does not name: both skipped.
    let locked = tops.pop().unwrap();
    peek.set_flag(locked.lock.get());
    let elsewhere = Top { lock: tops[0].lock + 8, ..tops[0] };
    let given: Vec<_> = [locked, elsewhere].into_iter().chain(tops).collect();

    let target = Target::open(&process).unwrap();
    assert_eq!(release_tops(&target, &[elsewhere], &patient()).unwrap(), None);
    let released = release_tops(&target, &given, &patient()).unwrap().unwrap();
    assert!(released.outcome.finished, "{released:?}");
    assert_eq!(released.asked, 4);
    let after = rss();
    eprintln!("{before} to {after} bytes, {released:?}");
    let expected = 3 * 39_900_000;
    assert!(trimmed - after > expected && trimmed - after < expected + 2_000_000, "{trimmed} to {after}");
    assert_eq!(process.maps().unwrap().len(), maps.len(), "the page of code is gone");
    assert_eq!(peek.word(locked.lock.get()) as u32, 1, "a lock that is taken stays taken");

    peek.clear_flag(locked.lock.get());
    assert_eq!(victim.ask("use it again").unwrap(), "intact");
}

#[test]
fn tops_are_released_while_their_arenas_are_used() {
    let program = ["8", "0", "0", "2"]
        .iter()
        .fold(program("storm", include_str!("victims/storm.c")), |program, count| program.arg(count));
    let victim = program.spawn().unwrap();
    let process = process(&victim);
    let peek = Peek::at(&victim);
    let [rounds, count] = victim.greeting_numbers()[..] else { panic!("an address and a number") };
    // A heap's header lies at a 64 MiB boundary and begins with a pointer to its arena. Top itself
    // moves all the time; what is told is where the arena keeps it.
    let look = || -> Vec<_> {
        let mappings = process.maps().unwrap();
        let is_aligned =
            |mapping: &&Mapping| mapping.is_anonymous_data() && mapping.range.start.is_aligned(64 << 20);
        let aligned = mappings.iter().filter(is_aligned);
        let heaps = aligned.map(|mapping| (mapping.range, Addr(peek.word(mapping.range.start.get()))));
        let tops = heaps.filter(|(range, arena)| range.contains(*arena));
        tops.map(|(range, arena)| Top { lock: arena, field: arena + 96, range }).collect()
    };
    // On a busy machine its threads are slow to get in each other's way.
    eventually("arenas", || look().len() >= 4);
    let tops = look();
    let target = Target::open(&process).unwrap();
    let words = || (0..count).map(|n| peek.word(rounds + 8 * n)).collect::<Vec<_>>();
    for _ in 0..50 {
        let before = words();
        let released = release_tops(&target, &tops, &patient()).unwrap().unwrap();
        assert!(released.outcome.finished && released.asked == tops.len());
        common::eventually("every thread's progress", || {
            words().iter().zip(&before).all(|(now, then)| now > then)
        });
    }
}

/// Forks, and lets the child do as it is told: jemalloc's background threads stay behind.
const FORKED: &str = r#"
    #include "planted.h"
    #include <sys/prctl.h>
    #include <signal.h>
    int main(void) {
        static char *kept[1000];
        for (int i = 0; i < 1000; i++) memset(kept[i] = malloc(5000), 1, 5000);
        pid_t child = fork();
        if (child == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            for (;;) pause();
        }
        ready("%d", child);
        serve();
    }"#;

const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

fn jemalloc_of(process: &Process) -> FileId {
    let maps = process.maps().unwrap();
    maps.iter().find(|mapping| mapping.path() == Some(Path::new(JEMALLOC))).unwrap().file().unwrap()
}

#[test]
fn jemalloc_answers_for_the_process_that_is_asked() {
    if !Path::new(JEMALLOC).exists() {
        eprintln!("skipped: {JEMALLOC} is not installed");
        return;
    }
    let questions = [
        Question { name: "background_thread", type_: Type::Bool },
        Question { name: "opt.background_thread", type_: Type::Bool },
        Question { name: "opt.narenas", type_: Type::Unsigned },
        Question { name: "arenas.dirty_decay_ms", type_: Type::Signed },
        Question { name: "stats.allocated", type_: Type::Size },
        Question { name: "opt.thp", type_: Type::Text },
        Question { name: "no.such.name", type_: Type::Size },
        Question { name: "version", type_: Type::Text },
    ];
    let conf = "background_thread:true,narenas:3,dirty_decay_ms:-1,thp:never";
    let parent =
        program("forked", FORKED).env("LD_PRELOAD", JEMALLOC).env("MALLOC_CONF", conf).spawn().unwrap();
    let child = Root::host().process(Pid(parent.greeting_numbers()[0] as i32)).unwrap();
    for (process, runs) in [(&process(&parent), true), (&child, false)] {
        let target = Target::open(process).unwrap();
        for _ in 0..20 {
            let asked = ask(&target, jemalloc_of(process), &questions, &patient()).unwrap().unwrap();
            assert!(asked.outcome.finished, "{asked:?}");
            let answers: Vec<String> = asked
                .answers
                .iter()
                .map(|answer| answer.as_ref().map_or("-".to_owned(), Answer::to_string))
                .collect();
            assert_eq!(answers[..4], [&runs.to_string(), "true", "3", "-1"]);
            let allocated: u64 = answers[4].parse().unwrap();
            assert!((5_000_000..7_000_000).contains(&allocated), "{answers:?}");
            assert_eq!(answers[5..7], ["never", "-"]);
            assert!(answers[7].starts_with("5."), "{answers:?}");
        }
    }
    // The C library is none.
    let process = process(&parent);
    let maps = process.maps().unwrap();
    let libc =
        maps.iter().find(|mapping| mapping.file_name().is_some_and(|name| name == "libc.so.6")).unwrap();
    let target = Target::open(&process).unwrap();
    assert_eq!(ask(&target, libc.file().unwrap(), &questions, &patient()).unwrap(), None);
}
