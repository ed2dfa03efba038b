//! Native stacks, from outside: the tables that agents walk by, and the names of what they found.
//!
//! ```text
//! Collector ─ Task ─▶ worker: maps ─▶ Object ─▶ compile ─▶ Region    ─▶ agents
//!                   names, lines ◀─ Symbols, Lines
//! ```
//!
//! Invariant: rings are drained while files are read; only the end of the recording waits for names.

mod compile;
mod lines;
mod modules;
mod object;
mod symbols;
mod worker;

use std::io;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use slackwater_capture::Generation;
use slackwater_unwind::Slot;

pub(crate) use worker::{Named, Task};

/// Other code may come to lie where a library was unloaded: for so long its callers may be misread.
const LOOK_NS: u64 = 2_000_000_000;

/// What a process was looked at for, and when.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Asked {
    pc: u64,
    ns: u64,
}

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

    /// Passes on what a process wants to know, and now and then has its mappings looked at unasked.
    pub(crate) fn look(&self, asked: &mut Asked, generation: Generation, slot: &Slot<'_>, now_ns: u64) {
        let pc = slot.wanted();
        let is_new = pc != 0 && pc != asked.pc;
        if is_new || now_ns.saturating_sub(asked.ns) > LOOK_NS {
            *asked = Asked { pc, ns: now_ns };
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
