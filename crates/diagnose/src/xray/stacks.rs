//! Where the threads' stacks lie.
//!
//! glibc puts a thread's descriptor at the top of its stack, and the stack's bounds into it:
//!
//! ```text
//!   stack block                                             descriptor (struct pthread)
//!   | guard | ........ stack ........ <- sp | static TLS |  +0    its own address
//!                                                           +16   its own address again
//!                                                           +0x2c0 list of all threads: next, prev
//!                                                           +0x2d0 thread id, 0 once it has ended
//!                                                           ...   stack block: start, size
//! ```
//!
//! All live threads hang on two rings, those of glibc's own stacks and those of the user's (the
//! main thread's among them), and ended threads' stacks on a third, where they wait to be used
//! again. The three list heads are neighbours, so one descriptor leads to all. A stack whose
//! descriptor is not found is taken by the stack pointer of its thread, mapping as a whole.
//!
//! Invariant: every link is the target's word. A descriptor is believed when both of its own
//! addresses, its thread id and its bounds fit; rings are followed for a bounded number of steps.

use std::collections::{BTreeMap, BTreeSet};

use slackwater_base::{Addr, Class, PAGE_SIZE, Range, Tid};
use slackwater_memory::{Kind, Mapping, Memory, MemoryExt};
use slackwater_procfs::{Process, Syscall};

/// Offset of the descriptor's links in the list of threads. The same in glibc 2.4 to 2.43:
/// nptl/descr.h, `list` follows the 704 bytes of `header`.
const LIST: u64 = 0x2c0;
/// Offset of the thread id, directly behind.
const TID: u64 = 0x2d0;
/// Bytes of the descriptor that are searched for the stack's bounds.
const DESCRIPTOR_BYTES: u64 = 0x900;
/// How far below the end of its mapping a descriptor lies at most, when it is the last thing in it.
const TOP_BYTES: u64 = 3 * PAGE_SIZE;
/// Mappings up to this size are searched as a whole: the main thread's descriptor is in one that
/// the loader made.
const SMALL_BYTES: u64 = 64 << 10;
/// No thread's stack is believed to be larger.
const MAX_STACK_BYTES: u64 = 8 << 30;
/// Most links that are followed, and so most descriptors.
const MAX_STEPS: usize = 1 << 17;
/// The largest mapping that is taken for a stack by a stack pointer alone.
const MAX_UNPROVEN_BYTES: u64 = 64 << 20;

/// The memory of one stack, or of several side by side.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stack {
    pub(crate) range: Range,
    /// Whose it is: [`Class::Stack`], or [`Class::Own`] for a thread of ours.
    pub(crate) class: Class,
}

/// The stacks of the process's threads, live and cached, sorted. The main thread's own is not among
/// them: the kernel names its mapping. `own` are those of its threads that are ours.
pub(crate) fn find(process: &Process, memory: &dyn Memory, tids: &[Tid], own: &[Tid]) -> Vec<Stack> {
    let found = descriptors(memory, tids);
    let is_own = |descriptor: &&Descriptor| descriptor.thread.is_some_and(|thread| own.contains(&thread));
    let mut ours: Vec<Range> =
        found.values().filter(is_own).filter_map(|descriptor| descriptor.stack).collect();
    ours.sort_unstable();
    let mut stacks: Vec<Range> = found.values().filter_map(|descriptor| descriptor.stack).collect();
    let known: BTreeSet<Tid> = found.values().filter_map(|descriptor| descriptor.thread).collect();
    for tid in tids.iter().filter(|tid| !known.contains(tid)) {
        let pointer = match process.task_syscall(*tid) {
            Ok(Syscall::Blocked { stack, .. } | Syscall::Call { stack, .. }) => Addr(stack),
            Ok(Syscall::Running) | Err(_) => continue,
        };
        let mapping = memory.mapping_at(pointer).filter(|mapping| is_candidate(mapping));
        stacks.extend(mapping.map(|mapping| mapping.range).filter(|range| range.len() <= MAX_UNPROVEN_BYTES));
    }
    let mut stacks: Vec<Stack> = disjoint(stacks)
        .into_iter()
        .flat_map(|stack| stack.without(&ours))
        .map(|range| Stack { range, class: Class::Stack })
        .collect();
    stacks.extend(disjoint(ours).into_iter().map(|range| Stack { range, class: Class::Own }));
    stacks.sort_unstable_by_key(|stack| stack.range);
    stacks
}

/// A thread's descriptor, as far as it is of use here.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    /// The thread, unless it has ended.
    thread: Option<Tid>,
    /// The stack block; the main thread has none.
    stack: Option<Range>,
    /// The next node of the ring it hangs on.
    next: Addr,
}

impl Descriptor {
    /// Reads the descriptor at `addr`, if there is one.
    fn read(memory: &dyn Memory, addr: Addr, tids: &BTreeSet<Tid>) -> Option<Self> {
        if !addr.is_aligned(16) {
            return None;
        }
        let mut bytes = [0; DESCRIPTOR_BYTES as usize];
        memory.read(addr, &mut bytes).ok()?;
        let words = bytes.as_chunks().0;
        let word = |offset: u64| words.get(offset as usize / 8).map_or(0, |word| u64::from_le_bytes(*word));
        if word(0) != addr.get() || word(16) != addr.get() {
            return None;
        }
        let tid = word(TID) as u32 as i32;
        let thread = (tid != 0).then_some(Tid(tid));
        if thread.is_some_and(|thread| !tids.contains(&thread)) {
            return None;
        }
        let pairs = (TID + 8..DESCRIPTOR_BYTES - 8).step_by(8).map(|offset| (word(offset), word(offset + 8)));
        let mut blocks = pairs.filter_map(|(start, size)| block(addr, start, size));
        Some(Self { thread, stack: blocks.next(), next: Addr(word(LIST)) })
    }
}

/// The stack block of `size` bytes from `start`, if it can be the one that holds `descriptor`.
fn block(descriptor: Addr, start: u64, size: u64) -> Option<Range> {
    let block = Range::sized(Addr(start), size);
    let plausible = start != 0
        && block.start.is_aligned(PAGE_SIZE)
        && size.is_multiple_of(PAGE_SIZE)
        && (PAGE_SIZE..=MAX_STACK_BYTES).contains(&size)
        && block.contains(descriptor)
        && block.end.offset_from(descriptor) <= TOP_BYTES;
    plausible.then_some(block)
}

/// Every descriptor that is found, by address.
fn descriptors(memory: &dyn Memory, tids: &[Tid]) -> BTreeMap<Addr, Descriptor> {
    let tids: BTreeSet<Tid> = tids.iter().copied().collect();
    let mut found = BTreeMap::new();
    for mapping in memory.mappings().iter().filter(|mapping| is_candidate(mapping)) {
        let range = mapping.range;
        let from = if range.len() <= SMALL_BYTES { range.start } else { range.end - TOP_BYTES };
        search(memory, Range::new(from, range.end), &tids, &mut found);
    }
    follow_rings(memory, &tids, &mut found);
    found
}

fn is_candidate(mapping: &Mapping) -> bool {
    mapping.is_anonymous_data() && matches!(mapping.kind, Kind::Anonymous { .. })
}

/// Adds the descriptors in `range`, which is small.
fn search(memory: &dyn Memory, range: Range, tids: &BTreeSet<Tid>, found: &mut BTreeMap<Addr, Descriptor>) {
    let Ok(words) = memory.read_words(range.start, (range.len() / 8) as usize) else { return };
    // The descriptor is aligned to a cache line at least; in older releases, to 16 bytes.
    for (index, words) in words.windows(3).enumerate().step_by(2) {
        let addr = range.start + 8 * index as u64;
        if words[0] == addr.get()
            && words[2] == addr.get()
            && let Some(descriptor) = Descriptor::read(memory, addr, tids)
        {
            found.insert(addr, descriptor);
        }
    }
}

/// Adds the descriptors on the rings of those found, and on the neighbouring rings.
fn follow_rings(memory: &dyn Memory, tids: &BTreeSet<Tid>, found: &mut BTreeMap<Addr, Descriptor>) {
    let mut todo: Vec<Addr> = found.keys().map(|&descriptor| descriptor + LIST).collect();
    let mut seen: BTreeSet<Addr> = BTreeSet::new();
    while let Some(node) = todo.pop() {
        if seen.len() >= MAX_STEPS || !seen.insert(node) {
            continue;
        }
        let at = node - LIST;
        if let Some(descriptor) = found.get(&at).copied().or_else(|| Descriptor::read(memory, at, tids)) {
            found.insert(at, descriptor);
            todo.push(descriptor.next);
        } else if let Some(next) = list_head(memory, node) {
            todo.push(next);
            // The heads of the used, the user's and the cached stacks are neighbours.
            let neighbours = [16, 32].into_iter().flat_map(|bytes| [node - bytes, node + bytes]);
            todo.extend(neighbours.filter(|&other| list_head(memory, other).is_some()));
        }
    }
}

/// The first node of the ring whose head is `node`: writable data with neighbours that link back.
fn list_head(memory: &dyn Memory, node: Addr) -> Option<Addr> {
    let writable = memory.mapping_at(node).is_some_and(|mapping| mapping.access.write);
    if !writable || !node.is_aligned(8) {
        return None;
    }
    let (next, previous) = (memory.read_addr(node).ok()?, memory.read_addr(node + 8).ok()?);
    let linked = memory.read_addr(next + 8).ok()? == node && memory.read_addr(previous).ok()? == node;
    linked.then_some(next)
}

/// Sorted, with overlaps merged.
fn disjoint(mut ranges: Vec<Range>) -> Vec<Range> {
    ranges.sort_unstable();
    let mut merged: Vec<Range> = Vec::with_capacity(ranges.len());
    for range in ranges {
        match merged.last_mut().filter(|last| range.start < last.end) {
            Some(last) => last.end = last.end.max(range.end),
            None => merged.push(range),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use slackwater_memory::Image;

    use super::*;

    const STACK: u64 = 0x7f00_0000_0000;
    const STACK_BYTES: u64 = 0x10_0000;
    const HEADS: u64 = 0x6000_0000;

    fn put(bytes: &mut [u8], at: u64, word: u64) {
        bytes[at as usize..at as usize + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// A stack at `start` with its descriptor, linked between `previous` and `next`.
    fn stack(start: u64, tid: u64, next: u64, previous: u64) -> Vec<u8> {
        let mut bytes = vec![0; STACK_BYTES as usize];
        let at = STACK_BYTES - 0x980;
        put(&mut bytes, at, start + at);
        put(&mut bytes, at + 16, start + at);
        put(&mut bytes, at + LIST, next);
        put(&mut bytes, at + LIST + 8, previous);
        put(&mut bytes, at + TID, tid);
        put(&mut bytes, at + 0x690, start);
        put(&mut bytes, at + 0x698, STACK_BYTES);
        bytes
    }

    fn node(start: u64) -> u64 {
        start + STACK_BYTES - 0x980 + LIST
    }

    fn of_descriptors(memory: &Image, tids: &[Tid]) -> Vec<Range> {
        descriptors(memory, tids).values().filter_map(|descriptor| descriptor.stack).collect()
    }

    #[test]
    fn one_descriptor_leads_to_all_rings() {
        // Used: two threads, in one mapping, so that the lower one is not at its end. Cached: one
        // ended thread, in a mapping that has other data at its end.
        let (low, high, cached) = (STACK, STACK + STACK_BYTES, STACK + 0x1000_0000);
        let (used, user, cache) = (HEADS + 0x100, HEADS + 0x110, HEADS + 0x120);
        let mut heads = vec![0; PAGE_SIZE as usize];
        put(&mut heads, 0x100, node(low));
        put(&mut heads, 0x108, node(high));
        put(&mut heads, 0x110, user);
        put(&mut heads, 0x118, user);
        put(&mut heads, 0x120, node(cached));
        put(&mut heads, 0x128, node(cached));
        let mut both = stack(low, 11, node(high), used);
        both.extend(stack(high, 12, used, node(low)));
        let mut tail = stack(cached, 0, cache, cache);
        tail.extend(vec![7; 0x10_0000]);
        let file = Kind::File {
            path: "/lib/ld.so".into(),
            id: slackwater_memory::FileId { device: 1, inode: 1 },
            deleted: false,
        };
        let image = Image::new().anonymous(Addr(low), both).anonymous(Addr(cached), tail).map(
            Addr(HEADS),
            heads,
            file,
        );
        let stacks = of_descriptors(&image, &[Tid(11), Tid(12)]);
        let expected = [low, high, cached].map(|start| Range::sized(Addr(start), STACK_BYTES));
        assert_eq!(stacks, expected);
    }

    #[test]
    fn what_does_not_fit_is_no_stack() {
        let check = |spoil: fn(&mut [u8])| {
            let mut bytes = stack(STACK, 11, 0, 0);
            spoil(&mut bytes);
            of_descriptors(&Image::new().anonymous(Addr(STACK), bytes), &[Tid(11)]).len()
        };
        const AT: u64 = STACK_BYTES - 0x980;
        assert_eq!(check(|_| {}), 1);
        assert_eq!(check(|bytes| put(bytes, AT + 16, 1)), 0);
        assert_eq!(check(|bytes| put(bytes, AT + TID, 99)), 0);
        assert_eq!(check(|bytes| put(bytes, AT + 0x690, STACK + 8)), 0);
        assert_eq!(check(|bytes| put(bytes, AT + 0x698, !0xfff)), 0);
    }

    #[test]
    fn a_ring_that_bites_its_own_tail_ends() {
        let bytes = stack(STACK, 11, node(STACK), node(STACK));
        assert_eq!(of_descriptors(&Image::new().anonymous(Addr(STACK), bytes), &[Tid(11)]).len(), 1);
    }

    #[test]
    fn overlaps_are_merged() {
        let range = |start, end| Range::new(Addr(start), Addr(end));
        let merged = disjoint(vec![range(5, 9), range(1, 3), range(8, 12), range(12, 13)]);
        assert_eq!(merged, [range(1, 3), range(5, 12), range(12, 13)]);
    }
}
