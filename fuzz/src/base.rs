//! An image that is still in parts, so that maps can be taken away from it or cut short.

use slackwater_base::{Addr, PAGE_SIZE, Range, Tid};
use slackwater_memory::{Access, FileId, Image, Kind, Page};

/// One mapping, whole pages.
#[derive(Clone, Debug)]
pub struct Region {
    /// Its first address.
    pub start: Addr,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// The state of each page.
    pub pages: Vec<Page>,
    /// What lies behind it.
    pub kind: Kind,
    /// What it may be used for.
    pub access: Access,
}

impl Region {
    /// A region of `pages` resident pages of zeros that may be read and written.
    pub fn new(start: Addr, n_pages: usize, kind: Kind) -> Self {
        let access = Access { read: true, write: true, execute: false };
        let pages = vec![Page::RESIDENT.with(Page::EXCLUSIVE); n_pages];
        Self { start, bytes: vec![0; n_pages * PAGE_SIZE as usize], pages, kind, access }
    }

    /// Its addresses.
    pub fn range(&self) -> Range {
        Range::sized(self.start, self.bytes.len() as u64)
    }

    /// Keeps the first `n_pages` pages.
    pub fn truncate(&mut self, n_pages: usize) {
        self.pages.truncate(n_pages);
        self.bytes.truncate(n_pages * PAGE_SIZE as usize);
    }
}

/// A whole image in parts.
#[derive(Clone, Debug, Default)]
pub struct Base {
    /// Its mappings, sorted and disjoint.
    pub regions: Vec<Region>,
    /// The symbols of its files.
    pub symbols: Vec<(FileId, &'static str, Range)>,
    /// The threads of the process.
    pub threads: Vec<Tid>,
    /// Where words lie that a reader may depend on: sizes, links, counts, pointers.
    pub words: Vec<Addr>,
}

impl Base {
    /// Finds the words of all regions.
    pub fn with_words(mut self) -> Self {
        let telling = |region: &Region| {
            let words = region.bytes.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
            let start = region.start;
            words
                .zip(0..)
                .filter(|(word, _)| *word != 0)
                .map(move |(_, index)| start + index * 8)
                .collect::<Vec<_>>()
        };
        self.words = self.regions.iter().flat_map(telling).collect();
        self
    }

    /// Overwrites a word.
    ///
    /// # Panics
    /// If it is not mapped.
    pub fn write(&mut self, addr: Addr, word: u64) {
        let region = self.region_mut(addr).expect("a mapped address");
        let from = addr.offset_from(region.start) as usize;
        region.bytes[from..from + 8].copy_from_slice(&word.to_le_bytes());
    }

    /// The region that holds `addr`.
    pub fn region_mut(&mut self, addr: Addr) -> Option<&mut Region> {
        self.regions.iter_mut().find(|region| region.range().contains(addr))
    }

    /// The image as a walker sees it.
    pub fn into_image(self) -> Image {
        let mut image = Image::new();
        for region in self.regions.into_iter().filter(|region| !region.pages.is_empty()) {
            image = image.map(region.start, region.bytes, region.kind);
            image.set_access(region.start, region.access);
            let mut from = region.start;
            for run in region.pages.chunk_by(|one, next| one == next) {
                let range = Range::sized(from, run.len() as u64 * PAGE_SIZE);
                image.set_pages(range, run[0]);
                from = range.end;
            }
        }
        for (file, name, range) in self.symbols {
            image.define(file, name, range);
        }
        image
    }
}
