//! Records to bytes and back, each as the difference to what came before.
//!
//! Invariant: a frame starts from the state `Default` gives, on both sides.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::error::DecodeError;
use crate::event;
use crate::recent::Recent;
use crate::record::{Allocation, Ending, Generation, Measure, Record};
use crate::sized;
use crate::varint::{put, put_signed, take, take_signed, take_u32};

const BORN: u8 = 0x01;
const ENDED: u8 = 0x02;
const LOCATION: u8 = 0x03;
const STACK: u8 = 0x04;
const THREAD: u8 = 0x05;
const ON: u8 = 0x06;
const AT: u8 = 0x07;
const RESIDENT: u8 = 0x08;
const LOST: u8 = 0x09;
const DEGRADED: u8 = 0x0a;
const UNMAPPED: u8 = 0x0b;
const NO_STACKS: u8 = 0x0c;
const ALLOCATION: u8 = 0x40;
const FREE: u8 = 0x80;

const SAMPLED: u8 = 1 << 2;
const SAME_STACK: u8 = 1 << 1;
const SAME_SIZE: u8 = 1;

/// Longest text.
const TEXT_BYTES_MAX: usize = 4096;

#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    recent: Recent,
    size: u64,
    stack: u32,
    stack_defined: u32,
    tid: u32,
    ns: u64,
}

/// Appends records to bytes.
#[derive(Clone, Debug, Default)]
pub struct Encoder {
    state: State,
    bytes: Vec<u8>,
    n_records: u32,
}

impl Encoder {
    /// The bytes so far.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Records so far.
    pub const fn n_records(&self) -> u32 {
        self.n_records
    }

    /// Starts afresh, with the same memory.
    pub fn clear(&mut self) {
        self.state = State::default();
        self.bytes.clear();
        self.n_records = 0;
    }

    /// Appends one record.
    pub fn put(&mut self, record: &Record<'_>) {
        match record {
            Record::Allocation(allocation) => return self.allocation(allocation),
            &Record::Free { addr, tid } => return self.free(addr, tid),
            &Record::Unmapped { addr, size } => {
                self.bytes.push(UNMAPPED);
                put_signed(&mut self.bytes, self.state.recent.distance(addr));
                put(&mut self.bytes, size);
            }
            &Record::At(ns) => {
                self.bytes.push(AT);
                put_signed(&mut self.bytes, ns.wrapping_sub(self.state.ns) as i64);
                self.state.ns = ns;
            }
            other => self.put_rare(other),
        }
        self.n_records += 1;
    }

    /// Appends a [`Record::Allocation`].
    #[inline]
    pub fn allocation(&mut self, allocation: &Allocation) {
        self.n_records += 1;
        self.switch_to(allocation.tid);
        let state = &mut self.state;
        let mut tag = ALLOCATION | (allocation.measure as u8) << 3;
        if allocation.sampled {
            tag |= SAMPLED;
        }
        if allocation.stack == state.stack {
            tag |= SAME_STACK;
        }
        if allocation.size == state.size {
            tag |= SAME_SIZE;
        }
        let (code, distance) = state.recent.encode(allocation.addr);
        event::append(&mut self.bytes, |event| {
            event.byte(tag);
            event.byte(code);
            if let Some(distance) = distance {
                event.signed(distance);
            }
            if allocation.size != state.size {
                event.number(allocation.size);
                state.size = allocation.size;
            }
            if allocation.stack != state.stack {
                event.signed(i64::from(allocation.stack) - i64::from(state.stack));
                state.stack = allocation.stack;
            }
        });
    }

    /// Appends a [`Record::Free`].
    #[inline]
    pub fn free(&mut self, addr: u64, tid: u32) {
        self.n_records += 1;
        self.switch_to(tid);
        let (code, distance) = self.state.recent.encode(addr);
        event::append(&mut self.bytes, |event| {
            event.byte(FREE | code);
            if let Some(distance) = distance {
                event.signed(distance);
            }
        });
    }

    #[inline]
    fn switch_to(&mut self, tid: u32) {
        if tid != self.state.tid {
            event::append(&mut self.bytes, |event| {
                event.byte(ON);
                event.number(u64::from(tid));
            });
            self.state.tid = tid;
        }
    }

    fn put_rare(&mut self, record: &Record<'_>) {
        let out = &mut self.bytes;
        match record {
            Record::Born { pid, parent, sample_mean, program } => {
                out.push(BORN);
                put(out, u64::from(*pid));
                put(out, parent.map_or(0, |parent| u64::from(parent.0)));
                put(out, *sample_mean);
                put_text(out, program);
            }
            Record::Ended(ending) => {
                let (how, value) = match *ending {
                    Ending::Gone => (0, 0),
                    Ending::Exit(status) => (1, status),
                    Ending::Signal(signal) => (2, signal),
                    Ending::Exec => (3, 0),
                    Ending::Outlived => (4, 0),
                };
                out.extend_from_slice(&[ENDED, how]);
                put(out, u64::from(value));
            }
            Record::Location { id, line, function, file } => {
                out.push(LOCATION);
                put(out, u64::from(*id));
                put(out, u64::from(*line));
                put_text(out, function);
                put_text(out, file);
            }
            Record::Stack { id, parent, location } => {
                out.push(STACK);
                put(out, u64::from(*id));
                put_signed(out, i64::from(*parent) - i64::from(self.state.stack_defined));
                put(out, u64::from(*location));
                self.state.stack_defined = *id;
            }
            Record::Thread { tid, name } => {
                out.push(THREAD);
                put(out, u64::from(*tid));
                put_text(out, name);
            }
            Record::NoStacks(why) => {
                out.push(NO_STACKS);
                put_text(out, why);
            }
            Record::Resident(bytes) => put_number(out, RESIDENT, *bytes),
            Record::Lost(n_events) => put_number(out, LOST, *n_events),
            Record::Degraded(mean) => put_number(out, DEGRADED, *mean),
            // Dealt with by `put`.
            Record::At(_) | Record::Allocation(_) | Record::Free { .. } | Record::Unmapped { .. } => {}
            carries_its_length => sized::encode(out, carries_its_length),
        }
    }
}

fn put_number(out: &mut Vec<u8>, tag: u8, number: u64) {
    out.push(tag);
    put(out, number);
}

/// The text, or as much of it as fits.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let end = (0..=TEXT_BYTES_MAX.min(text.len())).rev().find(|&end| text.is_char_boundary(end));
    let text = &text.as_bytes()[..end.unwrap_or(0)];
    put(out, text.len() as u64);
    out.extend_from_slice(text);
}

/// Takes records from bytes.
#[derive(Clone, Debug)]
pub struct Decoder<'a> {
    pub(crate) state: State,
    pub(crate) bytes: &'a [u8],
}

impl<'a> Decoder<'a> {
    /// The records of one frame's payload.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { state: State::default(), bytes }
    }

    /// `None` for a record of a kind that is not known, and is passed over.
    fn next_record(&mut self) -> Result<Option<Record<'a>>, DecodeError> {
        loop {
            let tag = self.byte()?;
            let record = match tag {
                tag if sized::TAGS.contains(&tag) => return sized::decode(tag, &mut self.bytes),
                ON => {
                    self.state.tid = take_u32(&mut self.bytes)?;
                    continue;
                }
                AT => {
                    let passed = take_signed(&mut self.bytes)?;
                    self.state.ns = self.state.ns.wrapping_add(passed as u64);
                    Ok(Record::At(self.state.ns))
                }
                UNMAPPED => {
                    let distance = take_signed(&mut self.bytes)?;
                    let addr = self.state.recent.at(distance);
                    Ok(Record::Unmapped { addr, size: take(&mut self.bytes)? })
                }
                0x40..=0x7f => self.allocation(tag).map(Record::Allocation),
                0x80..=0x9f => {
                    let addr = self.state.recent.decode(tag & 0x1f, &mut self.bytes)?;
                    Ok(Record::Free { addr, tid: self.state.tid })
                }
                _ => self.rare(tag),
            };
            return record.map(Some);
        }
    }

    fn allocation(&mut self, tag: u8) -> Result<Allocation, DecodeError> {
        let code = usize::from(tag >> 3 & 7);
        let measure = *Measure::ALL.get(code).ok_or(DecodeError::Kind(tag))?;
        let code = self.byte()?;
        let state = &mut self.state;
        let addr = state.recent.decode(code, &mut self.bytes)?;
        if tag & SAME_SIZE == 0 {
            state.size = take(&mut self.bytes)?;
        }
        if tag & SAME_STACK == 0 {
            state.stack = moved(state.stack, take_signed(&mut self.bytes)?)?;
        }
        let sampled = tag & SAMPLED != 0;
        Ok(Allocation { measure, sampled, addr, size: state.size, stack: state.stack, tid: state.tid })
    }

    fn rare(&mut self, tag: u8) -> Result<Record<'a>, DecodeError> {
        let bytes = &mut self.bytes;
        Ok(match tag {
            BORN => Record::Born {
                pid: take_u32(bytes)?,
                parent: Some(take_u32(bytes)?).filter(|&parent| parent != 0).map(Generation),
                sample_mean: take(bytes)?,
                program: take_text(bytes)?,
            },
            ENDED => {
                let how = take(bytes)?;
                let value = take_u32(bytes)?;
                Record::Ended(match how {
                    0 => Ending::Gone,
                    1 => Ending::Exit(value),
                    2 => Ending::Signal(value),
                    3 => Ending::Exec,
                    4 => Ending::Outlived,
                    _ => return Err(DecodeError::Kind(tag)),
                })
            }
            LOCATION => Record::Location {
                id: take_u32(bytes)?,
                line: take_u32(bytes)?,
                function: take_text(bytes)?,
                file: take_text(bytes)?,
            },
            STACK => {
                let id = take_u32(bytes)?;
                let parent = moved(self.state.stack_defined, take_signed(bytes)?)?;
                self.state.stack_defined = id;
                Record::Stack { id, parent, location: take_u32(bytes)? }
            }
            THREAD => Record::Thread { tid: take_u32(bytes)?, name: take_text(bytes)? },
            RESIDENT => Record::Resident(take(bytes)?),
            NO_STACKS => Record::NoStacks(take_text(bytes)?),
            LOST => Record::Lost(take(bytes)?),
            DEGRADED => Record::Degraded(take(bytes)?),
            other => return Err(DecodeError::Kind(other)),
        })
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let (&first, rest) = self.bytes.split_first().ok_or(DecodeError::Short)?;
        self.bytes = rest;
        Ok(first)
    }
}

impl<'a> Iterator for Decoder<'a> {
    type Item = Result<Record<'a>, DecodeError>;

    /// The next record. After an error there is none: what follows cannot be told apart.
    fn next(&mut self) -> Option<Self::Item> {
        while !self.bytes.is_empty() {
            let record = self.next_record();
            if record.is_err() {
                self.bytes = &[];
            }
            if let Some(record) = record.transpose() {
                return Some(record);
            }
        }
        None
    }
}

fn moved(from: u32, by: i64) -> Result<u32, DecodeError> {
    let to = i64::from(from).checked_add(by).and_then(|to| u32::try_from(to).ok());
    to.ok_or(DecodeError::Number)
}

pub(crate) fn take_text<'a>(bytes: &mut &'a [u8]) -> Result<Cow<'a, str>, DecodeError> {
    let len = take(bytes)?;
    let len = usize::try_from(len).ok().filter(|&len| len <= TEXT_BYTES_MAX).ok_or(DecodeError::Text)?;
    let (text, rest) = bytes.split_at_checked(len).ok_or(DecodeError::Short)?;
    *bytes = rest;
    core::str::from_utf8(text).map(Cow::Borrowed).map_err(|_| DecodeError::Text)
}
