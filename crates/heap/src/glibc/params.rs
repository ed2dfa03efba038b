//! Finds glibc's `mp_`, the settings of malloc, by what it must look like.

use slackwater_base::{Addr, PAGE_SIZE};
use slackwater_layout::glibc::params::{ARENA_TEST, N_MMAPS_MAX, ParamsLayout};
use slackwater_memory::{Kind, Mapping, Memory, MemoryError, MemoryExt};

use super::image::{DataArea, search};
use crate::GlibcSettings;

/// `mp_` as it was when it was read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Params {
    /// Where it lies.
    pub(super) addr: Addr,
    /// What users see of it.
    pub(super) settings: GlibcSettings,
    /// Transparent huge pages that the main arena grows and shrinks by, 0 for none.
    pub(super) thp_bytes: u64,
    /// Explicit huge pages, 0 for none.
    pub(super) huge_page_bytes: u64,
    /// Where the main arena starts; null before its first growth.
    pub(super) sbrk_base: Addr,
    /// Most chunks in one bin of a thread cache.
    pub(super) tcache_count: u64,
}

impl Params {
    /// Reads `mp_` at `addr` again.
    pub(super) fn read(
        memory: &dyn Memory,
        layout: &ParamsLayout,
        addr: Addr,
    ) -> Result<Option<Self>, MemoryError> {
        let mut bytes = vec![0; layout.bytes as usize];
        memory.read(addr, &mut bytes)?;
        Ok(decode(memory, layout, addr, &bytes).map(|(params, _)| params))
    }
}

/// Looks for `mp_` in the data of the file that holds `main_arena`.
pub(super) fn find(
    memory: &dyn Memory,
    layout: &ParamsLayout,
    area: &DataArea,
) -> Result<Option<Params>, MemoryError> {
    let mut best: Option<(Params, u32)> = None;
    let mut bytes = vec![0; layout.bytes as usize];
    search::<()>(memory, area.range, layout.bytes, |window, own| {
        let mut addr = own.start.align_up(8);
        while addr < own.end {
            // The one word that hardly ever differs is looked at first: this loop sees all data.
            let test = window.word(layout.arena_test.of(addr));
            if test.is_some_and(|test| test != 0 && test <= 1 << 16) {
                let read = |index: u64| window.bytes::<1>(addr + index).map(|byte| byte[0]);
                let whole = (0..layout.bytes).try_for_each(|index| {
                    bytes[index as usize] = read(index)?;
                    Some(())
                });
                if whole.is_some()
                    && let Some((params, score)) = decode(memory, layout, addr, &bytes)
                    && best.is_none_or(|(_, other)| score > other)
                {
                    best = Some((params, score));
                }
            }
            addr = addr + 8;
        }
        None
    })?;
    Ok(best.map(|(params, _)| params))
}

/// The settings in `bytes`, and how typical they are; `None` when they cannot be `mp_`.
fn decode(memory: &dyn Memory, layout: &ParamsLayout, addr: Addr, bytes: &[u8]) -> Option<(Params, u32)> {
    let n_mmaps = layout.n_mmaps.get(bytes)?;
    let n_mmaps_max = layout.n_mmaps_max.get(bytes)?;
    let max_n_mmaps = layout.max_n_mmaps.get(bytes)?;
    let no_dyn = layout.no_dyn_threshold.get(bytes)?;
    let mmapped = layout.mmapped_mem.get(bytes)?;
    let max_mmapped = layout.max_mmapped_mem.get(bytes)?;
    let sbrk_base = layout.sbrk_base.get(bytes)?;
    let thp_bytes = layout.thp_bytes.map_or(Some(0), |field| field.get(bytes))?;
    let huge_page_bytes = layout.huge_page_bytes.map_or(Some(0), |field| field.get(bytes))?;
    let tcache_count = layout.tcache_count.map_or(Some(0), |field| field.get(bytes))?;
    let is_page = |size: u64| size == 0 || (size.is_power_of_two() && (PAGE_SIZE..=16 << 30).contains(&size));
    let base = memory.mapping_at(sbrk_base);
    let on_heap = base.is_some_and(|mapping| mapping.kind == Kind::Heap);
    // Where the main arena may not use the break, it begins in a map.
    let is_mapped = base.is_some_and(Mapping::is_anonymous_data);
    // The counters are changed one after the other: between them they may disagree by a little.
    let possible = no_dyn <= 1
        && n_mmaps <= max_n_mmaps.saturating_add(64)
        && mmapped.is_multiple_of(layout.mmapped_mem_unit)
        && max_mmapped.is_multiple_of(layout.mmapped_mem_unit)
        && (max_n_mmaps == 0) == (max_mmapped == 0)
        && (sbrk_base.is_null() || on_heap || is_mapped)
        && is_page(thp_bytes)
        && is_page(huge_page_bytes)
        && tcache_count <= u64::from(u16::MAX);
    let typical = u32::from(layout.arena_test.get(bytes)? == ARENA_TEST)
        + u32::from(n_mmaps_max == N_MMAPS_MAX)
        + 2 * u32::from(on_heap);
    if !possible || typical < 2 {
        return None;
    }
    let settings = GlibcSettings {
        trim_threshold: layout.trim_threshold.get(bytes)?,
        mmap_threshold: layout.mmap_threshold.get(bytes)?,
        arena_max: layout.arena_max.get(bytes)?,
        dynamic: no_dyn == 0,
        n_mmaps: n_mmaps.into(),
        mmapped_bytes: mmapped,
    };
    Some((Params { addr, settings, thp_bytes, huge_page_bytes, sbrk_base, tcache_count }, typical))
}
