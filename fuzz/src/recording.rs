//! Recorded images: a small heap of several releases of glibc, and of our library's jemalloc, as a walk
//! reads it. The latter begins with the address of the library's block.
//!
//! ```text
//! block    address u64, for jemalloc only
//! threads  count u32 │ id i32 ...
//! regions  count u32 │ start u64 │ kind u8 │ access u8 │ inode u32 │ path: length u16, bytes
//!                    │ pages u32 │ page ...
//! page     0: absent │ 1: resident, zeros │ 2: which words are not zero, 64 bytes │ those words
//! ```
//! All numbers are little-endian. Words of the blocks' filling are recorded as zero.

use std::sync::LazyLock;

use slackwater_base::{Addr, PAGE_SIZE, Tid};
use slackwater_memory::{Access, FileId, Kind, Page};

use crate::{Base, Region};

const WORDS: usize = PAGE_SIZE as usize / 8;

/// The recordings, in the order of their releases.
pub fn recordings() -> &'static [Base] {
    static RECORDINGS: LazyLock<Vec<Base>> = LazyLock::new(|| {
        let files: [&[u8]; 3] = [
            include_bytes!("../images/glibc-2.31"),
            include_bytes!("../images/glibc-2.36"),
            include_bytes!("../images/glibc-2.43"),
        ];
        files.map(|mut file| decode(&mut file).expect("a recording").with_words()).into()
    });
    &RECORDINGS
}

/// The address of our library's block, and the heap that it describes.
pub fn recorded_jemalloc() -> &'static (Addr, Base) {
    static RECORDING: LazyLock<(Addr, Base)> = LazyLock::new(|| {
        let mut file: &[u8] = include_bytes!("../images/jemalloc-5.3.1");
        let block = Addr(u64::from_le_bytes(take(&mut file).expect("a block's address")));
        (block, decode(&mut file).expect("a recording").with_words())
    });
    &RECORDING
}

/// Reads a recording; `None` when it is cut short.
pub fn decode(from: &mut &[u8]) -> Option<Base> {
    let n_threads = u32::from_le_bytes(take(from)?);
    let threads =
        (0..n_threads).map(|_| Some(Tid(i32::from_le_bytes(take(from)?)))).collect::<Option<_>>()?;
    let n_regions = u32::from_le_bytes(take(from)?);
    let regions = (0..n_regions).map(|_| decode_region(from)).collect::<Option<_>>()?;
    Some(Base { regions, threads, ..Base::default() })
}

fn decode_region(from: &mut &[u8]) -> Option<Region> {
    let start = Addr(u64::from_le_bytes(take(from)?));
    let [kind, access] = take(from)?;
    let inode = u32::from_le_bytes(take(from)?);
    let path_bytes = usize::from(u16::from_le_bytes(take(from)?));
    let path = from.split_off(..path_bytes)?;
    let kind = match kind {
        0 => Kind::Anonymous { name: None },
        1 => Kind::Heap,
        _ => Kind::File {
            path: String::from_utf8_lossy(path).into_owned().into(),
            id: FileId { device: 1, inode: inode.into() },
            deleted: false,
        },
    };
    let mut region = Region::new(start, u32::from_le_bytes(take(from)?) as usize, kind);
    region.access = Access { read: access & 1 != 0, write: access & 2 != 0, execute: access & 4 != 0 };
    for (page, bytes) in region.pages.iter_mut().zip(region.bytes.as_chunks_mut::<{ 8 * WORDS }>().0) {
        match take(from)? {
            [0] => *page = Page::ABSENT,
            [1] => {}
            _ => decode_page(from, bytes)?,
        }
    }
    Some(region)
}

fn decode_page(from: &mut &[u8], bytes: &mut [u8]) -> Option<()> {
    let mask: [u8; WORDS / 8] = take(from)?;
    for (index, word) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        if mask[index / 8] & 1 << (index % 8) != 0 {
            *word = take(from)?;
        }
    }
    Some(())
}

fn take<const N: usize>(from: &mut &[u8]) -> Option<[u8; N]> {
    from.split_off(..N)?.first_chunk().copied()
}

/// Writes a recording. Page states are reduced to resident and absent.
pub fn encode(base: &Base) -> Vec<u8> {
    let mut to = Vec::new();
    to.extend((base.threads.len() as u32).to_le_bytes());
    to.extend(base.threads.iter().flat_map(|thread| thread.0.to_le_bytes()));
    to.extend((base.regions.len() as u32).to_le_bytes());
    for region in &base.regions {
        to.extend(region.start.get().to_le_bytes());
        let (kind, path, inode) = match &region.kind {
            Kind::Heap => (1, "".into(), 0),
            Kind::File { path, id, .. } => (2, path.to_string_lossy(), id.inode as u32),
            _ => (0, "".into(), 0),
        };
        let Access { read, write, execute } = region.access;
        to.extend([kind, u8::from(read) | u8::from(write) << 1 | u8::from(execute) << 2]);
        to.extend(inode.to_le_bytes());
        to.extend((path.len() as u16).to_le_bytes());
        to.extend(path.as_bytes());
        to.extend((region.pages.len() as u32).to_le_bytes());
        for (page, bytes) in region.pages.iter().zip(region.bytes.as_chunks::<{ 8 * WORDS }>().0) {
            encode_page(*page, bytes.as_chunks().0, &mut to);
        }
    }
    to
}

fn encode_page(page: Page, words: &[[u8; 8]], to: &mut Vec<u8>) {
    if !page.is_resident() {
        return to.push(0);
    }
    let mut mask = [0; WORDS / 8];
    let mut kept: Vec<u8> = Vec::new();
    for (index, word) in words.iter().enumerate() {
        if !is_filling(*word) {
            mask[index / 8] |= 1 << (index % 8);
            kept.extend(word);
        }
    }
    if kept.is_empty() {
        return to.push(1);
    }
    to.push(2);
    to.extend(mask);
    to.extend(kept);
}

/// Zero, or a piece of the blocks' filling that is too long to be a chunk's size.
fn is_filling(word: [u8; 8]) -> bool {
    let word = u64::from_le_bytes(word);
    word == 0 || (word > 0xffff && word.to_le_bytes().iter().all(|byte| matches!(byte, 0 | 0x55)))
}
