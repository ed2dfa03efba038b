//! The names and the line in a code object, read once for each line of code.
//!
//! Invariant: every address is probed before it is read; lengths are bounded; what does not look like a
//! string is `?`.
#![allow(unsafe_code)] // reading a code object of a running frame

use core::sync::atomic::AtomicU64;

use slackwater_capture::transport::{Message, TEXT_BYTES_MAX, Texts};
use slackwater_layout::cpython::FrameLayout;

use super::Python;
use super::frames::{NO_PLACE, Reader, Unlike};
use crate::process::Process;
use crate::recorder;
use crate::sys;
use crate::text::Packer;

/// Longest table of lines that is read.
const LINES_BYTES_MAX: u64 = 1 << 20;

/// Odd numbers without a pattern.
const MARK_FACTORS: [u64; 6] = [
    0x9e37_79b9_7f4a_7c15,
    0xbf58_476d_1ce4_e5b9,
    0x94d0_49bb_1331_11eb,
    0xd6e8_feb8_6659_fd93,
    0xff51_afd7_ed55_8ccd,
    0xc4ce_b9fe_1a85_ec53,
];

/// Tells one code object from another that comes to lie at its address.
pub(super) struct Mark<'l, R> {
    pub(super) layout: &'l FrameLayout,
    pub(super) reader: R,
}

impl<R: Reader> Mark<'_, R> {
    /// The mark of the code of a running frame, which holds a reference to it.
    #[inline(never)]
    pub(super) fn of(&self, code: u64) -> Result<u32, Unlike> {
        let layout = self.layout;
        if let Some(version) = layout.code_version {
            let word = self.reader.read(code + (version & !7))?;
            let version = (word >> ((version & 7) * 8)) as u32;
            // When CPython runs out of numbers, it is 0 for all.
            if version != 0 {
                return Ok(version);
            }
        }
        let name = self.reader.read(code + layout.code_name)?;
        let file = self.reader.read(code + layout.code_file)?;
        let lines = self.reader.read(code + layout.code_lines)?;
        let first_line = self.reader.read(code + (layout.code_first_line & !7))?;
        // Strings may come to lie where others lay, too.
        let words = [name, file, lines, first_line, self.end_of_string(name)?, self.end_of_string(file)?];
        // Products that do not wait for each other: this runs for every frame.
        let products = words.iter().zip(MARK_FACTORS).map(|(word, factor)| word.wrapping_mul(factor));
        let mixed = products.fold(0_u64, u64::wrapping_add);
        Ok((mixed ^ mixed >> 32) as u32)
    }

    /// The length of a string, and its last characters if it is ASCII.
    #[inline]
    fn end_of_string(&self, string: u64) -> Result<u64, Unlike> {
        let n_characters = self.reader.read(string + FrameLayout::STRING_LENGTH)?;
        let state = self.reader.read(string + FrameLayout::STRING_STATE)? as u32;
        if !(is_compact(state) && is_ascii(state)) {
            return Ok(n_characters);
        }
        let last = n_characters.saturating_sub(1) & !7;
        Ok(self.reader.read(string + self.layout.ascii_bytes + last)?.wrapping_add(n_characters << 56))
    }
}

/// Sends the definition of a line of code.
#[cold]
pub(super) fn define(
    process: &Process,
    python: &Python,
    text: &'static [AtomicU64],
    id: u32,
    code: u64,
    place: u64,
) {
    let layout = &python.layout;
    let mut text = Packer::new(text);
    text.allow(TEXT_BYTES_MAX);
    write(layout, code + layout.code_name, &mut text);
    let first_bytes = text.n_bytes();
    text.allow(TEXT_BYTES_MAX);
    write(layout, code + layout.code_file, &mut text);
    let second_bytes = text.n_bytes() - first_bytes;
    let texts = Texts { first_bytes: first_bytes as u16, second_bytes: second_bytes as u16 };
    let line = line(layout, code, place).unwrap_or(0);
    let message = Message::Location { id, line, texts };
    recorder::send(process, message.encode(), texts, |idx| text.slot(idx));
}

fn line(layout: &FrameLayout, code: u64, place: u64) -> Option<u32> {
    let first_line = read_u32(code + layout.code_first_line)?;
    if place == NO_PLACE {
        return Some(first_line);
    }
    let table = sys::read_u64_carefully(code + layout.code_lines)?;
    let n_bytes = sys::read_u64_carefully(table + FrameLayout::BYTES_LENGTH)?.min(LINES_BYTES_MAX);
    let mut bytes = Bytes::new(table + FrameLayout::BYTES_CONTENT);
    let bytes = (0..n_bytes).map_while(move |idx| bytes.get(idx));
    layout.lines.line_at(bytes, first_line, (place * 2) as u32)
}

/// Writes the string whose address is at `place`.
fn write(layout: &FrameLayout, place: u64, text: &mut Packer) {
    if write_string(layout, place, text).is_none() {
        text.push(u32::from('?'));
    }
}

fn write_string(layout: &FrameLayout, place: u64, text: &mut Packer) -> Option<()> {
    let string = sys::read_u64_carefully(place)?;
    let n_characters = sys::read_u64_carefully(string + FrameLayout::STRING_LENGTH)?;
    let state = read_u32(string + FrameLayout::STRING_STATE)?;
    let character_bytes = state >> 2 & 7;
    if !is_compact(state) || !matches!(character_bytes, 1 | 2 | 4) {
        return None;
    }
    let mut bytes =
        Bytes::new(string + if is_ascii(state) { layout.ascii_bytes } else { layout.compact_bytes });
    for idx in 0..n_characters.min(TEXT_BYTES_MAX as u64) {
        let mut code = 0;
        for byte in 0..u64::from(character_bytes) {
            code |= u32::from(bytes.get(idx * u64::from(character_bytes) + byte)?) << (8 * byte);
        }
        text.push(code);
    }
    Some(())
}

/// The characters lie behind the string's own fields.
const fn is_compact(state: u32) -> bool {
    state >> 5 & 1 != 0
}

const fn is_ascii(state: u32) -> bool {
    state >> 6 & 1 != 0
}

fn read_u32(addr: u64) -> Option<u32> {
    Some((sys::read_u64_carefully(addr & !7)? >> ((addr & 7) * 8)) as u32)
}

/// Bytes of the process, probed page by page.
struct Bytes {
    start: u64,
    probed_page: u64,
}

impl Bytes {
    fn new(start: u64) -> Self {
        Self { start, probed_page: u64::MAX }
    }

    fn get(&mut self, idx: u64) -> Option<u8> {
        let addr = self.start + idx;
        if addr >> 12 != self.probed_page {
            if !sys::is_readable(addr & !7) {
                return None;
            }
            self.probed_page = addr >> 12;
        }
        // SAFETY: its page was readable a moment ago, and holds a string or table of a running frame's code.
        let word = unsafe { sys::read_u64(addr & !7) };
        Some((word >> ((addr & 7) * 8)) as u8)
    }
}
