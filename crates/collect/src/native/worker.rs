//! The thread that reads files: it makes the tables that agents walk by, and finds the names of what they
//! found.
//!
//! Invariant: one thing after the other, in the order in which it was asked for; whatever is asked for is
//! answered, if only by saying that nothing is known.

use std::collections::HashMap;
use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use slackwater_base::Pid;
use slackwater_capture::{Generation, NativeCode, Record};
use slackwater_memory::FileId;
use slackwater_procfs::{Process, Root};
use slackwater_remote::open_mapped;
use slackwater_unwind::{List, Region, Slot, TableAt};

use super::compile::Table;
use super::modules::{self, Module};
use super::object::{Object, Place};
use crate::memory::SharedMemory;

/// What is to be done.
#[derive(Debug)]
pub(crate) enum Task {
    /// A process has taken the ring of this number.
    Meet {
        generation: Generation,
        parent: Option<Generation>,
        /// Its pid as we know it.
        pid: u32,
        /// And as it knows it itself.
        inside: u32,
        memory: Arc<SharedMemory>,
        ring: usize,
    },
    /// It wants to know about this code.
    Want { generation: Generation, pc: u64 },
    /// It calls this code by this number.
    Name { generation: Generation, id: u32, pc: u64 },
    /// It is gone.
    Leave { generation: Generation },
    /// This is the agent that processes load while they run.
    Agent(File),
}

/// The name of native code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Named {
    pub(crate) generation: Generation,
    pub(crate) id: u32,
    /// Its place in the file.
    pub(crate) offset: u64,
    pub(crate) place: Place,
    pub(crate) module: String,
    pub(crate) build_id: Vec<u8>,
}

impl Named {
    /// As the capture has it.
    pub(crate) fn record(&self) -> Record<'_> {
        Record::Native(NativeCode {
            id: self.id,
            function: self.place.function.as_str().into(),
            file: self.place.file.as_str().into(),
            line: self.place.line,
            module: self.module.as_str().into(),
            build_id: self.build_id.as_slice().into(),
            offset: self.offset,
        })
    }
}

/// Does what comes, until nobody asks any more.
pub(crate) fn work(tasks: &Receiver<Task>, names: &Sender<Named>) {
    let mut worker = Worker::default();
    for task in tasks {
        match task {
            Task::Meet { generation, parent, pid, inside, memory, ring } => {
                let (process, modules, list) = (None, Vec::new(), List(0));
                let mapped = Mapped { inside, process, memory, ring, modules, list };
                worker.meet(generation, parent, pid, mapped);
            }
            Task::Want { generation, pc } => worker.answer(generation, pc),
            Task::Name { generation, id, pc } => {
                if names.send(worker.name(generation, id, pc)).is_err() {
                    return;
                }
            }
            Task::Leave { generation } => worker.leave(generation),
            Task::Agent(file) => worker.agent = Some(file),
        }
    }
}

#[derive(Default)]
struct Worker {
    objects: HashMap<FileId, Option<Object>>,
    /// The rules of each file, as they are published.
    tables: HashMap<FileId, Option<Table>>,
    shelves: Vec<Shelf>,
    processes: HashMap<Generation, Mapped>,
    agent: Option<File>,
}

/// What lies in the memory of one session.
struct Shelf {
    memory: Arc<SharedMemory>,
    /// Words that are used.
    used: usize,
    placed: HashMap<FileId, Option<TableAt>>,
}

/// One process.
struct Mapped {
    /// Its pid as it knows it.
    inside: u32,
    process: Option<Process>,
    memory: Arc<SharedMemory>,
    ring: usize,
    modules: Vec<Module>,
    list: List,
}

impl Worker {
    fn meet(&mut self, generation: Generation, parent: Option<Generation>, pid: u32, mut mapped: Mapped) {
        mapped.process = i32::try_from(pid).ok().and_then(|pid| Root::host().process(Pid(pid)).ok());
        // What was forked has the same code at the same places, until it says otherwise.
        let parent = parent.and_then(|parent| self.processes.get(&parent));
        if let Some(parent) = parent.filter(|parent| Arc::ptr_eq(&parent.memory, &mapped.memory)) {
            mapped.modules.clone_from(&parent.modules);
            mapped.list = parent.list;
        }
        mapped.with_slot(|slot| slot.publish(mapped.inside, mapped.list));
        if !self.shelves.iter().any(|shelf| Arc::ptr_eq(&shelf.memory, &mapped.memory)) {
            self.shelves.push(Shelf::new(&mapped.memory));
        }
        let is_known = !mapped.modules.is_empty();
        self.processes.insert(generation, mapped);
        if !is_known {
            self.survey(generation, 0);
        }
    }

    /// Finds out about the code at `pc`, as far as that is possible.
    fn answer(&mut self, generation: Generation, pc: u64) {
        self.survey(generation, pc);
        if let Some(mapped) = self.processes.get(&generation) {
            mapped.with_slot(|slot| slot.answer(pc));
        }
    }

    /// Reads what a process has mapped; if that has changed, makes a new list, and the tables that it lacks:
    /// first that of the code at `wanted`.
    fn survey(&mut self, generation: Generation, wanted: u64) {
        let Some(mapped) = self.processes.get_mut(&generation) else { return };
        let Some(process) = &mapped.process else { return };
        let Ok(mappings) = process.maps() else { return };
        let found = modules::of(process, &mappings);
        if found.iter().map(|(module, _)| module).eq(&mapped.modules) {
            return;
        }
        for (module, mapping) in &found {
            let file = || match module.file {
                modules::AGENT => self.agent.as_ref()?.try_clone().ok(),
                _ => open_mapped(process, mapping).ok(),
            };
            self.objects.entry(module.file).or_insert_with(|| file().and_then(Object::open));
        }
        mapped.modules = found.into_iter().map(|(module, _)| module).collect();
        let shelf = self.shelves.iter_mut().find(|shelf| Arc::ptr_eq(&shelf.memory, &mapped.memory));
        let Some(shelf) = shelf else { return };
        let Some(list) = shelf.list(&mapped.modules, &self.objects) else { return };
        mapped.list = list;
        mapped.with_slot(|slot| slot.publish(mapped.inside, list));
        let mut order: Vec<usize> = (0..mapped.modules.len()).collect();
        order.sort_by_key(|&idx| !mapped.modules[idx].holds(wanted));
        for idx in order {
            let file = mapped.modules[idx].file;
            let object = self.objects.get(&file).and_then(Option::as_ref);
            let table = self.tables.entry(file).or_insert_with(|| object?.table());
            shelf.settle(list, idx, file, table.as_ref());
        }
    }

    fn leave(&mut self, generation: Generation) {
        let Some(mapped) = self.processes.remove(&generation) else { return };
        mapped.with_slot(|slot| slot.clear());
        // A session that is not the only one is that of a process which was attached to, and its children.
        let is_used = self.processes.values().any(|other| Arc::ptr_eq(&other.memory, &mapped.memory));
        if !is_used {
            self.shelves.retain(|shelf| !Arc::ptr_eq(&shelf.memory, &mapped.memory));
        }
    }

    fn name(&mut self, generation: Generation, id: u32, pc: u64) -> Named {
        let modules = self.processes.get(&generation).map_or(&[][..], |mapped| &mapped.modules);
        let after = modules.partition_point(|module| module.start <= pc);
        let module = modules[..after].last().filter(|module| pc < module.end);
        let mut named = Named {
            generation,
            id,
            offset: pc,
            place: Place::default(),
            module: String::new(),
            build_id: Vec::new(),
        };
        let Some(module) = module else { return named };
        named.module.clone_from(&module.path);
        if let Some(object) = self.objects.get_mut(&module.file).and_then(Option::as_mut)
            && let Some(bias) = object.bias(module.start, module.offset)
        {
            named.offset = pc.wrapping_sub(bias);
            named.place = object.place(named.offset);
            named.build_id.clone_from(&object.build_id);
        }
        named
    }
}

impl Mapped {
    fn with_slot(&self, with: impl FnOnce(Slot<'_>)) {
        if let Ok(session) = self.memory.session()
            && let Some(slot) = Region::new(session.native()).slot(self.ring)
        {
            with(slot);
        }
    }
}

impl Shelf {
    fn new(memory: &Arc<SharedMemory>) -> Self {
        let n_slots = memory.session().map_or(0, |session| session.settings().n_rings);
        Self { memory: Arc::clone(memory), used: Region::first_free(n_slots), placed: HashMap::new() }
    }

    /// A new list, in which tables that are there already are known; `None` when there is no room.
    fn list(&mut self, modules: &[Module], objects: &HashMap<FileId, Option<Object>>) -> Option<List> {
        let entry = |module: &Module| {
            let object = objects.get(&module.file).and_then(Option::as_ref);
            let base = object
                .and_then(|object| Some(object.bias(module.start, module.offset)?.wrapping_add(object.base)));
            Region::entry(module.start, module.end, base.unwrap_or(0))
        };
        let entries: Vec<u64> = modules.iter().flat_map(entry).collect();
        let list = List::at(self.used, modules.len());
        self.put(entries)?;
        let session = self.memory.session().ok()?;
        let region = Region::new(session.native());
        for (idx, module) in modules.iter().enumerate() {
            if let Some(&table) = self.placed.get(&module.file) {
                region.settle(list, idx, table);
            }
        }
        Some(list)
    }

    /// Makes the table of a module known, which is put down if it is not there yet.
    fn settle(&mut self, list: List, idx: usize, file: FileId, table: Option<&Table>) {
        let at = match self.placed.get(&file) {
            Some(&at) => at,
            None => table.and_then(|table| self.place(table)),
        };
        self.placed.insert(file, at);
        if let Ok(session) = self.memory.session() {
            Region::new(session.native()).settle(list, idx, at);
        }
    }

    fn place(&mut self, table: &Table) -> Option<TableAt> {
        let first = u32::try_from(self.used).ok()?;
        let at = TableAt { first, n_rows: u32::try_from(table.rows.len()).ok()? };
        let rules = table.rules.iter().flat_map(|rule| rule.encode());
        self.put(table.rows.iter().copied().chain(rules).collect())?;
        Some(at)
    }

    fn put(&mut self, words: Vec<u64>) -> Option<()> {
        let n_words = words.len();
        let session = self.memory.session().ok()?;
        Region::new(session.native()).write(self.used, words.into_iter()).then(|| self.used += n_words)
    }
}
