//! A capture written anew, with sums in place of what is long past.
//!
//! ```text
//! old   ─ records ──────────────────────── until ─ records ── end
//!         │ added up                                │ as they are
//! new   ─ definitions ─ sums ─ live blocks ─ until ─ records ── end
//! ```
//!
//! What the sums say is what the records would have said at that moment, so every total is what it was; what
//! is lost is when, and by which of the processes that ended long ago.
//!
//! Invariant: the old capture is only read. Memory is that of adding it up.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Seek, Write};

use slackwater_base::Partial;
use slackwater_capture::{
    Allocation, Amount, Capture, Decoder, Encoder, Ending, FrameAt, Generation, Index, Measure, ReadError,
    Record, Sum, Summed, Writer,
};

use crate::estimate::Estimate;
use crate::fold::Fold;
use crate::following::{Following, LOST_BEFORE};
use crate::former::Former;
use crate::service::Service;

/// A frame is closed when it has so many bytes.
const FRAME_BYTES: usize = 256 << 10;
/// Processes that have ended and are still told apart: the newest.
const ENDED_APART: usize = 16;
/// So long after its end something may still be said of a process: what its native code is called.
const SETTLED_NS: u64 = 10_000_000_000;

/// Why a capture cannot be written anew.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompactError {
    /// It cannot be read.
    #[error("cannot add up the capture")]
    Read(#[from] ReadError),
    /// The new one cannot be written.
    #[error("cannot write the capture anew")]
    Write(#[from] io::Error),
    /// More is in it than can be told apart.
    #[error("more is in the capture than can be added up")]
    TooMuch,
    /// Its first frame is damaged.
    #[error("the capture's times are damaged")]
    Times,
}

/// A capture that was written anew.
#[derive(Debug)]
pub struct Compacted<W> {
    /// The new one, without an end.
    pub out: W,
    /// Its size.
    pub written_bytes: u64,
    /// How much of the old one is in it: what was appended since follows.
    pub read_bytes: u64,
    /// The moment up to which it has sums.
    pub until_ns: u64,
}

/// Writes a capture anew, with sums in place of all but about `keep_bytes` of its last records; nothing
/// where there is nothing to add up.
///
/// # Errors
/// When the one cannot be read, or the other not be written.
pub fn compact<R: Read + Seek, W: Write>(
    capture: Partial<Capture<R>>,
    out: W,
    keep_bytes: u64,
) -> Result<Option<Compacted<W>>, CompactError> {
    let mut capture = capture.value;
    let Some(until_ns) = horizon(capture.index(), keep_bytes) else { return Ok(None) };
    let anchor = capture.anchor().ok_or(CompactError::Times)?;
    let frames: Vec<FrameAt> =
        capture.index().frames.iter().filter(|one| one.header.kind.has_records()).copied().collect();
    let (read_bytes, damaged_bytes) = (capture.index().end_offset(), capture.index().damaged_bytes);
    let mut past = Following::default();
    let gaps = past.read_until(&mut capture, until_ns)?;
    let mut lost = past.lost_before().to_vec();
    lost.extend(gaps.iter().map(|gap| format!("{}: {}", gap.subject, gap.cause)));
    if damaged_bytes > 0 {
        lost.push(format!("{damaged_bytes} bytes of the capture were damaged"));
    }
    let (folds, service) = past.parts();
    if service.room.is_exceeded() {
        return Err(CompactError::TooMuch);
    }
    let former = ended_long_ago(folds, &frames, until_ns);
    let is_former = |generation: Generation| former.contains(&generation);

    let mut writer = Writer::begin(out, anchor.wall_ns, anchor.monotonic_ns)?;
    let is_later = |frame: &&FrameAt| match is_said_of_recording(frame) {
        true => frame.header.first_ns > until_ns,
        false => frame.header.last_ns > until_ns,
    };
    for frame in frames.iter().filter(|one| is_said_of_recording(one) && !is_later(one)) {
        copy(&mut capture, frame, &mut writer)?;
    }
    definitions(&mut capture, &frames, until_ns, is_former, &mut writer)?;
    write_recording(service, &lost, until_ns, &mut writer)?;
    for (&generation, fold) in folds.iter().filter(|(generation, _)| !is_former(**generation)) {
        let mut sums = Frames::sums(&mut writer, generation, until_ns);
        write_sums(fold, service.epoch, &mut sums)?;
        sums.close()?;
    }
    let mut by_program: BTreeMap<&str, Former> = BTreeMap::new();
    for (&generation, fold) in folds.iter().filter(|(generation, _)| is_former(**generation)) {
        by_program.entry(&fold.program).or_insert_with(|| Former::new(generation)).add(fold, service.epoch);
    }
    for (program, former) in by_program {
        let mut sums = Frames::sums(&mut writer, former.generation(), until_ns);
        former.write(program, |record| sums.put(record))?;
        sums.close()?;
    }
    for frame in frames.iter().filter(is_later) {
        if frame.header.first_ns > until_ns {
            copy(&mut capture, frame, &mut writer)?;
        } else {
            let mut rest = Frames::records(&mut writer, frame.header.generation, until_ns);
            each_dated(
                &mut capture,
                frame,
                |ns, record| {
                    if ns > until_ns { rest.put_at(ns, record) } else { Ok(()) }
                },
            )?;
            rest.close()?;
        }
    }
    let written_bytes = writer.written_bytes();
    Ok(Some(Compacted { out: writer.leave(), written_bytes, read_bytes, until_ns }))
}

/// The moment after which there are about so many bytes of records; `None` when sums reach that far already.
fn horizon(index: &Index, keep_bytes: u64) -> Option<u64> {
    let of_processes = |frame: &&FrameAt| {
        frame.header.kind.has_records() && frame.header.generation != Generation::RECORDING
    };
    let mut frames: Vec<&FrameAt> = index.frames.iter().filter(of_processes).collect();
    frames.sort_by_key(|frame| std::cmp::Reverse(frame.header.last_ns));
    let mut n_bytes = 0;
    let first_to_go = frames.into_iter().find(|frame| {
        n_bytes += u64::from(frame.header.stored_bytes);
        n_bytes > keep_bytes
    })?;
    Some(first_to_go.header.last_ns).filter(|&ns| index.summed_until_ns().is_none_or(|until| ns > until))
}

/// What is said of the recording as a whole, but for what its sums say.
fn is_said_of_recording(frame: &FrameAt) -> bool {
    frame.header.generation == Generation::RECORDING
        && frame.header.kind == slackwater_capture::FrameKind::Records
}

/// Processes that are told apart no longer.
fn ended_long_ago(
    folds: &BTreeMap<Generation, Fold>,
    frames: &[FrameAt],
    until_ns: u64,
) -> BTreeSet<Generation> {
    let later: BTreeSet<Generation> =
        frames.iter().filter(|one| one.header.last_ns > until_ns).map(|one| one.header.generation).collect();
    let has_ended = |fold: &Fold| {
        fold.ending.is_some_and(|ending| ending != Ending::Outlived)
            && fold.last_ns.saturating_add(SETTLED_NS) <= until_ns
    };
    // Those that are several already have ended before all others.
    let mut ended: Vec<(bool, u64, Generation)> = folds
        .iter()
        .filter(|(generation, fold)| has_ended(fold) && !later.contains(generation))
        .map(|(&generation, fold)| (fold.n_processes == 1, fold.last_ns, generation))
        .collect();
    ended.sort_unstable();
    ended.truncate(ended.len().saturating_sub(ENDED_APART));
    let mut by_program: BTreeMap<&str, Vec<Generation>> = BTreeMap::new();
    for (.., generation) in ended {
        by_program.entry(&folds[&generation].program).or_default().push(generation);
    }
    // One alone stays what it is.
    let is_several = |of: &Vec<Generation>| of.len() > 1 || folds[&of[0]].n_processes > 1;
    by_program.into_values().filter(is_several).flatten().collect()
}

/// Writes what later records refer to, as it was.
fn definitions<R: Read + Seek, W: Write>(
    capture: &mut Capture<R>,
    frames: &[FrameAt],
    until_ns: u64,
    is_former: impl Fn(Generation) -> bool,
    writer: &mut Writer<W>,
) -> Result<(), CompactError> {
    let mut of: BTreeMap<Generation, Vec<&FrameAt>> = BTreeMap::new();
    for frame in frames.iter().filter(|one| one.header.first_ns <= until_ns) {
        if frame.header.generation != Generation::RECORDING && !is_former(frame.header.generation) {
            of.entry(frame.header.generation).or_default().push(frame);
        }
    }
    for (generation, frames) in of {
        let first_ns = frames.first().map_or(until_ns, |first| first.header.first_ns);
        let mut definitions = Frames::records(writer, generation, first_ns);
        for frame in frames {
            each_dated(capture, frame, |ns, record| {
                let is_kept = record.is_definition() || matches!(record, Record::Before(_));
                if ns <= until_ns && is_kept { definitions.put(record) } else { Ok(()) }
            })?;
        }
        definitions.close()?;
    }
    Ok(())
}

fn write_recording<W: Write>(
    service: &Service,
    lost: &[String],
    until_ns: u64,
    writer: &mut Writer<W>,
) -> Result<(), CompactError> {
    let mut sums = Frames::sums(writer, Generation::RECORDING, until_ns);
    sums.put(&Record::Peak { at_ns: service.peak.at_ns, bytes: service.peak.bytes })?;
    for what in lost {
        sums.put(&Record::Fact { key: LOST_BEFORE.into(), value: what.as_str().into() })?;
    }
    Ok(sums.close()?)
}

/// Writes what a process came to: its sums, without its live blocks, and those one by one.
fn write_sums<W: Write>(fold: &Fold, epoch: u64, out: &mut Frames<'_, W>) -> io::Result<()> {
    let mut left = vec![Estimate::default(); fold.parts.len()];
    let mut blocks: Vec<(u64, u64, Record<'_>)> = Vec::new();
    for (measure, addr, block, amount) in fold.left() {
        left[block.origin.part as usize].add(&amount);
        let (stack, thread) = fold.parts[block.origin.part as usize].0;
        let tid = fold.threads.tid(thread);
        let sampled = block.origin.sampled;
        let allocation = Allocation { measure, sampled, addr, size: block.size, stack, tid };
        blocks.push((u64::from(measure == Measure::Mapping), addr, Record::Allocation(allocation)));
    }
    blocks.sort_unstable_by_key(|&(is_mapping, addr, _)| (is_mapping, addr));
    out.put(&Record::Summed(Summed {
        n_processes: fold.n_processes,
        n_events: fold.n_events,
        n_lost: fold.n_lost,
        first_ns: fold.first_ns,
        last_ns: fold.last_ns,
        resident_peak_bytes: fold.resident_peak_bytes,
        live_peak_bytes: fold.live_peak,
    }))?;
    fold.asked.told().try_for_each(|asked| out.put(&Record::Asked(asked)))?;
    if fold.resident_bytes > 0 {
        out.put(&Record::Resident(fold.resident_bytes))?;
    }
    // In the order of threads: those that are told apart stay the same.
    let mut order: Vec<usize> = (0..fold.parts.len()).collect();
    order.sort_unstable_by_key(|&part| (fold.parts[part].0.1, fold.parts[part].0.0));
    for part in order {
        let ((stack, thread), tally) = fold.parts[part];
        let usage = tally.usage(epoch);
        out.put(&Record::Sum(Sum {
            stack,
            tid: fold.threads.tid(thread),
            allocated: Amount::from(&usage.allocated.without(&left[part])),
            live: Amount::from(&usage.live.without(&left[part])),
            peak: Amount::from(&usage.peak),
        }))?;
    }
    blocks.iter().try_for_each(|(.., block)| out.put(block))?;
    if let Some(ending) = fold.ending {
        out.put(&Record::Ended(ending))?;
    }
    Ok(())
}

/// Each record of a frame, with the moment that the frame has told last; 0 before it has.
fn each_dated<R: Read + Seek>(
    capture: &mut Capture<R>,
    frame: &FrameAt,
    mut each: impl FnMut(u64, &Record<'_>) -> io::Result<()>,
) -> Result<(), CompactError> {
    let payload = capture.payload(frame)?.unwrap_or_default();
    let mut now_ns = 0;
    for record in Decoder::new(&payload).map_while(Result::ok) {
        if let Record::At(ns) = record {
            now_ns = ns;
        }
        each(now_ns, &record)?;
    }
    Ok(())
}

fn copy<R: Read + Seek, W: Write>(
    capture: &mut Capture<R>,
    frame: &FrameAt,
    writer: &mut Writer<W>,
) -> Result<(), CompactError> {
    // A damaged one was told as lost when it was added up, or stays out of the records that are kept.
    let payload = capture.payload(frame)?.unwrap_or_default();
    Ok(writer.copy(&frame.header, &payload)?)
}

/// Records of one process on their way into frames.
struct Frames<'a, W> {
    writer: &'a mut Writer<W>,
    generation: Generation,
    encoder: Encoder,
    /// The moment of all sums; for other records, none.
    until_ns: Option<u64>,
    span_ns: (u64, u64),
}

impl<'a, W: Write> Frames<'a, W> {
    fn records(writer: &'a mut Writer<W>, generation: Generation, first_ns: u64) -> Self {
        let span_ns = (first_ns, first_ns);
        Self { writer, generation, encoder: Encoder::default(), until_ns: None, span_ns }
    }

    fn sums(writer: &'a mut Writer<W>, generation: Generation, until_ns: u64) -> Self {
        let mut encoder = Encoder::default();
        encoder.put(&Record::At(until_ns));
        Self { writer, generation, encoder, until_ns: Some(until_ns), span_ns: (until_ns, until_ns) }
    }

    fn put(&mut self, record: &Record<'_>) -> io::Result<()> {
        self.encoder.put(record);
        if self.encoder.bytes().len() >= FRAME_BYTES { self.write() } else { Ok(()) }
    }

    fn put_at(&mut self, ns: u64, record: &Record<'_>) -> io::Result<()> {
        if self.encoder.n_records() == 0 {
            self.span_ns.0 = ns;
        }
        self.span_ns.1 = ns;
        self.put(record)
    }

    fn close(mut self) -> io::Result<()> {
        self.write()
    }

    fn write(&mut self) -> io::Result<()> {
        match self.until_ns {
            Some(until_ns) => self.writer.sums(self.generation, until_ns, &mut self.encoder),
            None => {
                let (first_ns, last_ns) = self.span_ns;
                self.writer.records(self.generation, first_ns, last_ns, &mut self.encoder)
            }
        }
    }
}
