//! Page states of a live process, from /proc/PID/pagemap.
//!
//! The kernel's entry for a page does not say everything: the zero page and frames without page
//! structures look like anonymous pages shared after a fork. Here they are told apart, so that a
//! page called resident is one that the kernel counts in RSS.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::io::Errno;
use slackwater_base::{Addr, PAGE_SIZE, Range};
use slackwater_memory::{Kind, Mapping, MemoryError, Page, Sharing, WINDOW_BYTES};
use slackwater_procfs::Entry;

use crate::frames::{FrameSet, Frames};
use crate::sys::{self, Categories, Region};

/// Entries read at a time: 4 KiB on our stack, 2 MiB of the target.
pub(crate) const BATCH_PAGES: usize = 512;

/// The page states of one address space. The file stays with it: after an exit or exec it answers
/// nothing, never about another program.
#[derive(Debug)]
pub(crate) struct PageStates {
    pagemap: File,
    frames: Arc<Frames>,
    /// The shared frames that this process was the first to be asked about.
    claimed: Mutex<FrameSet>,
    scan_works: AtomicBool,
    hugetlb_devices: Vec<u64>,
}

/// What a mapping means for its pages' states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Backing {
    /// Entries mean what they say, but for the zero page.
    Plain,
    /// No file's page can be here: an entry that says so is the huge zero page, which is not an
    /// anonymous page either.
    Anonymous,
    /// No anonymous page can be here: an entry that is neither a file's nor exclusive is a frame
    /// without page structure, which RSS does not count.
    NeverAnonymous,
    /// Pages of hugetlbfs: never in RSS.
    Hugetlb,
}

impl PageStates {
    pub(crate) fn new(pagemap: File, frames: Arc<Frames>, hugetlb_devices: Vec<u64>) -> Self {
        let states = Self {
            pagemap,
            frames,
            claimed: Mutex::default(),
            scan_works: AtomicBool::new(true),
            hugetlb_devices,
        };
        // An empty range: nothing but whether the kernel knows the call is learnt.
        let _ = states.scan(Range::default(), Categories::ZERO_PAGE, 0, &mut [Region::default()]);
        states
    }

    /// Whether frame numbers are visible.
    pub(crate) fn see_frames(&self) -> bool {
        self.frames.are_visible()
    }

    /// Reads entries from the page of `addr` on, at most a batch. Fewer only at the end of what an
    /// address space can have.
    pub(crate) fn entries<'a>(
        &self,
        addr: Addr,
        count: usize,
        buffer: &'a mut [u8; BATCH_PAGES * 8],
    ) -> Result<impl Iterator<Item = Entry> + Clone + 'a, MemoryError> {
        let wanted = &mut buffer[..count.min(BATCH_PAGES) * 8];
        let mut done = 0;
        while done < wanted.len() {
            match self.pagemap.read_at(&mut wanted[done..], addr.get() / PAGE_SIZE * 8 + done as u64) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(memory_error(addr, &error)),
            }
        }
        Ok(buffer[..done].as_chunks().0.iter().map(|bytes| Entry(u64::from_le_bytes(*bytes))))
    }

    /// Fails when the address space is gone. `inside` is any address that it can have.
    pub(crate) fn require_alive(&self, inside: Addr) -> Result<(), MemoryError> {
        let mut buffer = [0; BATCH_PAGES * 8];
        match self.entries(inside, 1, &mut buffer)?.next() {
            Some(_) => Ok(()),
            None => Err(MemoryError::Gone),
        }
    }

    /// Appends the state of each page of `range` (whole pages).
    pub(crate) fn append(
        &self,
        range: Range,
        mappings: &[Mapping],
        pages: &mut Vec<Page>,
    ) -> Result<(), MemoryError> {
        let before = pages.len();
        let result = self.append_batches(range, mappings, pages);
        if result.is_err() {
            pages.truncate(before);
        }
        result
    }

    fn append_batches(
        &self,
        range: Range,
        mappings: &[Mapping],
        pages: &mut Vec<Page>,
    ) -> Result<(), MemoryError> {
        let mut buffer = [0; BATCH_PAGES * 8];
        let mut from = range.start;
        while from < range.end {
            let wanted = (range.end.offset_from(from) / PAGE_SIZE).min(BATCH_PAGES as u64);
            let batch = Range::sized(from, wanted * PAGE_SIZE);
            let first = pages.len();
            let entries = self.entries(from, wanted as usize, &mut buffer)?;
            pages.extend(entries.clone().map(Entry::page));
            if pages.len() - first < wanted as usize {
                // Past what the address space can hold, or the address space is gone.
                self.require_alive(mappings.first().map_or(Addr(0), |mapping| mapping.range.start))?;
                pages.resize(first + wanted as usize, Page::ABSENT);
            }
            self.correct(batch, mappings, entries, &mut pages[first..]);
            from = batch.end;
        }
        Ok(())
    }

    /// Corrects states by what the entries alone do not say.
    fn correct(
        &self,
        batch: Range,
        mappings: &[Mapping],
        entries: impl Iterator<Item = Entry> + Clone,
        pages: &mut [Page],
    ) {
        if entries.clone().all(|entry| !entry.is_present() || entry.is_exclusive())
            && !self.meets_hugetlb(batch, mappings)
        {
            return;
        }
        let mut rest = &mappings[mappings.partition_point(|mapping| mapping.range.end <= batch.start)..];
        let zero = self.zero_regions(batch, entries.clone());
        let mut counted = self.frames.lock();
        let mut claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        for ((index, entry), page) in entries.enumerate().zip(pages) {
            if !entry.is_present() {
                continue;
            }
            let addr = batch.start + index as u64 * PAGE_SIZE;
            while rest.first().is_some_and(|mapping| mapping.range.end <= addr) {
                rest = &rest[1..];
            }
            let backing = rest
                .first()
                .filter(|mapping| mapping.range.contains(addr))
                .map_or(Backing::Plain, |mapping| self.backing(mapping));
            let uncounted = match backing {
                Backing::Hugetlb => true,
                Backing::NeverAnonymous => entry.is_ambiguous(),
                Backing::Anonymous if entry.is_file() => true,
                Backing::Anonymous | Backing::Plain => self.is_zero(entry, addr, &zero),
            };
            if uncounted {
                *page = Page::ABSENT;
            } else if let Some(frame) = entry.frame().filter(|_| !entry.is_exclusive()) {
                // Asked again, a page must be answered as the first time: what this process claimed
                // stays its own.
                if !claimed.contains(frame) {
                    if counted.insert(frame) {
                        claimed.insert(frame);
                    } else {
                        *page = page.with(Page::COUNTED);
                    }
                }
            }
        }
    }

    fn is_zero(&self, entry: Entry, addr: Addr, regions: &[Region]) -> bool {
        match entry.frame() {
            Some(frame) => self.frames.zero_pages().contain(frame),
            None if !entry.is_ambiguous() => false,
            None => regions.iter().any(|region| (region.start..region.end).contains(&addr.get())),
        }
    }

    /// Where frame numbers are hidden, the zero pages of `batch` by PAGEMAP_SCAN, if there may be any.
    fn zero_regions(&self, batch: Range, mut entries: impl Iterator<Item = Entry>) -> Vec<Region> {
        let hidden = |entry: Entry| entry.is_ambiguous() && entry.frame().is_none();
        if !entries.any(hidden) {
            return Vec::new();
        }
        self.zero_pages(batch).unwrap_or_default()
    }

    /// The zero pages of `range`; `None` where the kernel cannot say (before 6.7).
    fn zero_pages(&self, range: Range) -> Option<Vec<Region>> {
        let mut found = Vec::new();
        let mut buffer = [Region::default(); 64];
        let mut from = range.start;
        while from < range.end {
            let rest = Range::new(from, range.end);
            let (count, walked) = self.scan(rest, Categories::ZERO_PAGE, 0, &mut buffer)?;
            found.extend_from_slice(&buffer[..count]);
            // A kernel that makes no progress must not hold us.
            if walked <= from {
                break;
            }
            from = walked;
        }
        Some(found)
    }

    /// The windows of `range` that hold a page that is mapped or on swap, neighbours joined; `range`
    /// itself where the kernel cannot say. Each window costs one call, an empty stretch of any length
    /// one call in all.
    pub(crate) fn occupied(&self, range: Range) -> Vec<Range> {
        let mut occupied: Vec<Range> = Vec::new();
        let mut first = [Region::default()];
        let mut from = range.start;
        while from < range.end {
            let rest = Range::new(from, range.end).align_out(PAGE_SIZE);
            let found = match self.scan(rest, Categories::OCCUPIED, 1, &mut first) {
                None => return vec![range],
                Some((0, _)) => break,
                Some(_) => Addr(first[0].start).max(from),
            };
            let end = found.checked_add(WINDOW_BYTES).map_or(range.end, |end| end.min(range.end));
            match occupied.last_mut() {
                Some(last) if last.end == found => last.end = end,
                _ => occupied.push(Range::new(found, end)),
            }
            from = end;
        }
        occupied
    }

    fn scan(
        &self,
        range: Range,
        wanted: Categories,
        most_pages: u64,
        regions: &mut [Region],
    ) -> Option<(usize, Addr)> {
        if !self.scan_works.load(Ordering::Relaxed) {
            return None;
        }
        let found = sys::pagemap_scan(self.pagemap.as_fd(), range, wanted, most_pages, regions);
        // Other errors concern this range, not the call.
        if matches!(found, Err(Errno::NOTTY | Errno::NOSYS | Errno::PERM | Errno::ACCESS)) {
            self.scan_works.store(false, Ordering::Relaxed);
        }
        found.ok()
    }

    /// Whether zero pages can be told from pages shared after a fork.
    pub(crate) fn tell_zero_pages(&self) -> bool {
        self.see_frames() || self.scan_works.load(Ordering::Relaxed)
    }

    /// Whether frames without page structures, such as a device's, may be mapped there.
    pub(crate) fn may_hold_devices(&self, mapping: &Mapping) -> bool {
        self.backing(mapping) == Backing::NeverAnonymous
    }

    fn backing(&self, mapping: &Mapping) -> Backing {
        match &mapping.kind {
            _ if self.is_hugetlb(mapping) => Backing::Hugetlb,
            Kind::Special => Backing::NeverAnonymous,
            _ if mapping.sharing == Sharing::Shared => Backing::NeverAnonymous,
            Kind::Anonymous { .. } | Kind::Heap | Kind::Stack => Backing::Anonymous,
            Kind::File { .. } | Kind::Shmem { .. } => Backing::Plain,
        }
    }

    /// Pages that `MAP_HUGETLB` asked for, by the name that the kernel gives their map, and files of
    /// a mounted hugetlbfs.
    fn is_hugetlb(&self, mapping: &Mapping) -> bool {
        match &mapping.kind {
            Kind::File { path, id, .. } => {
                path.as_os_str() == "/anon_hugepage" || self.hugetlb_devices.contains(&id.device)
            }
            _ => false,
        }
    }

    fn meets_hugetlb(&self, batch: Range, mappings: &[Mapping]) -> bool {
        let from = mappings.partition_point(|mapping| mapping.range.end <= batch.start);
        mappings[from..]
            .iter()
            .take_while(|mapping| mapping.range.start < batch.end)
            .any(|mapping| self.is_hugetlb(mapping))
    }

    /// Gives back the frames that this process claimed: what was learnt of it is not used.
    pub(crate) fn abandon(&mut self) {
        let claimed = std::mem::take(self.claimed.get_mut().unwrap_or_else(PoisonError::into_inner));
        self.frames.lock().remove_all(&claimed);
    }
}

/// What a failed read of the target's files in /proc means.
pub(crate) fn memory_error(addr: Addr, error: &std::io::Error) -> MemoryError {
    match Errno::from_io_error(error) {
        Some(Errno::PERM | Errno::ACCESS) => MemoryError::Denied,
        Some(Errno::SRCH) => MemoryError::Gone,
        errno => MemoryError::Failed { addr, errno: errno.unwrap_or(Errno::IO).raw_os_error() },
    }
}
