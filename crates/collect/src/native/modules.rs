//! The code that one process has mapped.

use slackwater_memory::{FileId, Kind, Mapping};

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
    pub(crate) const fn holds(&self, pc: u64) -> bool {
        self.start <= pc && pc < self.end
    }
}

/// All code that lies in files, by address.
pub(crate) fn of(mappings: &[Mapping]) -> Vec<(Module, Mapping)> {
    let code = mappings.iter().filter(|mapping| mapping.access.execute);
    code.filter_map(|mapping| {
        let Kind::File { path, id, .. } = &mapping.kind else { return None };
        let module = Module {
            start: mapping.range.start.get(),
            end: mapping.range.end.get(),
            offset: mapping.offset,
            file: *id,
            path: path.to_string_lossy().into_owned(),
        };
        Some((module, mapping.clone()))
    })
    .collect()
}
