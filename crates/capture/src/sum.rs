//! Sums by stack: what is left of events when a capture is kept below a size.
//!
//! Invariant: what is read back is finite and no larger than memory can be, so sums of it are finite too.

use alloc::vec::Vec;

use crate::error::DecodeError;
use crate::record::Measure;
use crate::varint::{put, take, take_u32};

/// No amount of memory is larger, and no number of calls.
const LARGEST: f64 = (1_u128 << 64) as f64;

/// How much was asked for, as samples tell it: bytes and calls with what is known of their error.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Amount {
    /// Bytes.
    pub bytes: f64,
    /// Calls; less than none in a sum whose blocks were split since.
    pub count: f64,
    /// Variance of the bytes.
    pub variance: f64,
    /// Of the bytes, those that are no estimate.
    pub certain_bytes: f64,
    /// Largest mean distance of samples; 0 where every event was recorded.
    pub sample_mean: f64,
    /// Events that it was made from.
    pub n_seen: u64,
}

/// What one thread asked for from one stack, and does not hold as blocks that are known one by one.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Sum {
    /// From where.
    pub stack: u32,
    /// By which thread; 0 for several together.
    pub tid: u32,
    /// Handed out, but for blocks that follow as allocations.
    pub allocated: Amount,
    /// Of that, not given back.
    pub live: Amount,
    /// Live when the processes together held most, of everything.
    pub peak: Amount,
}

/// What a process asked for in one way, blocks that follow as allocations included.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Asked {
    /// How; `None` where that was not known any more.
    pub measure: Option<Measure>,
    /// Handed out.
    pub allocated: Amount,
}

/// What a process did so far, beside its sums.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Summed {
    /// Processes that this is of: those that ended long ago become one.
    pub n_processes: u64,
    /// Events, those of the blocks that follow as allocations included.
    pub n_events: u64,
    /// Events that could not be handed over.
    pub n_lost: u64,
    /// Its first moment.
    pub first_ns: u64,
    /// Its last one so far.
    pub last_ns: u64,
    /// Most RSS that was seen.
    pub resident_peak_bytes: u64,
    /// Most live bytes at a time.
    pub live_peak_bytes: f64,
}

impl Amount {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    fn encode(&self, out: &mut Vec<u8>) {
        let Self { bytes, count, variance, certain_bytes, sample_mean, n_seen } = *self;
        for real in [bytes, count, variance, certain_bytes, sample_mean] {
            put_real(out, real);
        }
        put(out, n_seen);
    }

    fn decode(fields: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            bytes: take_real(fields, 0.0, LARGEST)?,
            count: take_real(fields, -LARGEST, LARGEST)?,
            variance: take_real(fields, 0.0, LARGEST * LARGEST)?,
            certain_bytes: take_real(fields, 0.0, LARGEST)?,
            sample_mean: take_real(fields, 0.0, LARGEST)?,
            n_seen: take(fields)?,
        })
    }
}

impl Sum {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(out, u64::from(self.stack));
        put(out, u64::from(self.tid));
        let amounts = [self.allocated, self.live, self.peak];
        let which = amounts.iter().rev().fold(0, |bits, one| bits << 1 | u64::from(!one.is_nothing()));
        put(out, which);
        amounts.iter().filter(|one| !one.is_nothing()).for_each(|one| one.encode(out));
    }

    pub(crate) fn decode(fields: &mut &[u8]) -> Result<Self, DecodeError> {
        let (stack, tid, which) = (take_u32(fields)?, take_u32(fields)?, take(fields)?);
        let mut amount = |bit: u64| match which & bit {
            0 => Ok(Amount::default()),
            _ => Amount::decode(fields),
        };
        Ok(Self { stack, tid, allocated: amount(1)?, live: amount(2)?, peak: amount(4)? })
    }
}

impl Asked {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.measure.map_or(0, |measure| measure as u64 + 1));
        self.allocated.encode(out);
    }

    /// A way that a later release knows is none that is known here.
    pub(crate) fn decode(fields: &mut &[u8]) -> Result<Self, DecodeError> {
        let measure = take(fields)?.checked_sub(1).and_then(|code| usize::try_from(code).ok());
        let measure = measure.and_then(|code| Measure::ALL.get(code)).copied();
        Ok(Self { measure, allocated: Amount::decode(fields)? })
    }
}

impl Summed {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let numbers = [
            self.n_processes,
            self.n_events,
            self.n_lost,
            self.first_ns,
            self.last_ns,
            self.resident_peak_bytes,
        ];
        numbers.iter().for_each(|&number| put(out, number));
        put_real(out, self.live_peak_bytes);
    }

    pub(crate) fn decode(fields: &mut &[u8]) -> Result<Self, DecodeError> {
        Ok(Self {
            n_processes: take(fields)?,
            n_events: take(fields)?,
            n_lost: take(fields)?,
            first_ns: take(fields)?,
            last_ns: take(fields)?,
            resident_peak_bytes: take(fields)?,
            live_peak_bytes: take_real(fields, 0.0, LARGEST)?,
        })
    }
}

/// The last bytes of a whole number's fraction are 0: turned round, they are not written.
pub(crate) fn put_real(out: &mut Vec<u8>, real: f64) {
    put(out, real.to_bits().swap_bytes());
}

/// A number of bytes, or of other things there are fewer of.
pub(crate) fn take_bytes(fields: &mut &[u8]) -> Result<f64, DecodeError> {
    take_real(fields, 0.0, LARGEST)
}

fn take_real(fields: &mut &[u8], least: f64, most: f64) -> Result<f64, DecodeError> {
    let real = f64::from_bits(take(fields)?.swap_bytes());
    // Not of what is no number at all.
    if real >= least && real <= most { Ok(real) } else { Err(DecodeError::Number) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reals_come_back_and_whole_ones_are_short() {
        for (real, most_bytes) in [(0.0, 1), (1.0, 3), (4096.0, 3), (1e6, 5), (1.0 / 3.0, 10), (9e18, 10)] {
            let mut out = Vec::new();
            put_real(&mut out, real);
            assert!(out.len() <= most_bytes, "{real}: {} bytes", out.len());
            assert_eq!(take_bytes(&mut &out[..]), Ok(real));
        }
    }

    #[test]
    fn what_is_no_amount_is_refused() {
        for real in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, 1e300] {
            let mut out = Vec::new();
            put_real(&mut out, real);
            assert_eq!(take_bytes(&mut &out[..]), Err(DecodeError::Number), "{real}");
        }
    }
}
