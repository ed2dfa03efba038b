//! A planted program, walked, and what glibc inside it says.

use slackwater_base::{Class, Gap, PinReason, Range};
use slackwater_heap::{Arena, ArenaKind, Heap, glibc};
use slackwater_memory::MemoryExt;
use slackwater_procfs::Root;
use slackwater_remote::Live;
use slackwater_testkit::{Program, Target};

const ORACLE: &str = include_str!("../planted/oracle.h");
const BLOCKS: &str = include_str!("../planted/blocks.h");

/// The text of a planted program, with the oracle in front.
pub(crate) fn with_oracle(text: &str) -> String {
    format!("{BLOCKS}{ORACLE}{text}")
}

/// A planted program for the host's glibc.
pub(crate) fn program(name: &str, text: &str) -> Program {
    Program::c(name, &with_oracle(text)).expect("a program that compiles")
}

/// What `mallinfo` says of all arenas together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Books {
    pub(crate) arena_bytes: u64,
    pub(crate) n_free: u64,
    pub(crate) n_fast: u64,
    pub(crate) n_mapped: u64,
    pub(crate) mapped_bytes: u64,
    pub(crate) fast_bytes: u64,
    pub(crate) used_bytes: u64,
    pub(crate) free_bytes: u64,
}

impl Books {
    /// As glibc inside the target adds them up.
    pub(crate) fn of_glibc(target: &mut Target) -> Self {
        let numbers = target.ask_numbers("books").expect("an answer");
        let [arena_bytes, n_free, n_fast, n_mapped, mapped_bytes, fast_bytes, used_bytes, free_bytes] =
            numbers.try_into().expect("eight numbers");
        Self { arena_bytes, n_free, n_fast, n_mapped, mapped_bytes, fast_bytes, used_bytes, free_bytes }
    }

    /// The same figures from a walk.
    pub(crate) fn of_walk(heap: &Heap) -> Self {
        let mut books = Self {
            arena_bytes: 0,
            n_free: 0,
            n_fast: 0,
            n_mapped: 0,
            mapped_bytes: 0,
            fast_bytes: 0,
            used_bytes: 0,
            free_bytes: 0,
        };
        for arena in &heap.arenas {
            let glibc = arena.glibc.expect("a balanced arena");
            if arena.kind == ArenaKind::Mapped {
                books.n_mapped = arena.live.count + glibc.cached.count;
                books.mapped_bytes = arena.mapped_bytes;
                continue;
            }
            let top_bytes = glibc.top.map_or(0, |top| top.range.len());
            let free = glibc.free.bytes + glibc.fast.bytes + top_bytes;
            books.arena_bytes += arena.mapped_bytes;
            // glibc counts the top as a free chunk.
            books.n_free += glibc.free.count + 1;
            books.n_fast += glibc.fast.count;
            books.fast_bytes += glibc.fast.bytes;
            books.free_bytes += free;
            books.used_bytes += arena.mapped_bytes - free;
        }
        books
    }
}

/// A walk of a target at rest, with what must hold for every such walk checked.
pub(crate) struct Walked {
    pub(crate) live: Live,
    pub(crate) heap: Heap,
    pub(crate) gaps: Vec<Gap>,
}

impl Walked {
    pub(crate) fn new(target: &Target) -> Self {
        let live = Live::open(&Root::host(), target.pid()).expect("a process that can be read");
        let threads = live.threads().expect("threads");
        let partial = glibc::walk(&live, &threads).expect("a walk").expect("a glibc");
        let walked = Self { live, heap: partial.value, gaps: partial.gaps };
        walked.check_sums();
        walked
    }

    /// A walk without gaps and retries.
    pub(crate) fn whole(target: &Target) -> Self {
        let walked = Self::new(target);
        assert_eq!(walked.gaps, []);
        let is_sure = |arena: &Arena| arena.glibc.is_some_and(|glibc| glibc.uncertain_bytes == 0);
        assert!(walked.heap.arenas.iter().all(|arena| arena.retries == 0 && is_sure(arena)));
        walked
    }

    /// Resident bytes of the claims, as the kernel counts them now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let resident = |claim: &Range| self.live.resident(*claim).expect("page states").process;
        self.heap.claims.iter().map(resident).sum()
    }

    fn check_sums(&self) {
        let heap = &self.heap;
        assert!(heap.claims.windows(2).all(|pair| pair[0].end <= pair[1].start), "claims are disjoint");
        assert_eq!(heap.ledger.total().process, self.resident_bytes(), "every resident byte has a class");
        assert_eq!(heap.pinned_by.total(), heap.ledger[Class::SlackPinned]);
        for arena in &heap.arenas {
            assert_eq!(arena.pinned_by.total(), arena.ledger[Class::SlackPinned]);
        }
        assert_eq!(heap.pinned_by[PinReason::Pools].process, 0);
    }

    pub(crate) fn arenas(&self, kind: ArenaKind) -> usize {
        self.heap.arenas.iter().filter(|arena| arena.kind == kind).count()
    }

    pub(crate) fn trimmable_bytes(&self) -> u64 {
        self.heap.ledger[Class::SlackTrimmable].process
    }

    pub(crate) fn cached(&self) -> (u64, u64) {
        let cached = self.heap.arenas.iter().filter_map(|arena| Some(arena.glibc?.cached));
        cached.fold((0, 0), |sum, cached| (sum.0 + cached.count, sum.1 + cached.bytes))
    }
}
