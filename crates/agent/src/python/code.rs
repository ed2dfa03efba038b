//! The names and the line in a code object, read once for each line of code.
//!
//! Invariant: every address is probed before it is read; lengths are bounded; what does not look like a
//! string is `?`.
#![allow(unsafe_code)] // reading a code object of a running frame

use slackwater_capture::transport::{Message, TEXT_BYTES_MAX, Texts};
use slackwater_layout::cpython::FrameLayout;

use super::Python;
use super::frames::NO_PLACE;
use crate::process::Process;
use crate::recorder;
use crate::sys;
use crate::text::Packer;
use crate::thread::Room;

/// Longest table of lines that is read.
const LINES_BYTES_MAX: u64 = 1 << 20;

/// Tells one code object from another that came to lie at its address.
#[inline]
pub(super) fn mark(layout: &FrameLayout, code: u64) -> u32 {
    // SAFETY: the code of a running frame, which holds a reference to it; all fields lie within it.
    let read = |offset: u64| unsafe { sys::read_u64(code + offset) };
    let mixed = read(layout.code_name)
        .wrapping_mul(3)
        .wrapping_add(read(layout.code_file))
        .wrapping_mul(5)
        .wrapping_add(read(layout.code_lines))
        .wrapping_add(read(layout.code_first_line & !7));
    (mixed ^ mixed >> 32) as u32
}

/// Sends the definition of a line of code.
#[cold]
pub(super) fn define(process: &Process, python: &Python, room: Room, id: u32, code: u64, place: u64) {
    let layout = &python.layout;
    let mut text = Packer::new(room.text);
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
    let (character_bytes, is_compact, is_ascii) = (state >> 2 & 7, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    if !is_compact || !matches!(character_bytes, 1 | 2 | 4) {
        return None;
    }
    let mut bytes = Bytes::new(string + if is_ascii { layout.ascii_bytes } else { layout.compact_bytes });
    for idx in 0..n_characters.min(TEXT_BYTES_MAX as u64) {
        let mut code = 0;
        for byte in 0..u64::from(character_bytes) {
            code |= u32::from(bytes.get(idx * u64::from(character_bytes) + byte)?) << (8 * byte);
        }
        text.push(code);
    }
    Some(())
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
