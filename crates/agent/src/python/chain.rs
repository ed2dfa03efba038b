//! Python's frames with the calls of the interpreter's loop that they belong to.
//!
//! Invariant: as of `frames`: those that are read first are probed before they are believed.

use core::sync::atomic::Ordering::Relaxed;

use super::Python;
use super::frames::{
    self, Frames, NATIVE_PLACE, NO_CODE, NO_PLACE, PROBED_FRAMES, Probing, Reader, Trusting, Unlike,
};
use crate::process::Process;
use crate::recorder;

/// Frames without code are no frames of a stack, so a chain of them needs a bound.
const LINKS_MAX: usize = 1 << 16;

/// What comes next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Item {
    /// A frame: its key, and the mark of its code.
    Frame(u64, u32),
    /// The loop was called for the frames before this.
    Entry,
}

/// The chain of one thread, newest first.
pub(crate) struct Chain<'a, R> {
    process: &'a Process,
    frames: Frames<'a, R>,
    frame: u64,
    n_links: usize,
    /// The frame that was handed out last is the first one of its call.
    at_entry: bool,
}

/// Whether frames are still to be probed.
#[inline]
pub(crate) fn is_probing(process: &Process) -> bool {
    process.python_state().load(Relaxed) < PROBED_FRAMES
}

impl<'a> Chain<'a, Probing> {
    pub(crate) fn probing(process: &'a Process, python: &'a Python, thread_state: u64) -> Self {
        Self::new(process, python, thread_state, Probing { code_type: python.code_type })
    }
}

impl<'a> Chain<'a, Trusting> {
    /// Of a process whose frames were probed.
    pub(crate) fn trusting(process: &'a Process, python: &'a Python, thread_state: u64) -> Self {
        Self::new(process, python, thread_state, Trusting)
    }
}

impl<'a, R: Reader> Chain<'a, R> {
    fn new(process: &'a Process, python: &'a Python, thread_state: u64, reader: R) -> Self {
        let frames = Frames::new(python, reader);
        let newest = frames.newest(thread_state);
        let mut chain = Self { process, frames, frame: 0, n_links: 0, at_entry: false };
        chain.frame = newest.unwrap_or_else(|Unlike| chain.refuse());
        chain
    }

    /// The next item; `None` at the end.
    #[inline]
    pub(crate) fn next(&mut self) -> Option<Item> {
        if core::mem::take(&mut self.at_entry) {
            return Some(Item::Entry);
        }
        self.n_links += 1;
        if self.frame == 0 || self.n_links > LINKS_MAX {
            return None;
        }
        match self.item() {
            Ok(item) => Some(item),
            Err(Unlike) => {
                self.frame = self.refuse();
                None
            }
        }
    }

    #[inline]
    fn item(&mut self) -> Result<Item, Unlike> {
        let frame = self.frame;
        let read = self.frames.read(frame)?;
        if R::PROBES {
            let n_probed = self.process.python_state();
            let n = n_probed.load(Relaxed);
            // Not over what another thread may have found out: that they are to be refused.
            if n < PROBED_FRAMES {
                let _ = n_probed.compare_exchange(n, n + 1, Relaxed, Relaxed);
            }
        }
        self.frame = self.frames.previous(frame)?;
        if read.code == NO_CODE {
            return Ok(Item::Entry);
        }
        self.at_entry = frames::begins_call(self.frames.layout, &read);
        // Code so large that a place in it looks like the mark of native keys.
        let key = frames::key(self.frames.layout, read.code, read.instruction);
        let key = if key & NO_PLACE == NATIVE_PLACE { key | NO_PLACE } else { key };
        Ok(Item::Frame(key, read.mark))
    }

    #[cold]
    fn refuse(&self) -> u64 {
        recorder::refuse_stacks(self.process, "a frame of this CPython does not look as its release's do");
        0
    }
}
