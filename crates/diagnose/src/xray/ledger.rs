//! One process's ledger: every resident page in exactly one class.
//!
//! ```text
//!   heap claims   what the walkers account for, by their own classes
//!   stacks        ranges that hold a thread's stack
//!   the rest      by mapping: file, shmem, own, and anonymous memory
//! ```
//!
//! Invariant: a byte is weighed once. Claims are cut out of the mappings before these are weighed,
//! and claims that overlap are refused before they come here.

use slackwater_base::{Class, Gap, Ledger, Range, Resident};
use slackwater_heap::Heap;
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, MemoryExt};

use super::figures::Figures;
use super::stacks::Stack;
use crate::Sharing;

/// Mappings larger than this are not weighed page by page when the kernel says that they are empty:
/// some runtimes reserve terabytes.
const RESERVATION_BYTES: u64 = 64 << 20;

/// What the ledger is made of.
pub(crate) struct Parts<'a> {
    pub(crate) figures: &'a Figures,
    pub(crate) heaps: &'a [Heap],
    pub(crate) stacks: &'a [Stack],
    /// What anonymous memory is that no walker claimed: [`Class::AnonOther`] where every allocator
    /// was walked, else [`Class::Unexplained`].
    pub(crate) unclaimed: Class,
    pub(crate) sharing: Sharing,
}

impl Parts<'_> {
    /// Weighs every mapping.
    ///
    /// # Errors
    /// When residency cannot be had at all.
    pub(crate) fn ledger(&self, memory: &dyn Memory) -> Result<Ledger, MemoryError> {
        let mut ledger = Ledger::default();
        let mut taken: Vec<Range> = Vec::new();
        for heap in self.heaps {
            let share = self.share_of(&heap.claims);
            for (class, resident) in heap.ledger.iter() {
                ledger[class] += scaled(resident, share);
            }
            taken.extend(&heap.claims);
        }
        taken.sort_unstable_by_key(|range| range.start);
        for (index, mapping) in memory.mappings().iter().enumerate() {
            if self.is_empty(mapping.range) {
                continue;
            }
            let share = self.share_of(&[mapping.range]);
            let class = self.class(memory.mappings(), index);
            for part in mapping.range.without(overlapping(&taken, mapping.range)) {
                let stacked = self.stacks_in(mapping, part);
                for &Stack { range, class } in &stacked {
                    ledger[class] += scaled(memory.resident(range)?, share);
                }
                for rest in part.without(stacked.iter().map(|stack| &stack.range)) {
                    ledger[class] += scaled(memory.resident(rest)?, share);
                }
            }
        }
        self.add_difference(&mut ledger);
        Ok(ledger)
    }

    /// What the kernel counts and no page of ours makes up.
    fn add_difference(&self, ledger: &mut Ledger) {
        let missing = self.figures.rss_bytes.saturating_sub(ledger.total().process);
        ledger[Class::Unexplained] += Resident { process: missing, service: missing };
    }

    fn is_empty(&self, range: Range) -> bool {
        let mut areas = self.figures.areas_in(range).peekable();
        let known = areas.peek().is_some();
        known && areas.all(|area| area.uncounted || (area.rss_bytes == 0 && range.len() > RESERVATION_BYTES))
    }

    /// The class of what no heap and no stack claims in mapping `index`.
    fn class(&self, mappings: &[Mapping], index: usize) -> Class {
        let mapping = &mappings[index];
        let before = index.checked_sub(1).and_then(|before| mappings.get(before));
        // Zeroed data of a library has no file behind it, and lies directly behind its other data; the agent's
        // own memory lies so behind what it shares. (Not behind its data: it was loaded late, and the kernel
        // joins its zeroed data with what the program has above.)
        let is_behind = |before: &Mapping| {
            let is_named = before.path().is_some() || before.sharing == slackwater_memory::Sharing::Shared;
            before.range.end == mapping.range.start && is_named
        };
        let is_zeroed_data = matches!(mapping.kind, Kind::Anonymous { name: None });
        match before.filter(|before| is_zeroed_data && is_behind(before)) {
            Some(before) if class_of(before, self.unclaimed) == Class::Own => Class::Own,
            _ => class_of(mapping, self.unclaimed),
        }
    }

    fn stacks_in(&self, mapping: &Mapping, part: Range) -> Vec<Stack> {
        if !matches!(mapping.kind, Kind::Anonymous { .. }) {
            return Vec::new();
        }
        let cut = self.stacks.iter().map(|stack| Stack { range: stack.range.intersect(part), ..*stack });
        cut.filter(|stack| !stack.range.is_empty()).collect()
    }

    fn share_of(&self, ranges: &[Range]) -> Option<f64> {
        (self.sharing == Sharing::Proportional).then(|| self.figures.share(ranges))
    }
}

/// Where frame numbers are hidden, the service's part is the proportional share.
fn scaled(resident: Resident, share: Option<f64>) -> Resident {
    match share {
        None => resident,
        Some(share) => {
            let service = (resident.process as f64 * share) as u64;
            Resident { process: resident.process, service: service.min(resident.process) }
        }
    }
}

/// The ranges of `taken` (sorted, disjoint) that overlap `range`.
fn overlapping(taken: &[Range], range: Range) -> &[Range] {
    let from = taken.partition_point(|taken| taken.end <= range.start);
    let to = taken.partition_point(|taken| taken.start < range.end);
    taken.get(from..to).unwrap_or_default()
}

/// The class of a mapping's pages that neither a heap nor a stack claims.
pub(super) fn class_of(mapping: &Mapping, unclaimed: Class) -> Class {
    match &mapping.kind {
        Kind::File { path, .. } if is_own(&path.to_string_lossy()) => Class::Own,
        Kind::Shmem { name } if is_own(&name.to_string_lossy()) => Class::Own,
        Kind::Anonymous { name: Some(name) } if is_own(name) => Class::Own,
        Kind::File { .. } | Kind::Special => Class::File,
        Kind::Shmem { .. } => Class::Shmem,
        Kind::Stack => Class::Stack,
        // Guards and read-only data are nobody's heap.
        Kind::Anonymous { .. } if !mapping.is_anonymous_data() => Class::AnonOther,
        Kind::Anonymous { .. } | Kind::Heap => unclaimed,
    }
}

fn is_own(name: &str) -> bool {
    let file = name.rsplit('/').next().unwrap_or(name);
    let file = file.strip_prefix("memfd:").unwrap_or(file);
    file.starts_with("slackwater") || file.starts_with("libslackwater")
}

/// Drops heaps that claim what another one claimed before, and says so. Two walkers that disagree
/// about an address are both in doubt; the first one balanced its books with it.
pub(crate) fn drop_overlapping(heaps: Vec<Heap>, gaps: &mut Vec<Gap>) -> Vec<Heap> {
    let mut kept: Vec<Heap> = Vec::new();
    for heap in heaps {
        let clash = kept.iter().find_map(|other| first_overlap(&other.claims, &heap.claims));
        match clash {
            None => kept.push(heap),
            Some(range) => gaps.push(Gap::new(
                "heap",
                format!("two allocators claim the memory at {range}, the second one is left out"),
            )),
        }
    }
    kept
}

/// The first range in which two sorted lists of ranges meet.
fn first_overlap(one: &[Range], two: &[Range]) -> Option<Range> {
    let (mut left, mut right) = (one.iter().peekable(), two.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let both = a.intersect(**b);
        if !both.is_empty() {
            return Some(both);
        }
        if a.end <= b.end {
            left.next()
        } else {
            right.next()
        };
    }
    None
}

#[cfg(test)]
mod tests {
    use slackwater_base::{Addr, PAGE_SIZE, PinnedBy};
    use slackwater_heap::{Allocator, Blocks};
    use slackwater_memory::{FileId, Image, Page};

    use super::*;

    const HEAP: u64 = 0x10_0000;
    const STACK: u64 = 0x20_0000;
    const FILE: u64 = 0x30_0000;

    fn pages(count: u64) -> Vec<u8> {
        vec![1; (count * PAGE_SIZE) as usize]
    }

    fn image() -> Image {
        let file =
            Kind::File { path: "/lib/libx.so".into(), id: FileId { device: 1, inode: 2 }, deleted: false };
        Image::new()
            .anonymous(Addr(HEAP), pages(8))
            .anonymous(Addr(STACK), pages(4))
            .map(Addr(FILE), pages(2), file)
            .map(Addr(0x40_0000), pages(1), Kind::Shmem { name: "/memfd:slackwater-ring".into() })
            .anonymous(Addr(0x40_0000 + PAGE_SIZE), pages(2))
            .map(Addr(0x50_0000), pages(3), Kind::Shmem { name: "/dev/shm/x".into() })
    }

    fn heap(claims: &[Range], live: u64) -> Heap {
        let mut ledger = Ledger::default();
        ledger[Class::LivePython] = Resident { process: live, service: live };
        Heap {
            allocator: Allocator::Pymalloc,
            arenas: Vec::new(),
            ledger,
            pinned_by: PinnedBy::default(),
            live: Blocks::default(),
            claims: claims.to_vec(),
        }
    }

    fn range(start: u64, pages: u64) -> Range {
        Range::sized(Addr(start), pages * PAGE_SIZE)
    }

    #[test]
    fn fault_43_every_page_is_in_one_class_and_the_sum_is_all() {
        let figures = Figures { rss_bytes: 21 * PAGE_SIZE, ..Figures::default() };
        let heaps = [heap(&[range(HEAP + PAGE_SIZE, 4)], 4 * PAGE_SIZE)];
        let stacks = [Stack { range: range(STACK + PAGE_SIZE, 2), class: Class::Stack }];
        let parts = Parts {
            figures: &figures,
            heaps: &heaps,
            stacks: &stacks,
            unclaimed: Class::AnonOther,
            sharing: Sharing::Frames,
        };
        let ledger = parts.ledger(&image()).unwrap();
        let pages = |class: Class| ledger[class].process / PAGE_SIZE;
        assert_eq!(pages(Class::LivePython), 4);
        assert_eq!(pages(Class::AnonOther), 4 + 2);
        assert_eq!(pages(Class::Stack), 2);
        assert_eq!(pages(Class::File), 2);
        assert_eq!(pages(Class::Own), 1 + 2);
        assert_eq!(pages(Class::Shmem), 3);
        // The kernel counts one page more than there is to see.
        assert_eq!(pages(Class::Unexplained), 1);
        assert_eq!(ledger.total().process, figures.rss_bytes);
    }

    #[test]
    fn absent_pages_weigh_nothing_and_counted_ones_only_in_the_process() {
        let mut image = image();
        image.set_pages(range(HEAP, 6), Page::ABSENT);
        image.set_pages(range(FILE, 2), Page::RESIDENT.with(Page::FILE).with(Page::COUNTED));
        let parts = Parts {
            figures: &Figures::default(),
            heaps: &[],
            stacks: &[],
            unclaimed: Class::Unexplained,
            sharing: Sharing::Frames,
        };
        let ledger = parts.ledger(&image).unwrap();
        assert_eq!(ledger[Class::Unexplained].process, (2 + 4) * PAGE_SIZE);
        assert_eq!(ledger[Class::File], Resident { process: 2 * PAGE_SIZE, service: 0 });
    }

    #[test]
    fn without_frame_numbers_the_share_is_the_kernels() {
        let area = super::super::figures::Area {
            range: range(FILE, 2),
            rss_bytes: 2 * PAGE_SIZE,
            pss_bytes: PAGE_SIZE / 2,
            uncounted: false,
        };
        let figures = Figures { areas: vec![area], ..Figures::default() };
        let parts = Parts {
            figures: &figures,
            heaps: &[],
            stacks: &[],
            unclaimed: Class::AnonOther,
            sharing: Sharing::Proportional,
        };
        let ledger = parts.ledger(&image()).unwrap();
        assert_eq!(ledger[Class::File], Resident { process: 2 * PAGE_SIZE, service: PAGE_SIZE / 2 });
        assert_eq!(ledger[Class::Shmem], Resident { process: 3 * PAGE_SIZE, service: 3 * PAGE_SIZE });
    }

    #[test]
    fn a_second_claim_on_the_same_memory_is_left_out() {
        let mut gaps = Vec::new();
        let heaps = vec![
            heap(&[range(HEAP, 1), range(HEAP + 4 * PAGE_SIZE, 1)], 1),
            heap(&[range(HEAP + PAGE_SIZE, 1)], 2),
            heap(&[range(HEAP + 3 * PAGE_SIZE, 2)], 3),
        ];
        let kept = drop_overlapping(heaps, &mut gaps);
        assert_eq!(kept.iter().map(|heap| heap.ledger.total().process).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(gaps.len(), 1);
    }
}
