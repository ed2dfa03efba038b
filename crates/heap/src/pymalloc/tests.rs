//! The walk against a model: arenas written by the rules of obmalloc.c, pages in every state, and
//! each byte put in its class one by one.

use proptest::prelude::*;
use slackwater_base::{Addr, Class, PAGE_SIZE, PinReason, Range, Resident};
use slackwater_layout::cpython::{ArenaObject, Geometry, PoolHeader, PymallocState};
use slackwater_memory::{Image, Page};

use super::walk;

const STATE: Addr = Addr(0x10_0000);
const TABLE: Addr = Addr(0x20_0000);
const ARENA: Addr = Addr(0x7f00_0010_1000);
const GEOMETRY: Geometry = Geometry { arena_bytes: 1 << 20, pool_bytes: 16 << 10 };
const ARENA_IDX: u32 = 3;

/// One pool of the model: size class, and for each block ever handed out whether it is live.
#[derive(Clone, Debug)]
struct ModelPool {
    size_class: u32,
    live: Vec<bool>,
}

impl ModelPool {
    fn block(&self) -> u64 {
        (u64::from(self.size_class) + 1) * 16
    }

    fn is_free(&self) -> bool {
        !self.live.contains(&true)
    }

    /// Where the byte at `offset` of the pool belongs.
    fn class(&self, offset: u64) -> (Class, Option<PinReason>) {
        let n_blocks = (GEOMETRY.pool_bytes - PoolHeader::SIZE) / self.block();
        if self.is_free() {
            return (Class::SlackPinned, Some(PinReason::Pools));
        }
        if offset < PoolHeader::SIZE {
            return (Class::AllocatorOverhead, None);
        }
        let index = (offset - PoolHeader::SIZE) / self.block();
        if index >= n_blocks {
            (Class::AllocatorOverhead, None)
        } else if self.live.get(index as usize) == Some(&true) {
            (Class::LivePython, None)
        } else {
            (Class::SlackPinned, Some(PinReason::Blocks))
        }
    }

    /// Writes the header and the chain of free blocks, the last one first.
    fn write(&self, bytes: &mut [u8], start: Addr, next_pool: Addr) {
        let block = self.block();
        let mut head = 0u64;
        for (index, _) in self.live.iter().enumerate().filter(|(_, live)| !**live) {
            let offset = PoolHeader::SIZE + index as u64 * block;
            bytes[offset as usize..][..8].copy_from_slice(&head.to_le_bytes());
            head = start.get() + offset;
        }
        let n_live = self.live.iter().filter(|live| **live).count() as u64;
        let next_offset = PoolHeader::SIZE + self.live.len() as u64 * block;
        let words = [
            n_live,
            head,
            next_pool.get(),
            0,
            u64::from(ARENA_IDX) | u64::from(self.size_class) << 32,
            next_offset | (GEOMETRY.pool_bytes - block) << 32,
        ];
        for (word, to) in words.iter().zip(bytes.as_chunks_mut().0) {
            *to = word.to_le_bytes();
        }
    }
}

fn pool() -> impl Strategy<Value = ModelPool> {
    (0..32u32, 1..=3u8).prop_flat_map(|(size_class, fill)| {
        let most = ((16384 - 48) / ((size_class as usize + 1) * 16)).max(1);
        let lives = proptest::collection::vec(prop_oneof![Just(fill > 1), any::<bool>()], 1..=most);
        lives.prop_map(move |mut live| {
            if fill == 1 {
                live.fill(false);
            }
            ModelPool { size_class, live }
        })
    })
}

fn page() -> impl Strategy<Value = Page> {
    prop_oneof![
        3 => Just(Page::RESIDENT.with(Page::EXCLUSIVE)),
        1 => Just(Page::RESIDENT.with(Page::COUNTED)),
        1 => Just(Page::ABSENT),
    ]
}

struct Model {
    pools: Vec<ModelPool>,
    image: Image,
    pages: Vec<Page>,
}

impl Model {
    fn new(pools: Vec<ModelPool>, pages: &[Page]) -> Self {
        let extent = GEOMETRY.pools(ARENA);
        let mut arena = vec![0; GEOMETRY.arena_bytes as usize];
        let mut free_pools = Addr(0);
        let mut n_free = extent.len() / GEOMETRY.pool_bytes - pools.len() as u64;
        for (pool, index) in pools.iter().zip(0..) {
            let start = extent.start + index * GEOMETRY.pool_bytes;
            let from = start.offset_from(ARENA) as usize;
            pool.write(&mut arena[from..from + GEOMETRY.pool_bytes as usize], start, free_pools);
            if pool.is_free() {
                free_pools = start;
                n_free += 1;
            }
        }
        let n_pools = extent.len() / GEOMETRY.pool_bytes;
        let carved = extent.start + pools.len() as u64 * GEOMETRY.pool_bytes;
        let slot = [ARENA.get(), carved.get(), n_free | n_pools << 32, free_pools.get(), 0, 0];
        let mut table = vec![0; (16 * ArenaObject::SIZE) as usize];
        for (word, to) in slot.iter().zip(table.as_chunks_mut().0[6 * ARENA_IDX as usize..].iter_mut()) {
            *to = word.to_le_bytes();
        }
        let mut state = TABLE.get().to_le_bytes().to_vec();
        state.extend(16u64.to_le_bytes());
        // An absent page has lost what was written to it, and pymalloc writes headers and links: only
        // pages that hold neither may be absent.
        let mut model = Self { pools, image: Image::new(), pages: Vec::new() };
        for (index, &page) in pages.iter().enumerate() {
            let bytes = &arena[index * PAGE_SIZE as usize..][..PAGE_SIZE as usize];
            let is_blank = bytes.iter().all(|&byte| byte == 0) && !model.has_link(index);
            model.pages.push(if is_blank || page.is_resident() { page } else { Page::RESIDENT });
        }
        model.image = Image::new().anonymous(STATE, state).anonymous(TABLE, table).anonymous(ARENA, arena);
        for (index, &page) in model.pages.iter().enumerate() {
            model.image.set_pages(Range::sized(ARENA + index as u64 * PAGE_SIZE, 1), page);
        }
        model
    }

    /// Whether a link of a free chain, which may be null, lies in page `index` of the arena.
    fn has_link(&self, index: usize) -> bool {
        let page = Range::sized(ARENA + index as u64 * PAGE_SIZE, PAGE_SIZE);
        let first = GEOMETRY.pools(ARENA).start;
        self.pools.iter().zip(0..).any(|(pool, number)| {
            let blocks = first + number * GEOMETRY.pool_bytes + PoolHeader::SIZE;
            pool.live.iter().zip(0..).any(|(live, block)| {
                !live && !Range::sized(blocks + block * pool.block(), 8).intersect(page).is_empty()
            })
        })
    }

    const fn state() -> PymallocState {
        PymallocState { arenas: STATE, max_arenas: Addr(STATE.0 + 8), geometry: GEOMETRY }
    }

    /// Every byte in its class, one by one.
    fn expected(&self, wanted: (Class, Option<PinReason>)) -> Resident {
        let extent = GEOMETRY.pools(ARENA);
        let mut total = Resident::default();
        for offset in 0..GEOMETRY.arena_bytes {
            let addr = ARENA + offset;
            let within = addr.offset_from(extent.start);
            let pool = self.pools.get((within / GEOMETRY.pool_bytes) as usize);
            let class = match pool {
                _ if !extent.contains(addr) => (Class::AllocatorOverhead, None),
                Some(pool) => pool.class(within % GEOMETRY.pool_bytes),
                None => (Class::SlackPinned, Some(PinReason::Pools)),
            };
            if class == wanted {
                total += self.pages[(offset / PAGE_SIZE) as usize].weigh(1);
            }
        }
        total
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fault_43_every_resident_byte_is_in_its_class(
        pools in proptest::collection::vec(pool(), 0..24),
        pages in proptest::collection::vec(page(), 256),
    ) {
        let model = Model::new(pools, &pages);
        let walked = walk(&model.image, &Model::state()).unwrap();
        prop_assert_eq!(&walked.gaps, &[]);
        let heap = walked.value;
        let pinned = |reason| (heap.pinned_by[reason], model.expected((Class::SlackPinned, Some(reason))));
        let class = |class| (heap.ledger[class], model.expected((class, None)));
        for (ours, expected) in [
            pinned(PinReason::Blocks),
            pinned(PinReason::Pools),
            class(Class::LivePython),
            class(Class::AllocatorOverhead),
        ] {
            prop_assert_eq!(ours, expected);
        }
        let n_live: usize = model.pools.iter().map(|pool| pool.live.iter().filter(|live| **live).count()).sum();
        prop_assert_eq!(heap.live.count, n_live as u64);
    }
}

/// A model of three pools: partly used, free, full; all pages resident.
fn small() -> Model {
    let pool = |size_class, live: &[bool]| ModelPool { size_class, live: live.to_vec() };
    let pools = vec![pool(5, &[true, false, true, false]), pool(1, &[false; 7]), pool(31, &[true; 31])];
    Model::new(pools, &[Page::RESIDENT; 256])
}

/// Damages the small model and says what is lost: its unexplained bytes.
fn lost(damage: impl FnOnce(&mut Image, Addr)) -> u64 {
    let mut model = small();
    damage(&mut model.image, GEOMETRY.pools(ARENA).start);
    let walked = walk(&model.image, &Model::state()).unwrap();
    let lost = walked.value.ledger[Class::Unexplained].process;
    assert_eq!(walked.value.ledger.total().process, GEOMETRY.arena_bytes);
    assert_eq!(lost == 0, walked.gaps.is_empty());
    lost
}

#[test]
fn a_pool_that_does_not_add_up_is_lost_alone() {
    let pool_bytes = GEOMETRY.pool_bytes;
    let block = |pool: Addr, index: u64| pool + PoolHeader::SIZE + index * 96;
    assert_eq!(lost(|_, _| ()), 0);
    // One live block more than the chain leaves, and one less.
    assert_eq!(lost(|image, pool| image.poke(pool, &3u32.to_le_bytes())), pool_bytes);
    assert_eq!(lost(|image, pool| image.poke(pool, &1u32.to_le_bytes())), pool_bytes);
    // A chain that visits a block twice, leaves the blocks, or enters one in the middle.
    let link = |at, to: Addr| {
        move |image: &mut Image, pool| {
            image.poke(block(pool, at), &to.get().to_le_bytes());
        }
    };
    let first = GEOMETRY.pools(ARENA).start;
    assert_eq!(lost(link(3, block(first, 3))), pool_bytes);
    assert_eq!(lost(link(3, block(first, 4))), pool_bytes);
    assert_eq!(lost(link(3, block(first, 1) + 8)), pool_bytes);
    assert_eq!(lost(link(3, Addr(8))), pool_bytes);
    // The header of another arena, or of no size class.
    assert_eq!(lost(|image, pool| image.poke(pool + 32, &4u32.to_le_bytes())), pool_bytes);
    assert_eq!(lost(|image, pool| image.poke(pool + 36, &32u32.to_le_bytes())), pool_bytes);
}

#[test]
fn an_arena_that_does_not_add_up_is_lost_as_a_whole() {
    let slot = TABLE + u64::from(ARENA_IDX) * ArenaObject::SIZE;
    let arena_bytes = GEOMETRY.arena_bytes;
    // Fewer free pools than there are, and a chain of free pools that is cut, or leads astray.
    assert_eq!(lost(|image, _| image.poke(slot + 16, &60u32.to_le_bytes())), arena_bytes);
    assert_eq!(lost(|image, _| image.poke(slot + 24, &[0; 8])), arena_bytes);
    assert_eq!(lost(|image, pool| image.poke(slot + 24, &pool.get().to_le_bytes())), arena_bytes);
    // A free pool that is not on the chain, and a chain that goes on behind the last one.
    let off_chain = |image: &mut Image, _| {
        image.poke(slot + 16, &60u32.to_le_bytes());
        image.poke(slot + 24, &[0; 8]);
    };
    assert_eq!(lost(off_chain), arena_bytes);
    let free_pool = GEOMETRY.pools(ARENA).start + GEOMETRY.pool_bytes;
    let endless = |image: &mut Image, pool: Addr| image.poke(free_pool + 16, &pool.get().to_le_bytes());
    assert_eq!(lost(endless), arena_bytes);
    // A pool that cannot be read, and more free pools than it can make up for.
    let forged = |image: &mut Image, pool: Addr| {
        image.poke(pool, &3u32.to_le_bytes());
        image.poke(slot + 16, &63u32.to_le_bytes());
    };
    assert_eq!(lost(forged), arena_bytes);
}

#[test]
fn pools_that_were_never_written_are_lost_alone() {
    let slot = TABLE + u64::from(ARENA_IDX) * ArenaObject::SIZE;
    let further = |image: &mut Image, pool: Addr| {
        image.poke(slot + 8, &(pool + 5 * GEOMETRY.pool_bytes).get().to_le_bytes());
    };
    assert_eq!(lost(further), 2 * GEOMETRY.pool_bytes);
}

#[test]
fn a_swapped_pool_is_lost_alone() {
    let swap = |offset: u64| {
        move |image: &mut Image, pool: Addr| {
            image.set_pages(Range::sized(pool + offset, 1), Page::SWAPPED);
        }
    };
    let mut model = small();
    swap(0)(&mut model.image, GEOMETRY.pools(ARENA).start);
    let walked = walk(&model.image, &Model::state()).unwrap();
    assert_eq!(walked.value.ledger[Class::Unexplained].process, GEOMETRY.pool_bytes - PAGE_SIZE);
    assert_eq!(walked.gaps.len(), 1);
    assert_eq!(walked.gaps[0].cause, "1 pool partly swapped out");
}
