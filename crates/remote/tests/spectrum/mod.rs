//! A quiet program that maps one of each kind of memory, and what of each it has touched.

use std::io::Write;
use std::os::unix::fs::FileExt;

use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_procfs::{Process, Usage};
use slackwater_testkit::{Program, Target};

const SOURCE: &str = r#"
#include "planted.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#define PAGE 4096ul
#define MIB (1ul << 20)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static char *map(size_t bytes, int flags, int fd) {
    char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, fd, 0);
    if (at == MAP_FAILED) _exit(4);
    return at;
}
static void read_pages(volatile char *at, size_t from, size_t to) {
    for (size_t page = from; page < to; page++) (void)at[page * PAGE];
}
static void write_pages(volatile char *at, size_t from, size_t to) {
    for (size_t page = from; page < to; page++) at[page * PAGE + 8] = (char)(page + 1);
}
static char *aligned(char *at) { return (char *)(((uintptr_t)at + 2 * MIB - 1) & ~(2 * MIB - 1)); }

int main(int argc, char **argv) {
    char *holes = map(64 * PAGE, ANON, -1);
    write_pages(holes, 0, 64);
    for (size_t page = 1; page < 64; page += 2) madvise(holes + page * PAGE, PAGE, MADV_DONTNEED);

    char *zeros = map(64 * PAGE, ANON, -1);
    read_pages(zeros, 0, 32);
    write_pages(zeros, 8, 12);

    char *huge = aligned(map(6 * MIB, ANON, -1));
    madvise(huge, 4 * MIB, MADV_HUGEPAGE);
    write_pages(huge, 0, 1);
    read_pages(huge + 2 * MIB, 0, 1);

    char *shared = map(64 * PAGE, MAP_SHARED | MAP_ANONYMOUS, -1);
    write_pages(shared, 0, 16);
    read_pages(shared, 16, 24);

    int memory_file = memfd_create("planted", 0);
    if (ftruncate(memory_file, 64 * PAGE)) return 4;
    for (size_t page = 0; page < 64; page++) pwrite(memory_file, "memfd", 5, page * PAGE);
    char *memfd = map(64 * PAGE, MAP_SHARED, memory_file);
    read_pages(memfd, 0, 4);

    char *file = map(64 * PAGE, MAP_PRIVATE, open(argv[1], O_RDWR));
    madvise(file, 64 * PAGE, MADV_RANDOM);
    read_pages(file, 0, 3);
    write_pages(file, 4, 6);
    char *deleted = map(64 * PAGE, MAP_PRIVATE, open(argv[2], O_RDWR));
    unlink(argv[2]);

    char *hidden = map(16 * PAGE, ANON, -1);
    write_pages(hidden, 0, 8);
    mprotect(hidden, 16 * PAGE, PROT_NONE);

    char *guarded = map(16 * PAGE, ANON, -1);
    write_pages(guarded, 0, 8);
    madvise(guarded + 2 * PAGE, 2 * PAGE, 102 /* MADV_GUARD_INSTALL, Linux 6.13 */);

    char *reserve = map(1024 * MIB, ANON, -1);
    write_pages(reserve + 700 * MIB, 0, 1);

    char *inherited = map(512 * PAGE, ANON, -1);
    write_pages(inherited, 0, 256);
    pid_t child = fork();
    if (child == 0) for (;;) pause();

    /* The clock is read through a page of the kernel's, which RSS does not count. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);

    ready("%p %p %p %p %p %p %p %p %p %p %p %d", holes, zeros, huge, shared, memfd, file, deleted, hidden,
          guarded, reserve, inherited, child);
    for (const char *command; (command = next_command()) != NULL; reply("%s", "")) {
        if (is(command, "write")) write_pages(inherited, 0, 10);
    }
    return 0;
}
"#;

/// The maps of the program, by what was done to them.
pub(crate) struct Spectrum {
    pub(crate) target: Target,
    pub(crate) holes: Range,
    pub(crate) zeros: Range,
    pub(crate) huge: Range,
    pub(crate) shared: Range,
    pub(crate) memfd: Range,
    pub(crate) file: Range,
    pub(crate) deleted: Range,
    pub(crate) hidden: Range,
    pub(crate) guarded: Range,
    pub(crate) reserve: Range,
    pub(crate) inherited: Range,
    /// Its child, which shares all private memory with it.
    pub(crate) child: slackwater_base::Pid,
    _files: tempfile::TempDir,
}

/// What page `page` of both files holds: 10 pages and 100 bytes of the eleventh.
pub(crate) fn file_bytes() -> Vec<u8> {
    (0..10 * PAGE_SIZE + 100).map(|index| (index / PAGE_SIZE * 7 + index % 251) as u8).collect()
}

impl Spectrum {
    pub(crate) fn start() -> Self {
        let files = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = |name: &str| {
            let path = files.path().join(name);
            std::fs::File::create(&path).unwrap().write_all(&file_bytes()).unwrap();
            path
        };
        let (kept, deleted) = (path("kept"), path("deleted"));
        let target = Program::c("spectrum", SOURCE).unwrap().arg(kept).arg(deleted).spawn().unwrap();
        let at = target.greeting_numbers();
        let pages = |index: usize, count: u64| Range::sized(Addr(at[index]), count * PAGE_SIZE);
        Self {
            holes: pages(0, 64),
            zeros: pages(1, 64),
            huge: pages(2, 1024),
            shared: pages(3, 64),
            memfd: pages(4, 64),
            file: pages(5, 64),
            deleted: pages(6, 64),
            hidden: pages(7, 16),
            guarded: pages(8, 16),
            reserve: pages(9, 1 << 18),
            inherited: pages(10, 512),
            child: slackwater_base::Pid(at[11] as i32),
            target,
            _files: files,
        }
    }
}

/// What the kernel says of a process's memory, line by line: how many pages are mapped (zero pages
/// too), what counts as resident, and how many faults it took. Not whether pages were looked at; and
/// how many others share a page only where no stranger can: files are shared with every process.
pub(crate) fn kernels_view(process: &Process) -> Vec<String> {
    let pagemap = process.open("pagemap").unwrap();
    let mapped = |range: Range| {
        let pages = range.len() / PAGE_SIZE;
        let mut entries = vec![0; pages as usize * 8];
        let read = pagemap.read_at(&mut entries, range.start.get() / PAGE_SIZE * 8).unwrap();
        entries[..read].chunks_exact(8).filter(|entry| entry[7] & 0xc0 != 0).count()
    };
    let line = |usage: Usage| {
        let own = (usage.rss_bytes == usage.anonymous_bytes).then_some((
            usage.pss_bytes,
            usage.private_bytes(),
            usage.shared_dirty_bytes,
        ));
        let Usage { range, rss_bytes, anonymous_bytes, anon_huge_bytes, swap_bytes, .. } = usage;
        let mapped = mapped(range);
        format!("{range} {mapped} {rss_bytes} {anonymous_bytes} {anon_huge_bytes} {swap_bytes} {own:?}")
    };
    let mut view: Vec<String> = process.smaps().unwrap().map(|usage| line(usage.unwrap())).collect();
    let stat = process.stat().unwrap();
    view.push(format!("faults {} {}", stat.minor_faults, stat.major_faults));
    view
}

/// The lines that differ.
pub(crate) fn difference(before: &[String], after: &[String]) -> Vec<String> {
    assert_eq!(before.len(), after.len());
    let pairs = before.iter().zip(after).filter(|(before, after)| before != after);
    pairs.map(|(before, after)| format!("{before} became {after}")).collect()
}
