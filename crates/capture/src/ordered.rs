//! Plays a capture in the order of time, all processes merged.
//!
//! Frames are written per process and overlap in time. What is true of the service as a whole at one
//! moment, such as the most that was live, needs the records of all processes in one order.
//!
//! ```text
//! generation 1  ─[──── frame ────][── frame ──]        at most one frame of each is unpacked;
//! generation 2     ─[── frame ──]─────[─ frame ─]  ─▶   the earliest `at` plays next, up to the next `at`
//! ```
//!
//! Invariant: the records of one process stay in the order of the file; memory is one frame for each of
//! at most [`OPEN_FRAMES_MAX`] processes, whatever times the file claims.

use std::io::{Read, Seek};

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::mem;
use slackwater_base::Gap;

use crate::codec::{Decoder, State};
use crate::error::ReadError;
use crate::index::FrameAt;
use crate::reader::{Capture, lost, unpack};
use crate::record::{Generation, Record};

/// Most frames that are unpacked at a time. Recorders have no more processes at a time than that, so only
/// a capture that was made up is played less strictly in order.
const OPEN_FRAMES_MAX: usize = 256;

/// A frame that is played in parts.
#[derive(Default)]
struct Open {
    payload: Vec<u8>,
    /// Bytes of it that were played.
    played: usize,
    state: State,
    /// The time that is to be told before the next record.
    pending: Option<u64>,
}

/// The frames of one process that were not played to their end.
#[derive(Default)]
struct Queue {
    frames: VecDeque<FrameAt>,
    open: Option<Open>,
    next_ns: u64,
}

impl<R: Read + Seek> Capture<R> {
    /// Leaves out the first `n` frames: they were played before, and the file has grown since.
    pub fn pass_over(&mut self, n: usize) {
        let frames = &mut self.index_mut().frames;
        frames.drain(..n.min(frames.len()));
    }

    /// Leaves out frames that hold nothing from before this moment.
    pub fn leave_out_after(&mut self, ns: u64) {
        self.index_mut().frames.retain(|frame| frame.header.first_ns <= ns);
    }

    /// Plays every record in the order of time, as precisely as the collector looked; what could not be
    /// decoded comes back as gaps.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn play_in_time(
        &mut self,
        mut each: impl FnMut(Generation, &Record<'_>),
    ) -> Result<Vec<Gap>, ReadError> {
        let mut queues: BTreeMap<Generation, Queue> = BTreeMap::new();
        for frame in self.index().frames.iter().filter(|one| one.header.kind.has_records()) {
            let queue = queues.entry(frame.header.generation).or_default();
            if queue.frames.is_empty() {
                queue.next_ns = frame.header.first_ns;
            }
            queue.frames.push_back(*frame);
        }
        // Who is next, by time; and among equals the older process.
        let mut turns: std::collections::BTreeSet<(u64, Generation)> =
            queues.iter().map(|(&generation, queue)| (queue.next_ns, generation)).collect();
        let mut gaps = Vec::new();
        let (mut stored, mut n_open) = (Vec::new(), 0);
        while let Some((_, generation)) = turns.pop_first() {
            let Some(queue) = queues.get_mut(&generation) else { continue };
            if queue.open.is_none() {
                let Some(frame) = queue.frames.front() else { continue };
                let mut raw = Vec::new();
                let unpacked = unpack(self.file_mut(), frame, &mut stored, &mut raw);
                match unpacked.map(|payload| payload.map(<[u8]>::to_vec)) {
                    Ok(Some(payload)) => {
                        queue.open = Some(Open { payload, ..Open::default() });
                        n_open += 1;
                    }
                    Ok(None) => gaps.push(lost(frame, "it does not match its checksum")),
                    Err(source) => return Err(self.cannot_read(source)),
                }
            }
            // Where a made up file would have too many open, this one is played to its end.
            let next = turns.first().filter(|_| n_open <= OPEN_FRAMES_MAX);
            let until = next.copied().unwrap_or((u64::MAX, Generation(u32::MAX)));
            let stopped = match (&mut queue.open, queue.frames.front()) {
                (Some(open), Some(frame)) => {
                    open.play(generation, until, &mut each).unwrap_or_else(|error| {
                        gaps.push(lost(frame, &alloc::format!("{error}")));
                        None
                    })
                }
                _ => None,
            };
            match stopped {
                Some(ns) => queue.next_ns = ns,
                None => {
                    n_open -= usize::from(queue.open.take().is_some());
                    queue.frames.pop_front();
                    let Some(next) = queue.frames.front() else { continue };
                    queue.next_ns = next.header.first_ns;
                }
            }
            turns.insert((queue.next_ns, generation));
        }
        Ok(gaps)
    }
}

impl Open {
    /// Plays up to the first time at which it is somebody else's turn, and says which; to the end, and says
    /// nothing.
    fn play(
        &mut self,
        generation: Generation,
        until: (u64, Generation),
        each: &mut impl FnMut(Generation, &Record<'_>),
    ) -> Result<Option<u64>, crate::error::DecodeError> {
        if let Some(ns) = self.pending.take() {
            each(generation, &Record::At(ns));
        }
        let mut decoder = Decoder { state: mem::take(&mut self.state), bytes: &self.payload[self.played..] };
        while let Some(record) = decoder.next() {
            match record? {
                Record::At(ns) if (ns, generation) > until => {
                    self.played = self.payload.len() - decoder.bytes.len();
                    self.state = decoder.state;
                    self.pending = Some(ns);
                    return Ok(Some(ns));
                }
                record => each(generation, &record),
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::path::Path;

    use super::*;
    use crate::codec::Encoder;
    use crate::frame::FrameKind;
    use crate::writer::Writer;

    /// Two processes, each with two frames, whose times interleave; each record tells its time.
    fn interleaved() -> Vec<u8> {
        let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
        let mut encoder = Encoder::default();
        for (generation, times) in
            [(1, [10, 30, 50]), (2, [20, 40, 40]), (1, [60, 70, 90]), (2, [55, 80, 95])]
        {
            for ns in times {
                encoder.put(&Record::At(ns));
                encoder.put(&Record::Resident(ns));
            }
            writer.records(Generation(generation), times[0], times[2], &mut encoder).unwrap();
        }
        writer.end(100).unwrap()
    }

    #[test]
    fn processes_are_merged_by_time() {
        let mut capture = Capture::from_reader(Path::new("it"), Cursor::new(interleaved())).unwrap().value;
        let (mut merged, mut in_file) = (Vec::new(), Vec::new());
        let gaps =
            capture.play_in_time(|generation, record| merged.push(std::format!("{generation:?} {record:?}")));
        assert_eq!(gaps.unwrap(), []);
        let times: Vec<u64> = merged
            .iter()
            .filter_map(|one| one.split_once("Resident(")?.1.trim_end_matches(')').parse().ok())
            .collect();
        assert_eq!(times, [10, 20, 30, 40, 40, 50, 55, 60, 70, 80, 90, 95]);
        capture.play(|generation, record| in_file.push(std::format!("{generation:?} {record:?}"))).unwrap();
        // Nothing is lost, nothing is told twice.
        merged.sort();
        in_file.sort();
        assert_eq!(merged, in_file);
    }

    #[test]
    fn of_one_moment_the_older_process_comes_first_whatever_came_before() {
        let mut writer = Writer::begin(Vec::new(), 0, 0).unwrap();
        let mut encoder = Encoder::default();
        for (generation, times) in [(3, [10, 20, 30]), (1, [10, 20, 30]), (2, [15, 20, 30])] {
            for ns in times {
                encoder.put(&Record::At(ns));
                encoder.put(&Record::Resident(ns));
            }
            writer.records(Generation(generation), times[0], times[2], &mut encoder).unwrap();
        }
        let bytes = writer.end(100).unwrap();
        let mut capture = Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap().value;
        let mut order = Vec::new();
        let gaps = capture.play_in_time(|generation, record| {
            if let Record::Resident(ns) = record {
                order.push((*ns, generation.0));
            }
        });
        assert_eq!(gaps.unwrap(), []);
        let expected = [(10, 1), (10, 3), (15, 2), (20, 1), (20, 2), (20, 3), (30, 1), (30, 2), (30, 3)];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_damaged_frame_costs_its_own_records() {
        let mut bytes = interleaved();
        let whole = Capture::from_reader(Path::new("it"), Cursor::new(bytes.clone())).unwrap().value;
        let second = whole.index().frames.iter().filter(|one| one.header.kind == FrameKind::Records).nth(1);
        bytes[second.unwrap().payload_offset as usize] ^= 0x55;
        let mut capture = Capture::from_reader(Path::new("it"), Cursor::new(bytes)).unwrap().value;
        let mut n_records = 0;
        let gaps = capture.play_in_time(|_, _| n_records += 1).unwrap();
        assert_eq!((n_records, gaps.len()), (18, 1));
    }
}
