//! Records that carry their length: what is said rarely, and what later releases may add to.
//!
//! ```text
//! tag 20..=3f   uv length   fields
//! ```
//!
//! Invariant: a tag that is not known, and fields behind those that are, are passed over. So a reader
//! takes what it knows from a capture of a later release, and loses nothing else of the frame.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::codec::{put_text, take_text};
use crate::error::DecodeError;
use crate::record::{Before, Module, NativeCode, Record, ResidentBy};
use crate::sum::{Asked, Sum, Summed, put_real, take_bytes};
use crate::varint::{put, take, take_u32};

/// The tags of such records.
pub(crate) const TAGS: core::ops::RangeInclusive<u8> = 0x20..=0x3f;

const MARK: u8 = 0x20;
const FACT: u8 = 0x21;
const RESIDENT_BY: u8 = 0x22;
const MODULE: u8 = 0x23;
const BEFORE: u8 = 0x24;
const PEAK: u8 = 0x28;
const SUMMED: u8 = 0x29;
const SUM: u8 = 0x2a;
const ASKED: u8 = 0x2b;
const NATIVE: u8 = 0x30;

/// Longest build id that is believed; those of linkers have 8 to 32 bytes.
const BUILD_ID_BYTES_MAX: usize = 64;

/// Appends a record that carries its length; others are none of ours.
pub(crate) fn encode(out: &mut Vec<u8>, record: &Record<'_>) {
    let mut fields = Vec::new();
    let tag = match record {
        Record::Mark(name) => {
            put_text(&mut fields, name);
            MARK
        }
        Record::Fact { key, value } => {
            put_text(&mut fields, key);
            put_text(&mut fields, value);
            FACT
        }
        Record::ResidentBy(resident) => {
            put_numbers(
                &mut fields,
                &[
                    resident.anon_bytes,
                    resident.file_bytes,
                    resident.shmem_bytes,
                    resident.swap_bytes,
                    // 0 is what was not asked for.
                    resident.pss_bytes.map_or(0, |bytes| bytes.saturating_add(1)),
                ],
            );
            RESIDENT_BY
        }
        Record::Module(module) => {
            put_numbers(&mut fields, &[module.start, module.size, module.offset]);
            put_build_id(&mut fields, &module.build_id);
            put_text(&mut fields, &module.path);
            MODULE
        }
        Record::Before(before) => {
            put_text(&mut fields, &before.holder);
            put_text(&mut fields, &before.class);
            put_numbers(&mut fields, &[before.bytes, before.blocks]);
            BEFORE
        }
        Record::Peak { at_ns, bytes } => {
            put(&mut fields, *at_ns);
            put_real(&mut fields, *bytes);
            PEAK
        }
        Record::Summed(summed) => {
            summed.encode(&mut fields);
            SUMMED
        }
        Record::Sum(sum) => {
            sum.encode(&mut fields);
            SUM
        }
        Record::Asked(asked) => {
            asked.encode(&mut fields);
            ASKED
        }
        Record::Native(code) => {
            put(&mut fields, u64::from(code.id));
            put_text(&mut fields, &code.function);
            put_text(&mut fields, &code.file);
            put(&mut fields, u64::from(code.line));
            put_text(&mut fields, &code.module);
            put_build_id(&mut fields, &code.build_id);
            put(&mut fields, code.offset);
            NATIVE
        }
        _ => return,
    };
    out.push(tag);
    put(out, fields.len() as u64);
    out.extend_from_slice(&fields);
}

fn put_numbers(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|&number| put(out, number));
}

fn put_build_id(out: &mut Vec<u8>, build_id: &[u8]) {
    let build_id = build_id.get(..BUILD_ID_BYTES_MAX).unwrap_or(build_id);
    put(out, build_id.len() as u64);
    out.extend_from_slice(build_id);
}

/// Takes the record behind `tag`, one of [`TAGS`]; `None` when the tag is not known.
pub(crate) fn decode<'a>(tag: u8, bytes: &mut &'a [u8]) -> Result<Option<Record<'a>>, DecodeError> {
    let n_bytes = usize::try_from(take(bytes)?).map_err(|_| DecodeError::Short)?;
    let (mut fields, rest) = bytes.split_at_checked(n_bytes).ok_or(DecodeError::Short)?;
    *bytes = rest;
    let fields = &mut fields;
    Ok(Some(match tag {
        MARK => Record::Mark(take_text(fields)?),
        FACT => Record::Fact { key: take_text(fields)?, value: take_text(fields)? },
        RESIDENT_BY => Record::ResidentBy(ResidentBy {
            anon_bytes: take(fields)?,
            file_bytes: take(fields)?,
            shmem_bytes: take(fields)?,
            swap_bytes: take(fields)?,
            pss_bytes: take(fields)?.checked_sub(1),
        }),
        MODULE => Record::Module(Module {
            start: take(fields)?,
            size: take(fields)?,
            offset: take(fields)?,
            build_id: take_build_id(fields)?,
            path: take_text(fields)?,
        }),
        BEFORE => Record::Before(Before {
            holder: take_text(fields)?,
            class: take_text(fields)?,
            bytes: take(fields)?,
            blocks: take(fields)?,
        }),
        PEAK => Record::Peak { at_ns: take(fields)?, bytes: take_bytes(fields)? },
        SUMMED => Record::Summed(Summed::decode(fields)?),
        SUM => Record::Sum(Sum::decode(fields)?),
        ASKED => Record::Asked(Asked::decode(fields)?),
        NATIVE => Record::Native(NativeCode {
            id: take_u32(fields)?,
            function: take_text(fields)?,
            file: take_text(fields)?,
            line: take_u32(fields)?,
            module: take_text(fields)?,
            build_id: take_build_id(fields)?,
            offset: take(fields)?,
        }),
        _ => return Ok(None),
    }))
}

fn take_build_id<'a>(bytes: &mut &'a [u8]) -> Result<Cow<'a, [u8]>, DecodeError> {
    let n_bytes = usize::try_from(take(bytes)?).map_err(|_| DecodeError::Short)?;
    if n_bytes > BUILD_ID_BYTES_MAX {
        return Err(DecodeError::Number);
    }
    let (taken, rest) = bytes.split_at_checked(n_bytes).ok_or(DecodeError::Short)?;
    *bytes = rest;
    Ok(Cow::Borrowed(taken))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Decoder, Encoder};

    #[test]
    fn what_is_not_known_is_passed_over() {
        let mut encoder = Encoder::default();
        encoder.put(&Record::Mark("before".into()));
        let mut bytes = encoder.bytes().to_vec();
        // A record of a later release, and a known one with a field more.
        bytes.extend_from_slice(&[0x3f, 3, 1, 2, 3]);
        bytes.extend_from_slice(&[MARK, 4, 2, b'h', b'i', 0x55]);
        let records: Vec<_> = Decoder::new(&bytes).collect();
        assert_eq!(records, [Ok(Record::Mark("before".into())), Ok(Record::Mark("hi".into()))]);
    }

    #[test]
    fn a_length_beyond_the_frame_is_an_error() {
        let records: Vec<_> = Decoder::new(&[0x3f, 9, 1]).collect();
        assert_eq!(records, [Err(DecodeError::Short)]);
    }
}
