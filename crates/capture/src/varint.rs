//! Numbers in as few bytes as they need.

use alloc::vec::Vec;

use crate::error::DecodeError;

/// Most bytes of one number.
const LONGEST: usize = 10;

pub(crate) fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

pub(crate) fn put_signed(out: &mut Vec<u8>, value: i64) {
    put(out, (value << 1 ^ value >> 63) as u64);
}

/// Takes a number from the front of `bytes`.
pub(crate) fn take(bytes: &mut &[u8]) -> Result<u64, DecodeError> {
    let mut value = 0_u64;
    for (idx, &byte) in bytes.iter().enumerate().take(LONGEST) {
        value |= u64::from(byte & 0x7f) << (7 * idx);
        if byte & 0x80 == 0 {
            // The tenth byte has room for one bit.
            if idx == LONGEST - 1 && byte > 1 {
                return Err(DecodeError::Number);
            }
            *bytes = &bytes[idx + 1..];
            return Ok(value);
        }
    }
    Err(if bytes.len() < LONGEST { DecodeError::Short } else { DecodeError::Number })
}

pub(crate) fn take_signed(bytes: &mut &[u8]) -> Result<i64, DecodeError> {
    let value = take(bytes)?;
    Ok((value >> 1) as i64 ^ -((value & 1) as i64))
}

/// Takes a number that must fit in 32 bits.
pub(crate) fn take_u32(bytes: &mut &[u8]) -> Result<u32, DecodeError> {
    u32::try_from(take(bytes)?).map_err(|_| DecodeError::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, 1 << 32, u64::MAX - 1, u64::MAX] {
            let mut out = Vec::new();
            put(&mut out, value);
            let mut rest = &out[..];
            assert_eq!(take(&mut rest), Ok(value));
            assert!(rest.is_empty());
            for cut in 0..out.len() {
                assert_eq!(take(&mut &out[..cut]), Err(DecodeError::Short));
            }
        }
        for value in [0, -1, 1, 63, -64, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            put_signed(&mut out, value);
            assert_eq!(take_signed(&mut &out[..]), Ok(value));
        }
    }

    #[test]
    fn a_number_that_does_not_end_is_refused() {
        assert_eq!(take(&mut &[0x80; 11][..]), Err(DecodeError::Number));
        let mut too_large = [0xff; 10];
        too_large[9] = 2;
        assert_eq!(take(&mut &too_large[..]), Err(DecodeError::Number));
    }
}
