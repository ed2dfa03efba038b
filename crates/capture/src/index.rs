//! Where a capture's frames are, found by their headers alone.
//!
//! Invariant: a damaged stretch is passed over by searching for the next whole header, in bounded memory.

use std::format;
use std::io::{self, Read, Seek, SeekFrom};

use alloc::vec;
use alloc::vec::Vec;
use slackwater_base::{Gap, Partial};

use crate::format::{FRAME_MAGIC, MAGIC};
use crate::frame::{FrameHeader, FrameKind, HEADER_BYTES};

/// Bytes that are searched at once.
const SEARCH_BYTES: usize = 64 << 10;

/// A frame and where its payload begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameAt {
    /// Its header.
    pub header: FrameHeader,
    /// Offset of its payload in the file.
    pub payload_offset: u64,
}

/// All whole frames, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// The frames.
    pub frames: Vec<FrameAt>,
    /// Bytes between them that are none.
    pub damaged_bytes: u64,
}

impl Index {
    /// Reads the headers of a capture whose magic number has been read, and says what is missing.
    pub(crate) fn read<R: Read + Seek>(file: &mut R, file_bytes: u64) -> io::Result<Partial<Self>> {
        let mut index = Partial::<Self>::default();
        let mut at = MAGIC.len() as u64;
        while at < file_bytes {
            let remaining = file_bytes - at;
            match header_at(file, at, remaining)? {
                Some(header)
                    if u64::from(header.stored_bytes) <= remaining.saturating_sub(HEADER_BYTES as u64) =>
                {
                    let payload_offset = at + HEADER_BYTES as u64;
                    index.value.frames.push(FrameAt { header, payload_offset });
                    at = payload_offset + u64::from(header.stored_bytes);
                }
                Some(_) => {
                    index.gaps.push(cut_off(remaining));
                    at = file_bytes;
                }
                None => match next_header(file, at + 1, file_bytes)? {
                    Some(next) => {
                        let cause = format!("{} bytes at offset {at} are damaged", next - at);
                        index.gaps.push(Gap::new("records of the capture", cause));
                        index.value.damaged_bytes += next - at;
                        at = next;
                    }
                    None => {
                        index.gaps.push(cut_off(remaining));
                        at = file_bytes;
                    }
                },
            }
        }
        // Not only the last one: a mark may have been on its way.
        let ended = index.value.frames.iter().rev().any(|frame| frame.header.kind == FrameKind::End);
        if !ended {
            index.gaps.push(Gap::new(
                "the end of the recording",
                "the capture was cut off: the recorder did not end in order, or still writes",
            ));
        }
        Ok(index)
    }

    /// First and last moment of which there are records; 0 where there are none.
    pub fn span_ns(&self) -> (u64, u64) {
        let records = || self.frames.iter().filter(|one| one.header.kind.has_records());
        let first_ns = records().map(|one| one.header.first_ns).min().unwrap_or(0);
        (first_ns, records().map(|one| one.header.last_ns).max().unwrap_or(first_ns))
    }

    /// The moment up to which only sums are kept, if they are.
    pub fn summed_until_ns(&self) -> Option<u64> {
        let sums = self.frames.iter().filter(|one| one.header.kind == FrameKind::Sums);
        sums.map(|one| one.header.last_ns).max()
    }

    /// Where the last whole frame ends.
    pub fn end_offset(&self) -> u64 {
        let end = |last: &FrameAt| last.payload_offset + u64::from(last.header.stored_bytes);
        self.frames.last().map_or(MAGIC.len() as u64, end)
    }

    /// Frames with records between these times.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = &FrameAt> {
        self.frames.iter().filter(move |frame| {
            frame.header.kind.has_records()
                && frame.header.first_ns <= to_ns
                && frame.header.last_ns >= from_ns
        })
    }
}

fn cut_off(n_bytes: u64) -> Gap {
    Gap::new("the last records of the capture", format!("its last {n_bytes} bytes are no whole frame"))
}

fn header_at<R: Read + Seek>(file: &mut R, at: u64, remaining: u64) -> io::Result<Option<FrameHeader>> {
    if remaining < HEADER_BYTES as u64 {
        return Ok(None);
    }
    let mut bytes = [0; HEADER_BYTES];
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(&mut bytes)?;
    Ok(FrameHeader::parse(&bytes))
}

/// The offset of the next whole header at or after `from`.
fn next_header<R: Read + Seek>(file: &mut R, from: u64, file_bytes: u64) -> io::Result<Option<u64>> {
    let mut window = vec![0; SEARCH_BYTES];
    let mut at = from;
    while at + HEADER_BYTES as u64 <= file_bytes {
        let n_bytes = (file_bytes - at).min(SEARCH_BYTES as u64) as usize;
        file.seek(SeekFrom::Start(at))?;
        file.read_exact(&mut window[..n_bytes])?;
        for (offset, candidate) in window[..n_bytes].windows(HEADER_BYTES).enumerate() {
            if candidate[..4] == FRAME_MAGIC
                && candidate.try_into().ok().and_then(FrameHeader::parse).is_some()
            {
                return Ok(Some(at + offset as u64));
            }
        }
        at += (n_bytes - HEADER_BYTES + 1) as u64;
    }
    Ok(None)
}
