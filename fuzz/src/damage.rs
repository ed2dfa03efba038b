//! Damage to an image, made of the fuzzer's bytes.
//!
//! An input is one byte that picks the image, and then records of [`RECORD_BYTES`]: what is done,
//! where, and a number. They have one length, so that the fuzzer's cutting and splicing keeps most
//! of them whole.
//!
//! ```text
//! kind, 1 byte │ 0, 1 byte │ place, 2 bytes │ value, 8 bytes
//! ```

use slackwater_base::{Addr, PAGE_SIZE};
use slackwater_memory::{Image, Page};

use crate::{Base, Region};

/// Bytes of one record.
const RECORD_BYTES: usize = 12;
/// Most records that are applied: more damage finds nothing that less would not.
const MOST_RECORDS: usize = 64;

/// The image that `bytes` make of `base`.
pub fn damaged(base: &Base, bytes: &[u8]) -> Image {
    let mut image = base.clone();
    for record in bytes.as_chunks::<RECORD_BYTES>().0.iter().take(MOST_RECORDS) {
        let [kind, _, low, high, value @ ..] = *record;
        let place = base.words[usize::from(u16::from_le_bytes([low, high])) % base.words.len()];
        let value = u64::from_le_bytes(value);
        let Some(region) = image.region_mut(place) else { continue };
        if kind % 16 < 9 {
            let at = place.offset_from(region.start) as usize;
            let Some(word) = region.bytes[at..].first_chunk_mut::<8>() else { continue };
            *word = changed(kind % 16, u64::from_le_bytes(*word), value, base).to_le_bytes();
        } else {
            damage_map(kind % 16, region, place, value);
        }
    }
    image.into_image()
}

/// What becomes of a word.
fn changed(kind: u8, word: u64, value: u64, base: &Base) -> u64 {
    let other = base.words[value as usize % base.words.len()];
    match kind {
        0 | 1 => value,
        2 => word ^ 1 << (value % 64),
        // By a little, up or down.
        3 => word.wrapping_add_signed(i64::from(value as i16)),
        4 => word.wrapping_add(1 << (value % 64)),
        // A link to where another such word lies: as a block's header, and as its contents.
        5 => other.align_down(16).get(),
        6 => other.get(),
        7 => (word & 0xffff_ffff) | value << 32,
        _ => (word & !0xffff_ffff) | (value & 0xffff_ffff),
    }
}

/// Changes what is mapped around `place`, or the state of pages from there on.
fn damage_map(kind: u8, region: &mut Region, place: Addr, value: u64) {
    let page = (place.offset_from(region.start) / PAGE_SIZE) as usize;
    let n_pages = (value as usize % 8 + 1).min(region.pages.len() - page);
    let pages = &mut region.pages[page..page + n_pages];
    match kind {
        9 => pages.fill(Page::ABSENT),
        10 => pages.fill(Page::SWAPPED),
        11 => pages.fill(Page::RESIDENT.with(Page::COUNTED)),
        12 => region.truncate(page + 1),
        13 => region.truncate(0),
        14 => region.access.write ^= true,
        _ => region.access.execute ^= true,
    }
}
