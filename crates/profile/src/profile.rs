//! All processes of a capture, and all of them together.

use std::collections::BTreeMap;
use std::io::{Read, Seek};

use slackwater_base::Partial;
use slackwater_capture::{Anchor, Capture, Generation, ReadError};

use crate::asked::Asked;
use crate::endpoint::Endpoints;
use crate::following::Following;
use crate::part::Usage;
use crate::process::ProcessProfile;
use crate::service::{Peak, Service};
use crate::stacks::{StackId, Stacks};
use crate::timeline::Slices;
use crate::window::Window;

/// A moment that somebody gave a name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    /// When, CLOCK_MONOTONIC.
    pub ns: u64,
    /// Its name.
    pub name: String,
}

/// A capture, added up.
#[derive(Clone, Debug, Default)]
pub struct Profile {
    /// Stacks of all processes.
    pub stacks: Stacks,
    /// Which request or task each stack served.
    pub endpoints: Endpoints,
    /// The processes, in the order of their births.
    pub processes: Vec<ProcessProfile>,
    /// The two clocks.
    pub anchor: Option<Anchor>,
    /// Named moments, in the order of the file.
    pub marks: Vec<Mark>,
    /// When most was live.
    pub peak: Peak,
    /// First and last moment of the whole recording, CLOCK_MONOTONIC.
    pub span_ns: (u64, u64),
    /// The moment before which only sums are known, where the capture was kept below a size.
    pub summed_until_ns: Option<u64>,
    /// All processes together over time, when that was asked for.
    pub over_time: Option<OverTime>,
}

/// All processes together over time.
#[derive(Clone, PartialEq, Debug)]
pub struct OverTime {
    /// The slices.
    pub slices: Slices,
    /// Most that was live within each; 0 where nothing happened.
    pub live_most: Vec<f64>,
}

impl Profile {
    /// Reads a capture to its end.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn of<R: Read + Seek>(
        capture: Partial<Capture<R>>,
        window: Window,
    ) -> Result<Partial<Self>, ReadError> {
        Self::read(capture, Service::new(window, None))
    }

    /// Reads a capture to its end, and keeps what was when.
    ///
    /// # Errors
    /// When the file cannot be read any more.
    pub fn over_time<R: Read + Seek>(capture: Partial<Capture<R>>) -> Result<Partial<Self>, ReadError> {
        let index = capture.value.index();
        let (first_ns, last_ns) = index.span_ns();
        let slices = Slices::between(index.summed_until_ns().unwrap_or(first_ns), last_ns);
        Self::read(capture, Service::new(Window::default(), Some(slices)))
    }

    fn read<R: Read + Seek>(
        mut capture: Partial<Capture<R>>,
        service: Service,
    ) -> Result<Partial<Self>, ReadError> {
        let mut following = Following::with(service);
        let gaps = following.read(&mut capture.value)?;
        capture.gaps.extend(gaps);
        let profile = following.profile();
        capture.gaps.extend(profile.gaps);
        Ok(Partial { value: profile.value, gaps: capture.gaps })
    }

    /// Only one of its processes.
    #[must_use]
    pub fn only(mut self, generation: Generation) -> Self {
        self.processes.retain(|process| process.generation == generation);
        self
    }

    /// Without a word about requests and tasks.
    #[must_use]
    pub fn without_endpoints(mut self) -> Self {
        self.endpoints = Endpoints::default();
        self
    }

    /// All processes together, by stack.
    #[must_use]
    pub fn by_stack(&self) -> BTreeMap<StackId, Usage> {
        let mut all = BTreeMap::<StackId, Usage>::new();
        for part in self.processes.iter().flat_map(|process| &process.parts) {
            all.entry(part.stack).or_default().add(&part.usage);
        }
        all
    }

    /// How all processes together asked for memory.
    #[must_use]
    pub fn asked(&self) -> Asked {
        let mut all = Asked::default();
        self.processes.iter().for_each(|process| all.add(&process.asked));
        all
    }

    /// All processes and stacks together.
    #[must_use]
    pub fn total(&self) -> Usage {
        let mut total = Usage::default();
        self.processes.iter().for_each(|process| total.add(&process.total()));
        total
    }
}
