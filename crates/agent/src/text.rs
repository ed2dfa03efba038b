//! Text as the ring carries it: bytes packed into words, three words to a slot.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use slackwater_capture::transport::Slot;

/// The slot of this number of a text.
pub(crate) fn packed(text: &[u8], slot_idx: u64) -> Slot {
    packed_of(text.iter().copied(), slot_idx)
}

/// The slot of this number of several texts, one behind the other.
pub(crate) fn packed_of(text: impl Iterator<Item = u8> + Clone, slot_idx: u64) -> Slot {
    core::array::from_fn(|word_idx| {
        let start = slot_idx as usize * 24 + word_idx * 8;
        let bytes = text.clone().skip(start).take(8).enumerate();
        bytes.fold(0, |word, (idx, byte)| word | u64::from(byte) << (idx * 8))
    })
}

/// Writes UTF-8 into words.
pub(crate) struct Packer {
    words: &'static [AtomicU64],
    n_bytes: usize,
    limit: usize,
}

impl Packer {
    /// Starts at the first of `words`.
    pub(crate) fn new(words: &'static [AtomicU64]) -> Self {
        Self { words, n_bytes: 0, limit: 0 }
    }

    /// Bytes so far.
    pub(crate) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// The next text may have so many bytes.
    pub(crate) fn allow(&mut self, n_bytes: usize) {
        self.limit = (self.n_bytes + n_bytes).min(self.words.len() * 8);
    }

    /// Appends a character, if it fits whole; lone surrogates become U+FFFD.
    pub(crate) fn push(&mut self, code: u32) {
        let mut bytes = [0; 4];
        let text = char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut bytes);
        if self.n_bytes + text.len() > self.limit {
            self.limit = self.n_bytes;
            return;
        }
        for &byte in text.as_bytes() {
            let Some(word) = self.words.get(self.n_bytes / 8) else { return };
            let shift = self.n_bytes % 8 * 8;
            let kept = if shift == 0 { 0 } else { word.load(Relaxed) & ((1 << shift) - 1) };
            word.store(kept | u64::from(byte) << shift, Relaxed);
            self.n_bytes += 1;
        }
    }

    /// The slot of this number.
    pub(crate) fn slot(&self, slot_idx: u64) -> Slot {
        let first = slot_idx as usize * 3;
        core::array::from_fn(|idx| self.words.get(first + idx).map_or(0, |word| word.load(Relaxed)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_packed_as_bytes_are() {
        let words: Vec<AtomicU64> = std::iter::repeat_with(|| AtomicU64::new(u64::MAX)).take(12).collect();
        let mut packer = Packer::new(words.leak());
        packer.allow(40);
        let text = "große Dateiröhre→𝄞.py";
        text.chars().for_each(|character| packer.push(character as u32));
        assert_eq!(packer.n_bytes(), text.len());
        for slot in 0..1 {
            assert_eq!(packer.slot(slot), packed(text.as_bytes(), slot));
        }
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole() {
        let words: Vec<AtomicU64> = std::iter::repeat_with(|| AtomicU64::new(0)).take(3).collect();
        let mut packer = Packer::new(words.leak());
        packer.allow(3);
        "ab→c".chars().for_each(|character| packer.push(character as u32));
        assert_eq!(packer.n_bytes(), 2);
        packer.push(0xd800);
        assert_eq!(packer.n_bytes(), 2);
    }
}
