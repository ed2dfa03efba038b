//! The variables of a process's environment that speak to allocators.
//!
//! They are read where the kernel put them at the start. A program that writes a title over them
//! (setproctitle) keeps copies, which the C library's `environ` still points to.

use slackwater_base::Addr;
use slackwater_memory::{FileId, Memory, MemoryError, MemoryExt};
use slackwater_procfs::{ProcError, Process};

use super::Sight;

/// Beginnings of the names of variables that are looked at; all others stay unread.
const PREFIXES: [&str; 9] = [
    "LD_PRELOAD",
    "MALLOC_",
    "_RJEM_MALLOC_CONF",
    "JE_MALLOC_CONF",
    "GLIBC_TUNABLES",
    "MIMALLOC_",
    "TCMALLOC_",
    "PYTHONMALLOC",
    "SLACKWATER_",
];

/// Most variables that are followed from `environ`.
const MOST_VARIABLES: usize = 4096;
/// Longest variable that is read from memory.
const LONGEST: usize = 4096;

/// The variables that speak to allocators, in order.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Environment {
    /// Name and value.
    pub variables: Vec<(String, String)>,
    /// Whether they could be seen: then one that is not there was not set.
    pub visible: bool,
}

impl Environment {
    /// The environment of a process; what its program's copies say where the original is gone.
    ///
    /// # Errors
    /// When the kernel does not let us read it.
    pub(crate) fn read(process: &Process, sight: Sight<'_>, order: &[FileId]) -> Result<Self, ProcError> {
        let pairs = process.environment_like(&PREFIXES)?;
        Ok(match pairs {
            Some(pairs) => {
                let text = |value: std::ffi::OsString| value.to_string_lossy().into_owned();
                let variables = pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect();
                Self { variables, visible: true }
            }
            None => Self::from_memory(sight, order).unwrap_or_default(),
        })
    }

    /// The value of the variable `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// By the first `environ` in the loader's order, which is the one in use.
    fn from_memory(sight: Sight<'_>, order: &[FileId]) -> Option<Self> {
        let at = order.iter().find_map(|&file| sight.bindings.offered(file, "environ"))?;
        let array = sight.memory.read_addr(at.start).ok()?;
        let mut variables = Vec::new();
        for index in 0..MOST_VARIABLES as u64 {
            let entry = sight.memory.read_addr(array.checked_add(index * 8)?).ok()?;
            if entry.is_null() {
                return Some(Self { variables, visible: true });
            }
            variables.extend(variable(sight.memory, entry));
        }
        None
    }
}

/// The variable at `addr`, if it is one of those that are looked at.
fn variable(memory: &dyn Memory, addr: Addr) -> Option<(String, String)> {
    let longest_prefix = PREFIXES.iter().map(|prefix| prefix.len()).max().unwrap_or_default();
    let begins = |bytes: &[u8]| PREFIXES.iter().any(|prefix| bytes.starts_with(prefix.as_bytes()));
    // First only as much as tells whether it is any business of ours.
    let start = text_at(memory, addr, longest_prefix).ok()?;
    let entry = begins(&start).then(|| text_at(memory, addr, LONGEST).ok()).flatten()?;
    let entry = String::from_utf8_lossy(&entry).into_owned();
    entry.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()))
}

/// The bytes at `addr` up to a NUL, at most `most`.
pub(super) fn text_at(memory: &dyn Memory, addr: Addr, most: usize) -> Result<Vec<u8>, MemoryError> {
    const STEP: usize = 64;
    let mut text = Vec::new();
    while text.len() < most {
        let at = addr.checked_add(text.len() as u64).ok_or(MemoryError::Unmapped(addr))?;
        // Never over the end of a page: the next one may not be there.
        let room = STEP.min((at.align_down(STEP as u64) + STEP as u64).offset_from(at) as usize);
        let mut bytes = vec![0; room.min(most - text.len())];
        memory.read(at, &mut bytes)?;
        if let Some(end) = bytes.iter().position(|byte| *byte == 0) {
            text.extend(&bytes[..end]);
            return Ok(text);
        }
        text.extend(bytes);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use slackwater_base::Range;
    use slackwater_memory::{Image, Kind};

    use super::*;

    #[test]
    fn copies_are_read_by_name_and_no_others() {
        const DATA: u64 = 0x10000;
        let mut bytes = vec![0_u8; 4096];
        let texts = ["SECRET=hunter2", "MALLOC_CONF=narenas:1", "LD_PRELOAD=/x.so", "MALLOC_CONF_NO_VALUE"];
        let mut at = 256;
        for (index, text) in texts.iter().enumerate() {
            bytes[8 + index * 8..16 + index * 8].copy_from_slice(&(DATA + at as u64).to_le_bytes());
            bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
            at += text.len() + 1;
        }
        // `environ` itself comes first, then the array that it points to.
        bytes[..8].copy_from_slice(&(DATA + 8).to_le_bytes());
        let file = FileId { device: 1, inode: 7 };
        let kind = Kind::File { path: "/lib/libc.so.6".into(), id: file, deleted: false };
        let mut image = Image::new().map(Addr(DATA), bytes, kind);
        image.define(file, "environ", Range::sized(Addr(DATA), 8));
        let sight = Sight { memory: &image, symbols: &image, bindings: &image };
        let environment = Environment::from_memory(sight, &[file]).unwrap();
        assert_eq!(environment.variables.len(), 2, "{environment:?}");
        assert_eq!(environment.get("MALLOC_CONF"), Some("narenas:1"));
        assert_eq!(environment.get("LD_PRELOAD"), Some("/x.so"));
        assert_eq!(Environment::from_memory(sight, &[]), None);
    }
}
