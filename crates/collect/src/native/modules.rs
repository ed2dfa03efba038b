//! The code that one process has mapped.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use slackwater_memory::{FileId, Kind, Mapping};
use slackwater_procfs::Process;
use slackwater_remote::open_mapped;

use crate::attach::Agent;

/// Stands for the device of files in memory: no device that a mapping names is so large.
const IN_MEMORY: u64 = u64::MAX;

/// Of the agent where it cannot be opened as it is mapped: our copy stands for it.
pub(crate) const AGENT: FileId = FileId { device: IN_MEMORY, inode: 0 };

/// A mapping of a file's code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Module {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Offset of its first byte in the file.
    pub(crate) offset: u64,
    pub(crate) file: FileId,
    pub(crate) path: String,
}

impl Module {
    fn new(mapping: &Mapping, file: FileId, path: &Path) -> Self {
        Self {
            start: mapping.range.start.get(),
            end: mapping.range.end.get(),
            offset: mapping.offset,
            file,
            path: path.to_string_lossy().into_owned(),
        }
    }

    pub(crate) const fn holds(&self, pc: u64) -> bool {
        self.start <= pc && pc < self.end
    }
}

/// All code that lies in files, by address. Files in memory are among them: the agent is one where it was
/// loaded later.
pub(crate) fn of(process: &Process, mappings: &[Mapping]) -> Vec<(Module, Mapping)> {
    let code = mappings.iter().filter(|mapping| mapping.access.execute);
    code.filter_map(|mapping| {
        let module = match &mapping.kind {
            Kind::File { path, id, .. } => Module::new(mapping, *id, path),
            Kind::Shmem { name } => {
                let file = open_mapped(process, mapping).and_then(|file| file.metadata());
                let id = match file {
                    Ok(file) => FileId { device: IN_MEMORY, inode: file.ino() },
                    Err(_) if Agent::is_mapped_as(name) => AGENT,
                    Err(_) => return None,
                };
                Module::new(mapping, id, name)
            }
            _ => return None,
        };
        Some((module, mapping.clone()))
    })
    .collect()
}
