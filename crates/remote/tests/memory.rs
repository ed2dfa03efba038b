//! Page states and bytes of a program with one map of each kind, against what the kernel says and
//! what the program wrote; and that looking changes nothing.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test says where and why it cannot go on")]

use std::sync::Arc;

use rustix::thread::CapabilitySet;
use slackwater_base::{Addr, PAGE_SIZE, Pid, Range};
use slackwater_memory::{Memory, MemoryError, MemoryExt, Page, WINDOW_BYTES, Window};
use slackwater_procfs::Root;
use slackwater_remote::{Frames, Live};

mod rights;
mod spectrum;

use spectrum::{Spectrum, difference, file_bytes, kernels_view};

fn open(pid: Pid) -> Live {
    Live::open(&Root::host(), pid).unwrap()
}

/// Resident bytes by our page states against smaps, for every mapping but that of the vsyscall page,
/// which is the kernel's.
fn agrees_with_smaps(live: &Live) {
    let usages: Vec<_> = live.process().smaps().unwrap().map(Result::unwrap).collect();
    assert_eq!(live.mappings().len(), usages.len());
    for (mapping, usage) in live.mappings().iter().zip(usages) {
        assert_eq!(mapping.range, usage.range);
        let ours = live.resident(mapping.range).unwrap().process;
        assert_eq!(ours, usage.rss_bytes, "{mapping:?}");
    }
}

#[test]
fn fault_43_resident_bytes_are_those_of_smaps_to_the_byte() {
    let spectrum = Spectrum::start();
    let live = open(spectrum.target.pid());
    agrees_with_smaps(&live);
    let resident = |range| live.resident(range).unwrap().process / PAGE_SIZE;
    assert_eq!(resident(spectrum.holes), 32);
    assert_eq!(resident(spectrum.zeros), 4);
    assert_eq!(resident(spectrum.hidden), 8);
    let huge = resident(spectrum.huge);
    if huge != 512 {
        eprintln!("not tested here: huge pages, of which the kernel gave none ({huge} pages)");
    }
    assert_eq!(resident(spectrum.reserve), 1);
}

#[test]
fn they_are_the_same_without_the_right_to_see_frame_numbers() {
    let spectrum = Spectrum::start();
    let pid = spectrum.target.pid();
    rights::without(CapabilitySet::SYS_ADMIN, || {
        let live = open(pid);
        assert!(!live.sees_frames());
        assert!(live.notes().iter().any(|note| note.contains("CAP_SYS_ADMIN")), "{:?}", live.notes());
        agrees_with_smaps(&live);
    });
    // Nor can zero pages be told where the kernel has no call for it; then we say so.
    let no_scan = || {
        rights::seccomp::refuse(&[libc::SYS_ioctl], libc::ENOTTY);
    };
    rights::without(CapabilitySet::SYS_ADMIN, || {
        no_scan();
        let live = open(pid);
        assert!(live.notes().iter().any(|note| note.contains("zero pages")), "{:?}", live.notes());
        assert_eq!(live.resident(spectrum.zeros).unwrap().process, 32 * PAGE_SIZE);
    });
}

#[test]
fn page_states_say_what_lies_behind() {
    let spectrum = Spectrum::start();
    let live = open(spectrum.target.pid());
    let page = |range: Range, index: u64| {
        let mut pages = Vec::new();
        live.pages(Range::sized(range.start + index * PAGE_SIZE, 1), &mut pages).unwrap();
        pages[0]
    };
    assert_eq!(page(spectrum.holes, 1), Page::ABSENT);
    assert_eq!(page(spectrum.zeros, 0), Page::ABSENT);
    assert!(page(spectrum.shared, 0).has(Page::RESIDENT.with(Page::FILE)));
    assert!(page(spectrum.file, 0).has(Page::FILE));
    assert!(!page(spectrum.file, 4).has(Page::FILE), "a private copy is anonymous");
    assert!(!page(spectrum.inherited, 0).has(Page::EXCLUSIVE));
    assert_eq!(page(spectrum.guarded, 2), Page::ABSENT);
    assert!(page(spectrum.guarded, 5).is_resident());
    assert_eq!(page(Range::sized(Addr(0), 1), 0), Page::ABSENT);
    assert_eq!(page(Range::sized(Addr(0xffff_ffff_ff60_0000), 1), 0), Page::ABSENT);
}

/// Reads all that is mapped, by `read` and by windows.
fn read_everything(live: &Live) {
    let mut window = Window::new();
    let mut buffer = vec![0; WINDOW_BYTES as usize];
    for mapping in live.mappings() {
        let mut from = mapping.range.start;
        while from < mapping.range.end {
            let part = Range::new(from, mapping.range.end.min(from + WINDOW_BYTES));
            live.window(part, &mut window).unwrap();
            // Pages without bytes (of the kernel, behind a file's end) are refused, not touched.
            let _ = live.read(part.start, &mut buffer[..part.len() as usize]);
            for page in 0..(part.len() / PAGE_SIZE).min(64) {
                let _ = live.read(part.start + page * PAGE_SIZE, &mut buffer[..PAGE_SIZE as usize]);
            }
            from = part.end;
        }
    }
}

#[test]
fn reading_everything_changes_nothing_in_the_target() {
    let mut spectrum = Spectrum::start();
    // Its own handshake must have touched all it needs.
    spectrum.target.ask("settle").unwrap();
    let (live, child) = (open(spectrum.target.pid()), open(spectrum.child));
    let view = || [kernels_view(live.process()), kernels_view(child.process())];
    let before = view();
    read_everything(&live);
    read_everything(&child);
    let after = view();
    assert_eq!(difference(&before[0], &after[0]), [""; 0]);
    assert_eq!(difference(&before[1], &after[1]), [""; 0]);
    for live in [&live, &child] {
        let mut pages = Vec::new();
        live.pages(spectrum.inherited, &mut pages).unwrap();
        assert!(pages[..256].iter().all(|page| page.is_resident() && !page.has(Page::EXCLUSIVE)));
    }
}

#[test]
fn bytes_are_those_that_the_target_would_read() {
    let spectrum = Spectrum::start();
    let live = open(spectrum.target.pid());
    let bytes = |range: Range, from: u64, count: u64| {
        let mut bytes = vec![0xee; (count * PAGE_SIZE) as usize];
        live.read(range.start + from * PAGE_SIZE, &mut bytes).map(|()| bytes)
    };
    let page = |range: Range, index: u64| bytes(range, index, 1).unwrap();
    let file = file_bytes();
    let of_file = |index: usize| &file[index * 4096..(index + 1) * 4096];

    assert_eq!(page(spectrum.holes, 2)[8], 3);
    assert_eq!(page(spectrum.holes, 3), [0; 4096]);
    assert_eq!(page(spectrum.zeros, 0), [0; 4096]);
    assert_eq!(page(spectrum.zeros, 9)[8], 10);
    assert_eq!(page(spectrum.hidden, 3)[8], 4);
    assert_eq!(page(spectrum.guarded, 2), [0; 4096]);
    assert_eq!(page(spectrum.inherited, 9)[8], 10);
    // Most pages of the memfd are not mapped into the target, and hold bytes all the same.
    assert_eq!(&page(spectrum.memfd, 2)[..5], b"memfd");
    assert_eq!(&page(spectrum.memfd, 60)[..5], b"memfd");
    for range in [spectrum.file, spectrum.deleted] {
        assert_eq!(page(range, 8), of_file(8));
        let mut last = file[10 * 4096..].to_vec();
        last.resize(4096, 0);
        assert_eq!(page(range, 10), last);
        let behind = range.start + 11 * PAGE_SIZE;
        assert_eq!(bytes(range, 11, 1), Err(MemoryError::Unmapped(behind)));
        assert_eq!(bytes(range, 9, 4), Err(MemoryError::Unmapped(behind)));
        assert_eq!(live.read_u64(behind + 8), Err(MemoryError::Unmapped(behind + 8)));
    }
    let mut copied = of_file(4).to_vec();
    copied[8] = 5;
    assert_eq!(page(spectrum.file, 4), copied);
    // One read over pages from the file, private copies, and again the file.
    assert_eq!(bytes(spectrum.file, 3, 4).unwrap()[3 * 4096..], *of_file(6));
    assert_eq!(live.read_u32(Addr(0x10)), Err(MemoryError::Unmapped(Addr(0x10))));
    assert_eq!(live.read_u64(Addr(u64::MAX - 7)), Err(MemoryError::Unmapped(Addr(u64::MAX - 7))));
}

#[test]
fn windows_hold_the_bytes_of_resident_pages_only() {
    let spectrum = Spectrum::start();
    let live = open(spectrum.target.pid());
    let mut window = Window::new();
    live.window(spectrum.holes, &mut window).unwrap();
    for page in 0..64 {
        let word = window.word(spectrum.holes.start + page * PAGE_SIZE + 8);
        assert_eq!(word, (page % 2 == 0).then_some(page + 1), "page {page}");
    }
    live.window(spectrum.hidden, &mut window).unwrap();
    assert_eq!(window.word(spectrum.hidden.start + 8), Some(1));
    live.window(Range::sized(spectrum.inherited.start + 200 * PAGE_SIZE, WINDOW_BYTES), &mut window).unwrap();
    assert_eq!(window.resident(spectrum.inherited).process, 56 * PAGE_SIZE);
    assert_eq!(window.word(spectrum.inherited.start + 255 * PAGE_SIZE + 8), Some(0));
}

#[test]
fn large_empty_maps_are_skipped() {
    let spectrum = Spectrum::start();
    let live = open(spectrum.target.pid());
    let occupied = live.occupied(spectrum.reserve).unwrap();
    let touched = spectrum.reserve.start + (700 << 20);
    assert_eq!(occupied, [Range::sized(touched, WINDOW_BYTES)]);
    assert_eq!(live.resident(spectrum.reserve).unwrap().process, PAGE_SIZE);
}

#[test]
fn a_frame_is_counted_once_in_a_service() {
    let mut spectrum = Spectrum::start();
    let frames = Arc::new(Frames::new());
    if !frames.are_visible() {
        eprintln!("not tested here: frame numbers take CAP_SYS_ADMIN");
        return;
    }
    let open = |pid| Live::open_sharing(&Root::host(), pid, Arc::clone(&frames)).unwrap();
    let (parent, child) = (open(spectrum.target.pid()), open(spectrum.child));
    let pages = |live: &Live| {
        let resident = live.resident(spectrum.inherited).unwrap();
        (resident.process / PAGE_SIZE, resident.service / PAGE_SIZE)
    };
    // Asked twice, a page is answered in the same way.
    for _ in 0..2 {
        assert_eq!(pages(&parent), (256, 256));
        assert_eq!(pages(&child), (256, 0));
    }
    spectrum.target.ask("write").unwrap();
    assert_eq!(pages(&parent), (256, 256));
    assert_eq!(pages(&child), (256, 10), "what the parent has written is the child's own now");
    // Frames of a process whose figures are not used are free to be counted in another.
    parent.abandon();
    drop(child);
    assert_eq!(pages(&open(spectrum.child)), (256, 256));
}
