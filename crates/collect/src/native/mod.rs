//! Native stacks, from outside: the tables that agents walk by, and the names of what they found.
//!
//! ```text
//! Collector ─ Task ─▶ worker: maps ─▶ Object ─▶ compile ─▶ Region    ─▶ agents
//!                             names ◀─ Symbols ◀┘
//! ```
//!
//! Invariant: rings are drained while files are read; only the end of the recording waits for names.

mod compile;
mod modules;
mod object;
mod symbols;
mod worker;

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use slackwater_capture::Generation;
use slackwater_unwind::Region;

pub(crate) use worker::{Named, Task};

/// The thread that reads files, as the collector sees it. It ends with this value.
#[derive(Debug)]
pub(crate) struct Native {
    tasks: Sender<Task>,
    names: Receiver<Named>,
}

impl Native {
    /// Starts the thread.
    pub(crate) fn start() -> io::Result<Self> {
        let (tasks, to_do) = mpsc::channel();
        let (done, names) = mpsc::channel();
        thread::Builder::new().name("native".to_owned()).spawn(move || worker::work(&to_do, &done))?;
        Ok(Self { tasks, names })
    }

    /// Passes on what a process wants to know; what it wanted last is in `asked`.
    pub(crate) fn look(&self, generation: Generation, region: &Region<'_>, ring: usize, asked: &mut u64) {
        let Some(slot) = region.slot(ring) else { return };
        let pc = slot.wanted();
        if pc != 0 && pc != *asked {
            *asked = pc;
            self.ask(Task::Want { generation, pc });
        }
    }

    /// The names that were found since.
    pub(crate) fn found(&self) -> Vec<Named> {
        self.names.try_iter().collect()
    }

    /// Waits for all names that are still to come.
    pub(crate) fn finish(self) -> Vec<Named> {
        drop(self.tasks);
        self.names.into_iter().collect()
    }

    /// Has something done. Names may come when their process is long gone.
    pub(crate) fn ask(&self, task: Task) {
        // An error means that the thread is gone: then nothing more will be found.
        let _ = self.tasks.send(task);
    }
}
