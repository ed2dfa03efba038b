//! Every fault we know, in the order in which it reaches a tool like this, and what we promise.

/// One fault.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    /// The NN of the tests `fault_NN_*`. Never reused.
    pub(super) number: u8,
    /// Where it belongs.
    pub(super) section: &'static str,
    /// What goes wrong elsewhere.
    pub(super) fault: &'static str,
    /// What holds here, once it is tested.
    pub(super) promise: &'static str,
}

const fn fault(number: u8, section: &'static str, fault: &'static str, promise: &'static str) -> Fault {
    Fault { number, section, fault, promise }
}

const REACHING: &str = "Reaching the target";
const INSIDE: &str = "Living inside the target";
const FILES: &str = "Captures, reports, exports";
const RIGHT: &str = "Being right";

/// Every fault, by number.
#[rustfmt::skip] // A table: one fault in two lines.
pub(super) const FAULTS: &[Fault] = &[
    fault(1, REACHING, "a thread holds the malloc or the loader lock when we enter",
        "we enter only after proving by its stack that the thread we use is outside malloc, the loader and fork; if no thread is safe in time, nothing is changed"),
    fault(2, REACHING, "the target is stopped",
        "reading works, entering refuses; a stopped target stays stopped, a running one keeps running"),
    fault(3, REACHING, "we are killed in the middle of entering",
        "the target comes back by itself: no breakpoint, no patched code, no tracer is needed to restore it"),
    fault(4, REACHING, "another tracer is attached",
        "its pid is named; reading still works"),
    fault(5, REACHING, "the pid is reused",
        "a process is known by pid and start time together: the wrong one is never read or entered"),
    fault(6, REACHING, "the target exits, execs or is killed while it is read",
        "exit code 4, what was learnt is kept and its gaps are named"),
    fault(7, REACHING, "rights are missing: another uid, not dumpable, Yama, a dropped capability",
        "the failing check and its fix are named; what works without the right still works"),
    fault(8, REACHING, "seccomp forbids process_vm_readv, ptrace or pidfd_open",
        "another way to read is taken, the denied call is named"),
    fault(9, REACHING, "the target lives in other mount or pid namespaces",
        "its pids are mapped, its files are read through its own root"),
    fault(10, REACHING, "noexec /tmp, read-only root, no executable memfd",
        "entering needs no file, directory or memfd in the target's world"),
    fault(11, REACHING, "another architecture, musl, a static executable, an old glibc",
        "decided from the executable before acting; page classes are still given"),
    fault(12, REACHING, "static TLS is exhausted",
        "nothing we load needs static TLS"),
    fault(13, REACHING, "the target is PID 1 of a container",
        "the same promises; no signal is sent"),
    fault(14, REACHING, "we leave while threads are inside hooks",
        "code is never unmapped; one switch makes hooks dormant"),
    fault(15, REACHING, "another profiler or allocator is already there",
        "it is detected; we chain in order or refuse"),
    fault(16, INSIDE, "a hook re-enters malloc",
        "hooks call nothing that locks or allocates"),
    fault(17, INSIDE, "lock order against the loader",
        "no lock of ours is held across a call that may take the loader's"),
    fault(18, INSIDE, "fork from a threaded process",
        "the child starts dormant, with fresh state"),
    fault(19, INSIDE, "two processes write one capture",
        "one file per process generation, one merged report"),
    fault(20, INSIDE, "a signal arrives inside a hook",
        "no signals used or blocked, errno preserved, longjmp survived"),
    fault(21, INSIDE, "the agent crashes the service",
        "every walk is bounded, every pointer is checked, panics cannot reach hooks"),
    fault(22, INSIDE, "Python's C-API is called from an allocator hook",
        "it never is"),
    fault(23, INSIDE, "small stacks, greenlets, switched stacks",
        "little stack is used, walks stay within the mapping"),
    fault(24, INSIDE, "the tool grows the RSS it measures, or stalls the service",
        "our own memory stays under 64 MiB whatever the target's size, and reading does not slow the service"),
    fault(25, INSIDE, "a changed allocator makes it worse",
        "known traps are detected and named before the change"),
    fault(26, INSIDE, "holes in the allocator's interface",
        "every entry that glibc has answers sensibly"),
    fault(27, INSIDE, "a preload leaks into children",
        "children that are not workers get the original environment"),
    fault(28, FILES, "the disk is full",
        "recording stops with one line, the service does not notice"),
    fault(29, FILES, "the target is killed while recording",
        "at most a second is lost, the capture opens at once"),
    fault(30, FILES, "a corrupt or hostile capture",
        "memory and time are bounded, nothing panics"),
    fault(31, FILES, "a huge capture",
        "size follows distinct stacks, not events"),
    fault(32, FILES, "script injection by names",
        "names are inert data in every page"),
    fault(33, FILES, "terminal and spreadsheet injection by names",
        "control characters are shown escaped in every text"),
    fault(34, FILES, "predictable names, symlinks, root writing for users",
        "files are created anew, with random names and 0600"),
    fault(35, FILES, "a hostile target against a root tool: cycles, giant lengths, crafted ELF files",
        "every length and depth is capped; forged memory gives a gap, never a panic or an endless loop"),
    fault(36, FILES, "secrets in captures and reports",
        "no contents; arguments and environment are reduced to names"),
    fault(37, FILES, "a metrics port open to the world",
        "loopback by default, bounded requests and labels"),
    fault(38, FILES, "a push target that is slow or down",
        "a bounded queue, drops are counted, the service never waits"),
    fault(39, FILES, "formats drift between versions",
        "the last two formats are read, unknown blocks are skipped"),
    fault(40, RIGHT, "a new or custom Python build is misread",
        "structures are checked before they are trusted, else refused with the nearest known version"),
    fault(41, RIGHT, "torn reads while the target runs",
        "retried per arena, counted, and what does not balance is a gap"),
    fault(42, RIGHT, "a long pause trips health checks",
        "reading never stops the target; the measured stop of an entry is printed"),
    fault(43, RIGHT, "silent wrong numbers",
        "the classes add up to the kernel's RSS; what is not known is shown as unexplained; planted programs check every class to the byte"),
    fault(44, RIGHT, "an experiment says better by noise",
        "a null arm in every report"),
    fault(45, RIGHT, "an experiment leaves orphans",
        "everything it started is gone afterwards"),
    fault(46, RIGHT, "the clock steps",
        "order is monotonic"),
    fault(47, RIGHT, "odd surroundings: no HOME, no terminal, byte paths, closed stdout",
        "no panic, quiet on a closed pipe, exit codes as documented"),
];
