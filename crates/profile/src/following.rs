//! A capture that may still grow, added up so far.
//!
//! Invariant: a frame is read once. Only within one reading are processes in the order of time: between
//! two readings they may be half a second apart.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use slackwater_base::{Gap, Partial};
use slackwater_capture::{Anchor, Capture, Generation, ReadError, Record};

use crate::fold::Fold;
use crate::process::settle;
use crate::profile::{Mark, OverTime, Profile};
use crate::service::Service;

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
}

impl Following {
    pub(crate) fn with(service: Service) -> Self {
        Self { service, ..Self::default() }
    }

    /// Reads what was added to a capture since the last time: the same file, opened anew. What could not be
    /// decoded comes back as gaps.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn read<R: Read + Seek>(&mut self, capture: &mut Capture<R>) -> Result<Vec<Gap>, ReadError> {
        self.anchor = capture.anchor();
        self.span_ns = capture.index().span_ns();
        let n_frames = capture.index().frames.len();
        capture.pass_over(self.n_frames);
        self.n_frames = n_frames;
        let Self { folds, service, marks, marked_ns, .. } = self;
        let slices = service.slices;
        capture.play_in_time(|generation, record| {
            if generation != Generation::RECORDING {
                folds.entry(generation).or_insert_with(|| Fold::new(slices)).take(record, service);
                return;
            }
            match record {
                Record::At(ns) => *marked_ns = *ns,
                Record::Mark(name) => marks.push(Mark { ns: *marked_ns, name: name.to_string() }),
                _ => {}
            }
        })
    }

    /// What it comes to so far, and what of it is not known.
    pub fn profile(&mut self) -> Partial<Profile> {
        let mut gaps = Vec::new();
        let over_time = self
            .service
            .slices
            .map(|slices| OverTime { slices, live_most: std::mem::take(&mut self.service.live_most) });
        let mut profile = Profile {
            anchor: self.anchor,
            peak: self.service.peak,
            span_ns: self.span_ns,
            marks: self.marks.clone(),
            over_time,
            ..Profile::default()
        };
        for (&generation, fold) in &mut self.folds {
            let process = settle(generation, fold, self.service.epoch, &mut profile.stacks, &mut gaps);
            profile.processes.push(process);
        }
        Partial { value: profile, gaps }
    }
}
