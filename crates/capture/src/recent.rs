//! The list of recent addresses: most blocks are freed soon, and their addresses handed out again.
//!
//! Invariant: writer and reader do the same steps, so a place in the list means the same to both.

use crate::error::DecodeError;
use crate::varint;

/// Addresses that are remembered.
const PLACES: usize = 30;
/// Followed by the distance in units of 16 bytes.
const FAR: u8 = PLACES as u8;
/// Followed by the distance in bytes.
const FAR_UNALIGNED: u8 = FAR + 1;

#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    places: [u64; PLACES],
    n_used: usize,
    previous: u64,
}

impl Recent {
    /// The code of `addr`, and the number that follows it.
    #[inline]
    pub(crate) fn encode(&mut self, addr: u64) -> (u8, Option<i64>) {
        let distance = self.distance(addr);
        match self.bring_forward(addr) {
            Some(place) => (place as u8, None),
            None if distance % 16 == 0 => (FAR, Some(distance / 16)),
            None => (FAR_UNALIGNED, Some(distance)),
        }
    }

    /// Puts `addr` in front of the others; where it was. One pass that looks for it and moves what it passes:
    /// this is most of the work that an event makes.
    #[inline]
    fn bring_forward(&mut self, addr: u64) -> Option<usize> {
        let mut carried = addr;
        for (place, one) in self.places.iter_mut().take(self.n_used).enumerate() {
            carried = core::mem::replace(one, carried);
            if carried == addr {
                return Some(place);
            }
        }
        if let Some(free) = self.places.get_mut(self.n_used) {
            *free = carried;
            self.n_used += 1;
        }
        None
    }

    /// The address that `code` and what follows it mean.
    pub(crate) fn decode(&mut self, code: u8, bytes: &mut &[u8]) -> Result<u64, DecodeError> {
        let (addr, place) = match code {
            FAR => {
                let units = varint::take_signed(bytes)?;
                (self.previous.wrapping_add((units as u64).wrapping_mul(16)), None)
            }
            FAR_UNALIGNED => (self.previous.wrapping_add(varint::take_signed(bytes)? as u64), None),
            place if usize::from(place) < self.n_used => {
                (self.places[usize::from(place)], Some(usize::from(place)))
            }
            _ => return Err(DecodeError::Address),
        };
        self.touch(addr, place);
        Ok(addr)
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

    /// As [`Recent::bring_forward`], of an address whose place is known.
    fn touch(&mut self, addr: u64, place: Option<usize>) {
        let end = place.unwrap_or_else(|| {
            self.n_used = (self.n_used + 1).min(PLACES);
            self.n_used - 1
        });
        self.places.copy_within(..end, 1);
        self.places[0] = addr;
        self.previous = addr;
    }
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
