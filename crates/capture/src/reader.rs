//! Opens a capture, whole or not, and plays its records.
//!
//! Invariant: memory is bounded by one frame and the index, whatever the file claims; a frame that does
//! not match its checksum is not decoded.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use alloc::format;
use alloc::vec::Vec;
use slackwater_base::{Gap, Partial};

use crate::codec::Decoder;
use crate::error::ReadError;
use crate::format::{MAGIC, VERSION};
use crate::frame::{FrameKind, Packing};
use crate::index::{FrameAt, Index};
use crate::record::{Generation, Record};

/// One moment on both clocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// Nanoseconds since 1970.
    pub wall_ns: u64,
    /// CLOCK_MONOTONIC.
    pub monotonic_ns: u64,
}

/// An open capture.
#[derive(Debug)]
pub struct Capture<R = BufReader<File>> {
    path: PathBuf,
    file: R,
    index: Index,
    anchor: Option<Anchor>,
}

impl Capture {
    /// Opens a file, and says what of it is missing.
    ///
    /// # Errors
    /// When it cannot be read, is no capture, or one of a later format.
    pub fn open(path: &Path) -> Result<Partial<Self>, ReadError> {
        let file = File::open(path).map_err(|source| ReadError::Read { path: path.to_path_buf(), source })?;
        Self::from_reader(path, BufReader::new(file))
    }
}

impl<R: Read + Seek> Capture<R> {
    /// Opens what `file` reads; `path` is how errors call it.
    ///
    /// # Errors
    /// As [`Capture::open`].
    pub fn from_reader(path: &Path, mut file: R) -> Result<Partial<Self>, ReadError> {
        let fail = |source| ReadError::Read { path: path.to_path_buf(), source };
        let file_bytes = file.seek(SeekFrom::End(0)).map_err(fail)?;
        if file_bytes == 0 {
            return Err(ReadError::Empty { path: path.to_path_buf() });
        }
        let n_magic = file_bytes.min(MAGIC.len() as u64) as usize;
        let mut magic = [0; MAGIC.len()];
        file.seek(SeekFrom::Start(0)).map_err(fail)?;
        file.read_exact(&mut magic[..n_magic]).map_err(fail)?;
        if magic[..n_magic] != MAGIC[..n_magic] {
            return Err(ReadError::NotACapture { path: path.to_path_buf() });
        }
        let index = Index::read(&mut file, file_bytes).map_err(fail)?;
        let newer = index.value.frames.iter().map(|frame| frame.header.version).find(|&one| one > VERSION);
        if let Some(version) = newer {
            return Err(ReadError::NewerFormat { path: path.to_path_buf(), version, newest: VERSION });
        }
        let mut gaps = Vec::new();
        let index = index.unpack(&mut gaps);
        let mut capture = Self { path: path.to_path_buf(), file, index, anchor: None };
        capture.anchor = capture.read_anchor().map_err(fail)?;
        if capture.anchor.is_none() {
            gaps.push(Gap::new("times of day", "the frame that holds both clocks is damaged or missing"));
        }
        Ok(Partial { value: capture, gaps })
    }

    /// The frames.
    pub const fn index(&self) -> &Index {
        &self.index
    }

    /// The clocks, when the first frame is whole.
    pub const fn anchor(&self) -> Option<Anchor> {
        self.anchor
    }

    /// Plays every record in the order of the file; what could not be decoded comes back as gaps.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn play(&mut self, mut each: impl FnMut(Generation, &Record<'_>)) -> Result<Vec<Gap>, ReadError> {
        let mut gaps = Vec::new();
        let (mut stored, mut raw) = (Vec::new(), Vec::new());
        for frame in self.index.frames.iter().filter(|one| one.header.kind.has_records()) {
            match unpack(&mut self.file, frame, &mut stored, &mut raw) {
                Ok(Some(payload)) => {
                    for record in Decoder::new(payload) {
                        match record {
                            Ok(record) => each(frame.header.generation, &record),
                            Err(error) => gaps.push(lost(frame, &format!("{error}"))),
                        }
                    }
                }
                Ok(None) => gaps.push(lost(frame, "it does not match its checksum")),
                Err(source) => return Err(ReadError::Read { path: self.path.clone(), source }),
            }
        }
        Ok(gaps)
    }

    /// The records of one frame, still encoded; `None` when it is damaged.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn payload(&mut self, frame: &FrameAt) -> Result<Option<Vec<u8>>, ReadError> {
        let (mut stored, mut raw) = (Vec::new(), Vec::new());
        let payload = unpack(&mut self.file, frame, &mut stored, &mut raw);
        let payload = payload.map(|payload| payload.map(<[u8]>::to_vec));
        payload.map_err(|source| self.cannot_read(source))
    }

    pub(crate) const fn index_mut(&mut self) -> &mut Index {
        &mut self.index
    }

    pub(crate) const fn file_mut(&mut self) -> &mut R {
        &mut self.file
    }

    pub(crate) fn cannot_read(&self, source: io::Error) -> ReadError {
        ReadError::Read { path: self.path.clone(), source }
    }

    fn read_anchor(&mut self) -> io::Result<Option<Anchor>> {
        let Some(first) = self.index.frames.first().filter(|one| one.header.kind == FrameKind::Session)
        else {
            return Ok(None);
        };
        let (mut stored, mut raw) = (Vec::new(), Vec::new());
        let payload = unpack(&mut self.file, first, &mut stored, &mut raw)?;
        let words = payload.and_then(|payload| payload.get(..16)).map(|payload| payload.as_chunks::<8>().0);
        Ok(words.map(|words| Anchor {
            wall_ns: u64::from_le_bytes(words[0]),
            monotonic_ns: u64::from_le_bytes(words[1]),
        }))
    }
}

pub(crate) fn lost(frame: &FrameAt, cause: &str) -> Gap {
    let header = frame.header;
    let subject = format!("up to {} records of process {}", header.n_records, header.generation.0);
    Gap::new(subject, format!("the frame before offset {} is damaged: {cause}", frame.payload_offset))
}

/// A frame's payload; `None` when it is damaged.
pub(crate) fn unpack<'a, R: Read + Seek>(
    file: &mut R,
    frame: &FrameAt,
    stored: &'a mut Vec<u8>,
    raw: &'a mut Vec<u8>,
) -> io::Result<Option<&'a [u8]>> {
    stored.resize(frame.header.stored_bytes as usize, 0);
    file.seek(SeekFrom::Start(frame.payload_offset))?;
    file.read_exact(stored)?;
    if crc32fast::hash(stored) != frame.header.payload_crc {
        return Ok(None);
    }
    match frame.header.packing {
        Packing::Stored => Ok(Some(stored)),
        Packing::Zstd => {
            raw.resize(frame.header.raw_bytes as usize, 0);
            match zstd::bulk::decompress_to_buffer(stored, raw) {
                Ok(n_bytes) if n_bytes == raw.len() => Ok(Some(raw)),
                _ => Ok(None),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;
    use crate::frame::HEADER_BYTES;
    use crate::writer::Writer;

    #[test]
    fn fault_39_a_later_format_is_refused_by_name() {
        let mut bytes = Writer::begin(Vec::new(), 0, 0).unwrap().end(1).unwrap();
        let mut capture = Capture::from_reader(Path::new("it"), Cursor::new(bytes.clone())).unwrap().value;
        let mut header = capture.index_mut().frames[0].header;
        header.version = VERSION + 1;
        bytes[MAGIC.len()..MAGIC.len() + HEADER_BYTES].copy_from_slice(&header.encode());
        let error = Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap_err();
        assert!(matches!(error, ReadError::NewerFormat { version, .. } if version == VERSION + 1), "{error}");
    }
}
