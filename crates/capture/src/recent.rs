//! The list of recent addresses: most blocks are freed soon, and their addresses handed out again.
//!
//! Invariant: writer and reader do the same steps, so a place in the list means the same to both.

use crate::error::DecodeError;
use crate::varint;
use alloc::vec::Vec;

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
    /// The code of `addr`; what follows it goes to `rest`.
    pub(crate) fn encode(&mut self, addr: u64, rest: &mut Vec<u8>) -> u8 {
        let place = self.places[..self.n_used].iter().position(|&one| one == addr);
        let code = match place {
            Some(place) => place as u8,
            None => {
                let distance = addr.wrapping_sub(self.previous) as i64;
                if distance % 16 == 0 {
                    varint::put_signed(rest, distance / 16);
                    FAR
                } else {
                    varint::put_signed(rest, distance);
                    FAR_UNALIGNED
                }
            }
        };
        self.touch(addr, place);
        code
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
