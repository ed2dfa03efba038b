//! Targets that change while they are read.

use std::time::Duration;

use slackwater_base::{Addr, Class, Range};
use slackwater_heap::{ArenaKind, glibc};
use slackwater_memory::{Access, Mapping, Memory, MemoryError, Page};
use slackwater_procfs::Root;
use slackwater_remote::Live;

use crate::held::program;

#[test]
fn fault_41_threads_that_allocate_flat_out() {
    let target = program("churn", include_str!("../planted/churn.c")).arg("4").spawn().unwrap();
    let mut retries = 0;
    // Whether a look meets a change is the scheduler's choice: eight looks, or as many as it takes.
    for look in 0..200 {
        if look >= 8 && retries > 0 {
            break;
        }
        let live = Live::open(&Root::host(), target.pid()).unwrap();
        let partial = glibc::walk(&live, &live.threads().unwrap()).unwrap().unwrap();
        for arena in partial.value.arenas.iter().filter(|arena| arena.kind == ArenaKind::Secondary) {
            let gap = partial.gaps.iter().find(|gap| gap.subject.contains(&arena.addr.to_string()));
            let resident = arena.ledger.total().process;
            match arena.glibc {
                // Accepted as balanced, or with a bound that a gap states.
                Some(glibc) => {
                    assert_eq!(arena.ledger[Class::Unexplained].process, 0);
                    let bound = format!("up to {} bytes", glibc.uncertain_bytes);
                    assert!(gap.is_none_or(|gap| gap.cause.contains(&bound)), "{gap:?} names {bound}");
                    // Four threads hold half a thousand blocks each; one in sixteen is large.
                    let error = glibc.uncertain_bytes;
                    assert!(arena.live.count < 4 * 4096 || error > 0, "{} live blocks", arena.live.count);
                    assert!(resident > 0 && arena.mapped_bytes >= glibc.uncertain_bytes);
                }
                None => {
                    assert!(gap.is_some(), "an arena without books has a gap");
                    assert_eq!(arena.ledger[Class::Unexplained].process, resident);
                }
            }
            retries += arena.retries;
        }
    }
    assert!(retries > 0, "a target that hard at work is caught in mid-change");
}

const LATE_ARENA: &str = r#"
static void *hold(void *unused) {
    void *volatile block = malloc(100000);
    memset(block, 1, 100000);
    reply("%s", "");
    for (;;) pause();
}
int main(void) {
    void *volatile first = malloc(1000);
    ready("%s", "");
    next_command();
    pthread_t thread;
    pthread_create(&thread, NULL, hold, NULL);
    for (;;) pause();
}"#;

#[test]
fn an_arena_mapped_after_the_list_of_mappings_is_no_reason_to_see_no_heap() {
    let mut target = program("late_arena", LATE_ARENA).spawn().unwrap();
    let live = Live::open(&Root::host(), target.pid()).unwrap();
    target.ask("start a thread").unwrap();
    let partial = glibc::walk(&live, &live.threads().unwrap()).unwrap().expect("a heap");
    let main = partial.value.arenas.iter().find(|arena| arena.kind == ArenaKind::Main).unwrap();
    assert!(main.glibc.is_some() && main.live.count > 0, "{main:?}");
    assert!(partial.gaps.iter().any(|gap| gap.subject.contains("glibc arena at")), "{:?}", partial.gaps);
}

/// A live process with a list of mappings that was read a moment earlier.
struct Earlier<'a> {
    live: &'a Live,
    mappings: Vec<Mapping>,
}

impl Memory for Earlier<'_> {
    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn let_run(&self, pause: Duration) {
        self.live.let_run(pause);
    }

    fn pages(&self, range: Range, pages: &mut Vec<Page>) -> Result<(), MemoryError> {
        self.live.pages(range, pages)
    }

    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), MemoryError> {
        self.live.read(addr, buf)
    }
}

#[test]
fn an_arena_made_accessible_after_the_list_of_mappings_is_no_reason_to_see_no_heap() {
    let mut target = program("late_arena", LATE_ARENA).spawn().unwrap();
    target.ask("start a thread").unwrap();
    let live = Live::open(&Root::host(), target.pid()).unwrap();
    let threads = live.threads().unwrap();
    let now = glibc::walk(&live, &threads).unwrap().unwrap().value;
    let arena = now.arenas.iter().find(|arena| arena.kind == ArenaKind::Secondary).unwrap().addr;
    let mut earlier = Earlier { live: &live, mappings: live.mappings().to_vec() };
    let mapping = earlier.mappings.iter_mut().find(|mapping| mapping.range.contains(arena)).unwrap();
    mapping.access = Access::default();
    let then = glibc::walk(&earlier, &threads).unwrap().expect("a heap").value;
    assert!(then.arenas.iter().any(|arena| arena.kind == ArenaKind::Main && arena.glibc.is_some()));
}
