//! The list of recent addresses: most blocks are freed soon, and their addresses handed out again.
//!
//! ```text
//! slots    a ring: the latest address at `newest`, the one before it behind that, ...
//! digests  of each slot's address a byte, by which eight at a time are passed over
//! ```
//!
//! Invariant: writer and reader do the same steps, so a place in the list means the same to both.

use crate::error::DecodeError;
use crate::varint;

/// Addresses that are remembered.
const PLACES: usize = 30;
/// Slots for them; a power of two.
const SLOTS: usize = 32;
/// Followed by the distance in units of 16 bytes.
const FAR: u8 = PLACES as u8;
/// Followed by the distance in bytes.
const FAR_UNALIGNED: u8 = FAR + 1;

#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    slots: [u64; SLOTS],
    digests: [u8; SLOTS],
    newest: usize,
    n_used: usize,
    previous: u64,
}

impl Recent {
    /// The code of `addr`, and the number that follows it.
    #[inline]
    pub(crate) fn encode(&mut self, addr: u64) -> (u8, Option<i64>) {
        let distance = self.distance(addr);
        match self.place_of(addr) {
            Some(place) => {
                self.bring_forward(place);
                (place as u8, None)
            }
            None => {
                self.push(addr);
                if distance % 16 == 0 { (FAR, Some(distance / 16)) } else { (FAR_UNALIGNED, Some(distance)) }
            }
        }
    }

    /// The address that `code` and what follows it mean.
    pub(crate) fn decode(&mut self, code: u8, bytes: &mut &[u8]) -> Result<u64, DecodeError> {
        let distance = match code {
            FAR => (varint::take_signed(bytes)? as u64).wrapping_mul(16),
            FAR_UNALIGNED => varint::take_signed(bytes)? as u64,
            place if usize::from(place) < self.n_used => {
                self.bring_forward(usize::from(place));
                self.previous = self.slots[self.newest % SLOTS];
                return Ok(self.previous);
            }
            _ => return Err(DecodeError::Address),
        };
        self.previous = self.previous.wrapping_add(distance);
        self.push(self.previous);
        Ok(self.previous)
    }

    /// The distance of `addr` from the previous one, for records without a code.
    pub(crate) fn distance(&mut self, addr: u64) -> i64 {
        let distance = addr.wrapping_sub(self.previous) as i64;
        self.previous = addr;
        distance
    }

    /// The address at `distance` from the previous one.
    pub(crate) fn at(&mut self, distance: i64) -> u64 {
        self.previous = self.previous.wrapping_add(distance as u64);
        self.previous
    }

    /// Where an address is in the list.
    #[inline]
    fn place_of(&self, addr: u64) -> Option<usize> {
        const LOWEST: u64 = 0x0101_0101_0101_0101;
        const HIGHEST: u64 = LOWEST << 7;
        let wanted = u64::from(digest(addr)) * LOWEST;
        for (word, digests) in self.digests.as_chunks::<8>().0.iter().enumerate() {
            let others = u64::from_le_bytes(*digests) ^ wanted;
            // The highest bit of each byte that is 0, and of some that follow one.
            let mut alike = others.wrapping_sub(LOWEST) & !others & HIGHEST;
            while alike != 0 {
                let slot = word * 8 + alike.trailing_zeros() as usize / 8;
                let place = slot.wrapping_sub(self.newest) % SLOTS;
                if self.slots[slot % SLOTS] == addr && place < self.n_used {
                    return Some(place);
                }
                alike &= alike - 1;
            }
        }
        None
    }

    /// Puts an address in front of the others, and forgets the last one when there are too many.
    #[inline]
    fn push(&mut self, addr: u64) {
        self.newest = self.newest.wrapping_sub(1) % SLOTS;
        self.set(self.newest, addr);
        self.n_used = (self.n_used + 1).min(PLACES);
    }

    /// Puts the address at a place in front of the others: those of the shorter side make room.
    #[inline]
    fn bring_forward(&mut self, place: usize) {
        let addr = self.slots[(self.newest + place) % SLOTS];
        if place <= self.n_used / 2 {
            (1..=place).rev().for_each(|place| self.copy(place - 1, place));
        } else {
            (place + 1..self.n_used).for_each(|place| self.copy(place, place - 1));
            self.newest = self.newest.wrapping_sub(1) % SLOTS;
        }
        self.set(self.newest, addr);
    }

    #[inline]
    fn copy(&mut self, from: usize, to: usize) {
        let (from, to) = ((self.newest + from) % SLOTS, (self.newest + to) % SLOTS);
        self.slots[to] = self.slots[from];
        self.digests[to] = self.digests[from];
    }

    #[inline]
    fn set(&mut self, slot: usize, addr: u64) {
        self.slots[slot % SLOTS] = addr;
        self.digests[slot % SLOTS] = digest(addr);
    }
}

/// Eight bits of an address that tell most from others.
#[inline]
const fn digest(addr: u64) -> u8 {
    ((addr >> 4).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    /// Each address comes back, and its code is its place in a plain list.
    fn check(addrs: impl Iterator<Item = u64>) {
        let (mut writer, mut reader) = (Recent::default(), Recent::default());
        let mut plain: Vec<u64> = Vec::new();
        for addr in addrs {
            let (code, number) = writer.encode(addr);
            let mut bytes = Vec::new();
            number.into_iter().for_each(|number| varint::put_signed(&mut bytes, number));
            assert_eq!(reader.decode(code, &mut &bytes[..]), Ok(addr));
            let place = plain.iter().position(|&one| one == addr);
            assert_eq!(place, Some(usize::from(code)).filter(|&code| code < PLACES), "{addr:#x}");
            place.map(|place| plain.remove(place));
            plain.insert(0, addr);
            plain.truncate(PLACES);
        }
    }

    #[test]
    fn codes_are_places_in_the_order_of_use() {
        let mut state = 7_u64;
        let mut random = move |n: u64| {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (state >> 33) % n
        };
        // More than there is room for, and fewer; some that are no multiples of 16.
        check((0..20_000).map(|_| random(50) * 16));
        check((0..20_000).map(|_| 0x7f00_0000_0000 + random(25) * 8));
    }
}
