//! A capture that may still grow, added up so far.
//!
//! Invariant: a frame is read once, unless the capture has been written anew with sums: then all of it is
//! read again. Only within one reading are processes in the order of time: between two readings they may be
//! half a second apart.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::{Read, Seek};

use slackwater_base::{Gap, Partial};
use slackwater_capture::{Anchor, Capture, Generation, ReadError, Record};

use crate::endpoint::Endpoints;
use crate::fold::Fold;
use crate::process::{inherit, settle};
use crate::profile::{Mark, OverTime, Profile};
use crate::room::Kept;
use crate::service::{Peak, Service};

/// What a capture says that lost something before it was written anew.
pub(crate) const LOST_BEFORE: &str = "lost";

/// Marks that may be made between the two of one that is told twice.
const MARKS_AT_ONCE: usize = 64;

/// The last moment that each process told.
#[derive(Debug, Default)]
pub(crate) struct Clock(HashMap<Generation, u64>);

impl Clock {
    /// The moment of this record.
    pub(crate) fn of(&mut self, generation: Generation, record: &Record<'_>) -> u64 {
        let now_ns = self.0.entry(generation).or_default();
        if let Record::At(ns) = record {
            *now_ns = *ns;
        }
        *now_ns
    }
}

/// What was read so far.
#[derive(Debug, Default)]
pub struct Following {
    folds: BTreeMap<Generation, Fold>,
    service: Service,
    marks: Vec<Mark>,
    marked_ns: u64,
    anchor: Option<Anchor>,
    span_ns: (u64, u64),
    n_frames: usize,
    summed_until_ns: Option<u64>,
    lost_before: Vec<String>,
}

impl Following {
    pub(crate) fn with(service: Service) -> Self {
        Self { service, ..Self::default() }
    }

    /// The processes so far, and when they together held most.
    pub(crate) const fn parts(&self) -> (&BTreeMap<Generation, Fold>, &Service) {
        (&self.folds, &self.service)
    }

    /// What was lost before the capture was written anew.
    pub(crate) fn lost_before(&self) -> &[String] {
        &self.lost_before
    }

    /// Reads what was added to a capture since the last time: the same file, opened anew. What could not be
    /// decoded comes back as gaps.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn read<R: Read + Seek>(&mut self, capture: &mut Capture<R>) -> Result<Vec<Gap>, ReadError> {
        self.read_until(capture, u64::MAX)
    }

    /// Reads what was up to a moment.
    pub(crate) fn read_until<R: Read + Seek>(
        &mut self,
        capture: &mut Capture<R>,
        until_ns: u64,
    ) -> Result<Vec<Gap>, ReadError> {
        let summed_until_ns = capture.index().summed_until_ns();
        if summed_until_ns != self.summed_until_ns {
            *self = Self::with(Service::new(self.service.window, self.service.slices));
            self.summed_until_ns = summed_until_ns;
        }
        self.anchor = capture.anchor();
        self.span_ns = capture.index().span_ns();
        let n_frames = capture.index().frames.len();
        capture.pass_over(self.n_frames);
        self.n_frames = n_frames;
        let Self { folds, service, marks, marked_ns, lost_before, .. } = self;
        let slices = service.slices;
        let mut clock = Clock::default();
        capture.leave_out_after(until_ns);
        capture.play_in_time(|generation, record| {
            if until_ns < u64::MAX && clock.of(generation, record) > until_ns {
                return;
            }
            if generation != Generation::RECORDING {
                let fold = match folds.entry(generation) {
                    Entry::Occupied(fold) => fold.into_mut(),
                    Entry::Vacant(place) => {
                        let has_room = service.room.take(Kept::Process)
                            && slices.is_none_or(|_| service.room.take(Kept::Timeline));
                        if !has_room {
                            return;
                        }
                        place.insert(Fold::new(slices))
                    }
                };
                fold.take(record, service);
                return;
            }
            match record {
                Record::At(ns) => *marked_ns = *ns,
                Record::Mark(name) => {
                    let mark = Mark { ns: *marked_ns, name: name.to_string() };
                    // Who marked a file that was written anew meanwhile has said so twice.
                    let is_new = !marks.iter().rev().take(MARKS_AT_ONCE).any(|one| *one == mark);
                    if is_new && service.room.take(Kept::Text(name.len())) {
                        marks.push(mark);
                    }
                }
                &Record::Peak { at_ns, bytes } if service.window.counts(*marked_ns) => {
                    service.summed(Peak { at_ns, bytes });
                }
                Record::Fact { key, value }
                    if key == LOST_BEFORE && service.room.take(Kept::Text(value.len())) =>
                {
                    lost_before.push(value.to_string());
                }
                _ => {}
            }
        })
    }

    /// What it comes to so far, and what of it is not known.
    pub fn profile(&mut self) -> Partial<Profile> {
        let lost = |cause: &String| Gap::new("some of what only sums are kept of", cause.as_str());
        let mut gaps: Vec<Gap> = self.lost_before.iter().map(lost).collect();
        gaps.extend(self.service.room.gaps());
        let over_time = self
            .service
            .slices
            .map(|slices| OverTime { slices, live_most: std::mem::take(&mut self.service.live_most) });
        let mut profile = Profile {
            anchor: self.anchor,
            peak: self.service.peak,
            span_ns: self.span_ns,
            marks: self.marks.clone(),
            summed_until_ns: self.summed_until_ns,
            over_time,
            ..Profile::default()
        };
        for (&generation, fold) in &mut self.folds {
            let process = settle(generation, fold, self.service.epoch, &mut profile.stacks, &mut gaps);
            profile.processes.push(process);
        }
        inherit(&mut profile.processes);
        profile.endpoints = Endpoints::of(&profile.stacks);
        Partial { value: profile, gaps }
    }
}
