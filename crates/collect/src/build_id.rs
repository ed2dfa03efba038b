//! What the linker called a file: the note by which its code is known on any machine.
//!
//! Invariant: the file belongs to the target and may lie; nothing of it is read beyond small bounds, and
//! what makes no sense is no build id.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Most program headers that are looked at.
const HEADERS_MAX: usize = 64;
/// Most bytes of notes, of one segment.
const NOTES_BYTES_MAX: u64 = 4096;

const NOTE_SEGMENT: u32 = 4;
const BUILD_ID: u32 = 3;

/// The build id of an ELF file of 64 bits.
pub(crate) fn of(file: &File) -> Option<Vec<u8>> {
    let mut header = [0; 64];
    file.read_exact_at(&mut header, 0).ok()?;
    if header[..6] != *b"\x7fELF\x02\x01" {
        return None;
    }
    let (table_at, n_headers) = (long(&header, 32)?, usize::from(half(&header, 56)?));
    for idx in 0..n_headers.min(HEADERS_MAX) {
        let mut segment = [0; 56];
        file.read_exact_at(&mut segment, table_at.checked_add(idx as u64 * 56)?).ok()?;
        if word(&segment, 0)? != NOTE_SEGMENT {
            continue;
        }
        let mut notes = vec![0; long(&segment, 32)?.min(NOTES_BYTES_MAX) as usize];
        file.read_exact_at(&mut notes, long(&segment, 8)?).ok()?;
        if let Some(id) = among(&notes) {
            return Some(id.to_vec());
        }
    }
    None
}

/// The build id among notes: each is three lengths and its type, a name and a value, padded to 4 bytes.
pub(crate) fn among(mut notes: &[u8]) -> Option<&[u8]> {
    loop {
        let (n_name, n_value) = (word(notes, 0)? as usize, word(notes, 4)? as usize);
        let value_at = n_name.checked_next_multiple_of(4)?.checked_add(12)?;
        let value = notes.get(value_at..value_at.checked_add(n_value)?)?;
        if word(notes, 8)? == BUILD_ID && notes.get(12..16)? == b"GNU\0" {
            return Some(value);
        }
        notes = notes.get(value_at.checked_add(n_value.checked_next_multiple_of(4)?)?..)?;
    }
}

fn half(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_found_behind_others() {
        let note = |kind: u32, name: &[u8; 4], value: &[u8]| {
            let lengths = [4, value.len() as u32, kind].into_iter().flat_map(u32::to_le_bytes);
            let padding = value.len().next_multiple_of(4) - value.len();
            let rest = name.iter().chain(value).copied().chain(std::iter::repeat_n(0, padding));
            lengths.chain(rest).collect::<Vec<u8>>()
        };
        let notes = [note(5, b"GNU\0", &[1; 5]), note(3, b"XYZ\0", &[2; 8]), note(3, b"GNU\0", &[7; 20])];
        assert_eq!(among(&notes.concat()), Some(&[7; 20][..]));
        assert_eq!(among(&notes[..2].concat()), None);
        let whole = notes.concat();
        for cut in 0..whole.len() {
            assert_eq!(among(&whole[..cut]), None, "{cut}");
        }
    }

    #[test]
    fn what_is_no_elf_file_has_none() {
        assert_eq!(of(&File::open(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap()), None);
        let own = of(&File::open("/proc/self/exe").unwrap());
        assert!(own.is_none_or(|id| (8..=32).contains(&id.len())));
    }
}
