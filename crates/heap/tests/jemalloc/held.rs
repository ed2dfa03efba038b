//! A planted program under our library, walked, and what jemalloc inside it says.

use slackwater_base::{Class, Gap, Pid, Range};
use slackwater_heap::Heap;
use slackwater_heap::jemalloc::{Statistics, find_block, read_block, walk};
use slackwater_memory::MemoryExt;
use slackwater_procfs::Root;
use slackwater_remote::Live;
use slackwater_testkit::{Program, Target, allocator_library};

const ORACLE: &str = include_str!("../planted/jemalloc.h");
const BLOCKS: &str = include_str!("../planted/blocks.h");

/// A planted program under our library, without a governor that purges behind the test's back.
pub(crate) fn program(name: &str, text: &str) -> Program {
    let program = Program::c(name, &format!("{BLOCKS}{ORACLE}{text}")).expect("a program that compiles");
    let library = allocator_library().expect("the library");
    program.env("LD_PRELOAD", library).env("SLACKWATER_GOVERNOR", "off")
}

/// What jemalloc inside the target says.
pub(crate) fn books(target: &mut Target) -> Statistics {
    let numbers = target.ask_numbers("books").expect("an answer");
    let [allocated, active, dirty, muzzy, retained, cached, metadata] =
        numbers.try_into().expect("seven numbers");
    Statistics {
        allocated_bytes: allocated,
        active_bytes: active,
        dirty_bytes: dirty,
        muzzy_bytes: muzzy,
        retained_bytes: retained,
        cached_bytes: cached,
        metadata_bytes: metadata,
        ..Statistics::default()
    }
}

/// A walk of a target, with what must hold for every such walk checked.
pub(crate) struct Walked {
    pub(crate) live: Live,
    pub(crate) heap: Heap,
    pub(crate) totals: Statistics,
    pub(crate) gaps: Vec<Gap>,
}

impl Walked {
    pub(crate) fn new(target: &Target) -> Self {
        Self::of(target.pid())
    }

    pub(crate) fn of(pid: Pid) -> Self {
        let live = Live::open(&Root::host(), pid).expect("a process that can be read");
        let addr = find_block(&live, &live).expect("the library's block");
        let block = read_block(&live, addr).expect("a block");
        let partial = walk(&live, &block).expect("a walk");
        let (heap, totals) = (partial.value.heap, partial.value.totals);
        Self { live, heap, totals, gaps: partial.gaps }
    }

    /// A walk of a target at rest: without gaps and retries.
    pub(crate) fn whole(target: &Target) -> Self {
        let walked = Self::new(target);
        assert_eq!(walked.gaps, []);
        assert!(walked.heap.arenas.iter().all(|arena| arena.retries == 0));
        assert_eq!(walked.bytes(Class::Unexplained), 0);
        assert_eq!(walked.heap.ledger.total().process, walked.resident_bytes(), "each byte has a class");
        walked.check_sums();
        walked
    }

    pub(crate) fn bytes(&self, class: Class) -> u64 {
        self.heap.ledger[class].process
    }

    /// Resident bytes of the claims, as the kernel counts them now.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let resident = |claim: &Range| self.live.resident(*claim).expect("page states").process;
        self.heap.claims.iter().map(resident).sum()
    }

    pub(crate) fn check_sums(&self) {
        let heap = &self.heap;
        assert!(heap.claims.windows(2).all(|pair| pair[0].end <= pair[1].start), "claims are disjoint");
        assert_eq!(heap.pinned_by.total(), heap.ledger[Class::SlackPinned]);
    }
}
