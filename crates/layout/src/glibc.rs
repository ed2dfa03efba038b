//! glibc malloc, x86-64, releases 2.17 to 2.43.
//!
//! A [`Release`] gathers the tables that hold for one minor version. Which release a target runs is
//! found by probing its memory; the tables only say what to look for.

pub mod chunk;
pub mod heap_info;
pub mod params;
pub mod state;
pub mod tcache;
pub mod thread;

use heap_info::HeapInfoLayout;
use params::ParamsLayout;
use state::StateLayout;
use tcache::TcacheLayout;

/// First minor version described here: 2.17.
pub const OLDEST_MINOR: u16 = 17;
/// Last minor version described here: 2.43.
pub const NEWEST_MINOR: u16 = 43;

/// The minor versions with which a table begins to differ from the one before: one release of each
/// kind stands for all that look alike.
pub const DISTINCT_MINORS: [u16; 10] = [17, 23, 24, 26, 27, 30, 32, 35, 42, 43];

/// All tables of one release.
#[derive(Clone, Copy, Debug)]
pub struct Release {
    /// 36 in 2.36.
    pub minor: u16,
    /// `struct malloc_state`.
    pub state: &'static StateLayout,
    /// `struct _heap_info`.
    pub heap_info: &'static HeapInfoLayout,
    /// `struct malloc_par`.
    pub params: &'static ParamsLayout,
    /// `struct tcache_perthread_struct`, from 2.26 on.
    pub tcache: Option<&'static TcacheLayout>,
}

impl Release {
    /// The tables of 2.`minor`; `None` when it lies outside what is described here.
    pub fn of_minor(minor: u16) -> Option<Self> {
        let state = state::ALL.iter().find(|layout| layout.minors.contains(&minor))?;
        let heap_info = heap_info::ALL.iter().find(|layout| layout.minors.contains(&minor))?;
        let params = params::ALL.iter().find(|layout| layout.minors.contains(&minor))?;
        let tcache = tcache::ALL.iter().find(|layout| layout.minors.contains(&minor));
        Some(Self { minor, state, heap_info, params, tcache })
    }

    /// Whether links of fast bins and thread caches are stored as `PROTECT_PTR` does.
    /// Source: malloc/malloc.c, glibc-2.32.
    pub const fn protects_links(&self) -> bool {
        self.minor >= 32
    }

    /// Bytes of a mapped chunk's map beyond its offset and size.
    /// Source: malloc/malloc.c, `mmap_size`, development tree of 2.43.
    pub const fn mapped_extra_bytes(&self) -> u64 {
        if self.minor >= 43 { chunk::HEADER_BYTES } else { 0 }
    }

    /// Most bytes of one secondary heap, and its alignment.
    /// Source: malloc/arena.c, `heap_max_size`: `HEAP_MAX_SIZE`, but from 2.35 to 2.41 four huge
    /// pages when the tunable glibc.malloc.hugetlb asks for them.
    pub const fn heap_max_bytes(&self, huge_page_bytes: u64) -> u64 {
        if huge_page_bytes != 0 && self.minor >= 35 && self.minor <= 41 {
            return huge_page_bytes.saturating_mul(4);
        }
        heap_info::HEAP_MAX_BYTES
    }

    /// Where the first chunk of an arena's first heap starts, from the heap's start: behind its
    /// `heap_info` and `malloc_state`, aligned. Source: malloc/arena.c, `_int_new_arena`.
    pub const fn first_chunk_offset(&self) -> u64 {
        (self.heap_info.bytes + self.state.bytes).next_multiple_of(chunk::ALIGN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_release_has_its_tables() {
        for minor in OLDEST_MINOR..=NEWEST_MINOR {
            let release = Release::of_minor(minor).unwrap();
            assert_eq!(release.tcache.is_some(), minor >= 26, "2.{minor}");
        }
        assert!(Release::of_minor(OLDEST_MINOR - 1).is_none());
        assert!(Release::of_minor(NEWEST_MINOR + 1).is_none());
    }

    #[test]
    fn distinct_minors_are_where_a_table_changes() {
        let tables = |minor| {
            let release = Release::of_minor(minor).unwrap();
            let tcache = release.tcache.map(std::ptr::from_ref);
            (
                std::ptr::from_ref(release.state),
                std::ptr::from_ref(release.heap_info),
                std::ptr::from_ref(release.params),
                tcache,
                release.protects_links(),
                release.mapped_extra_bytes(),
            )
        };
        let mut distinct = vec![OLDEST_MINOR];
        distinct
            .extend((OLDEST_MINOR + 1..=NEWEST_MINOR).filter(|&minor| tables(minor) != tables(minor - 1)));
        assert_eq!(distinct, DISTINCT_MINORS);
    }

    #[test]
    fn first_chunks_lie_where_arenas_were_seen_to_start() {
        let check = |minor, expected| {
            assert_eq!(Release::of_minor(minor).unwrap().first_chunk_offset(), expected, "2.{minor}");
        };
        check(17, 0x8b0);
        check(26, 0x8b0);
        check(31, 0x8c0);
        check(36, 0x8d0);
        check(43, 0x870);
    }
}
