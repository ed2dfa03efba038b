//! A memory image held in our own memory: the test double for a live target, and the form in which
//! recorded heaps are replayed.

use std::collections::HashMap;

use slackwater_base::{Addr, PAGE_SIZE, Range};

use crate::{Access, Bindings, FileId, Kind, Mapping, Memory, MemoryError, Page, Sharing, Symbols};

/// A memory image. Pages of a region are resident and anonymous unless [`Image::set_pages`] says
/// otherwise.
#[derive(Clone, Default, Debug)]
pub struct Image {
    mappings: Vec<Mapping>,
    regions: Vec<Region>,
    symbols: HashMap<(FileId, String), Range>,
    slots: HashMap<(FileId, String), Vec<Addr>>,
}

#[derive(Clone, Debug)]
struct Region {
    range: Range,
    bytes: Vec<u8>,
    pages: Vec<Page>,
}

impl Image {
    /// An image with nothing mapped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Maps `bytes` (padded with zeros to whole pages) at `start`, a page boundary, as private
    /// anonymous read-write memory.
    #[must_use]
    pub fn anonymous(self, start: Addr, bytes: Vec<u8>) -> Self {
        self.map(start, bytes, Kind::Anonymous { name: None })
    }

    /// Maps `bytes` at `start` as read-write memory of any kind: private, unless it is shared memory.
    ///
    /// # Panics
    /// If `start` is not a page boundary or the region overlaps another.
    #[must_use]
    pub fn map(mut self, start: Addr, mut bytes: Vec<u8>, kind: Kind) -> Self {
        assert!(start.is_aligned(PAGE_SIZE), "regions start at a page boundary");
        bytes.resize(bytes.len().next_multiple_of(PAGE_SIZE as usize), 0);
        let range = Range::sized(start, bytes.len() as u64);
        assert!(
            self.regions.iter().all(|region| region.range.intersect(range).is_empty()),
            "regions do not overlap"
        );
        let pages = vec![Page::RESIDENT.with(Page::EXCLUSIVE); bytes.len() / PAGE_SIZE as usize];
        let access = Access { read: true, write: true, execute: false };
        let sharing = if matches!(kind, Kind::Shmem { .. }) { Sharing::Shared } else { Sharing::Private };
        self.mappings.push(Mapping { range, access, sharing, offset: 0, kind });
        self.regions.push(Region { range, bytes, pages });
        self.mappings.sort_by_key(|mapping| mapping.range.start);
        self.regions.sort_by_key(|region| region.range.start);
        self
    }

    /// Sets the state of every page that `range` touches.
    pub fn set_pages(&mut self, range: Range, page: Page) {
        let range = range.align_out(PAGE_SIZE);
        for region in &mut self.regions {
            let part = region.range.intersect(range);
            if !part.is_empty() {
                let from = (part.start.offset_from(region.range.start) / PAGE_SIZE) as usize;
                let to = (part.end.offset_from(region.range.start) / PAGE_SIZE) as usize;
                region.pages[from..to].fill(page);
            }
        }
    }

    /// Sets what the mapping that holds `addr` may be used for.
    ///
    /// # Panics
    /// If none does.
    pub fn set_access(&mut self, addr: Addr, access: Access) {
        let holds = |mapping: &&mut Mapping| mapping.range.contains(addr);
        self.mappings.iter_mut().find(holds).expect("a mapped address").access = access;
    }

    /// Overwrites bytes of one region. For corrupting a recorded heap.
    ///
    /// # Panics
    /// If the bytes do not lie in one region.
    pub fn poke(&mut self, addr: Addr, bytes: &[u8]) {
        let region =
            self.regions.iter_mut().find(|region| region.range.contains(addr)).expect("a mapped address");
        let from = addr.offset_from(region.range.start) as usize;
        region.bytes[from..from + bytes.len()].copy_from_slice(bytes);
    }

    /// Declares a symbol of a mapped file.
    pub fn define(&mut self, file: FileId, name: &str, range: Range) {
        self.symbols.insert((file, name.to_owned()), range);
    }

    /// Declares that a mapped file keeps at `slot` where the loader found `name`.
    pub fn import(&mut self, file: FileId, name: &str, slot: Addr) {
        self.slots.entry((file, name.to_owned())).or_default().push(slot);
    }

    fn region_at(&self, addr: Addr) -> Option<&Region> {
        let after = self.regions.partition_point(|region| region.range.start <= addr);
        self.regions[..after].last().filter(|region| region.range.contains(addr))
    }
}

impl Memory for Image {
    fn mappings(&self) -> &[Mapping] {
        &self.mappings
    }

    fn pages(&self, range: Range, pages: &mut Vec<Page>) -> Result<(), MemoryError> {
        let range = range.align_out(PAGE_SIZE);
        let mut addr = range.start;
        while addr < range.end {
            pages.push(self.region_at(addr).map_or(Page::ABSENT, |region| {
                region.pages[(addr.offset_from(region.range.start) / PAGE_SIZE) as usize]
            }));
            addr = addr + PAGE_SIZE;
        }
        Ok(())
    }

    fn read(&self, addr: Addr, buf: &mut [u8]) -> Result<(), MemoryError> {
        let mut done = 0;
        while done < buf.len() {
            let from = addr.checked_add(done as u64).ok_or(MemoryError::Unmapped(addr))?;
            let region = self.region_at(from).ok_or(MemoryError::Unmapped(from))?;
            let offset = from.offset_from(region.range.start) as usize;
            let page = region.pages[offset / PAGE_SIZE as usize];
            let len = (PAGE_SIZE as usize - offset % PAGE_SIZE as usize).min(buf.len() - done);
            let target = &mut buf[done..done + len];
            if page.is_swapped() {
                return Err(MemoryError::Swapped(from));
            } else if page.is_resident() {
                target.copy_from_slice(&region.bytes[offset..offset + len]);
            } else {
                target.fill(0);
            }
            done += len;
        }
        Ok(())
    }
}

impl Symbols for Image {
    fn symbol(&self, file: FileId, name: &str) -> Option<Range> {
        self.symbols.get(&(file, name.to_owned())).copied()
    }
}

impl Bindings for Image {
    fn offered(&self, file: FileId, name: &str) -> Option<Range> {
        self.symbol(file, name)
    }

    fn slots(&self, file: FileId, names: &[&str]) -> Vec<(usize, Addr)> {
        let of = |name: &str| self.slots.get(&(file, name.to_owned())).into_iter().flatten().copied();
        names.iter().enumerate().flat_map(|(index, name)| of(name).map(move |slot| (index, slot))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryExt, Window};

    fn image() -> Image {
        let bytes = (0..3 * PAGE_SIZE).map(|index| (index / PAGE_SIZE) as u8 + 1).collect();
        let mut image = Image::new().anonymous(Addr(0x10000), bytes);
        image.set_pages(Range::sized(Addr(0x11000), 1), Page::ABSENT);
        image
    }

    #[test]
    fn absent_pages_read_as_zeros_and_swapped_ones_are_refused() {
        let mut image = image();
        assert_eq!(image.read_u64(Addr(0x10ffc)), Ok(0x0101_0101));
        assert_eq!(image.read_u32(Addr(0x13000)), Err(MemoryError::Unmapped(Addr(0x13000))));
        image.set_pages(Range::sized(Addr(0x11000), 1), Page::SWAPPED);
        assert_eq!(image.read_u32(Addr(0x10ffe)), Err(MemoryError::Swapped(Addr(0x11000))));
    }

    #[test]
    fn a_window_counts_resident_bytes_to_the_byte() {
        let image = image();
        let mut window = Window::new();
        image.window(Range::new(Addr(0x10010), Addr(0x12fff)), &mut window).unwrap();
        let half = Range::new(Addr(0x10800), Addr(0x12400));
        assert_eq!(window.resident(half).process, 0x800 + 0x400);
        assert_eq!(image.resident(half).unwrap(), window.resident(half));
        assert_eq!(window.word(Addr(0x12000)), Some(0x0303_0303_0303_0303));
        assert_eq!(window.word(Addr(0x11000)), None);
    }
}
