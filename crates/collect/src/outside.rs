//! What the kernel says of a recorded process: how much of it is resident, in what kinds of pages, and
//! which files' code it can execute.
//!
//! Invariant: only what has changed is told. What costs the process something (a walk over its pages or
//! its mappings, under its lock) is asked seldom, and never of one that is gone before long.

use std::collections::HashSet;
use std::path::Path;

use slackwater_capture::{Module, Record, ResidentBy};
use slackwater_procfs::{Named, Process, Status};

use crate::build_id;

/// How often kinds of pages are told.
const RESIDENT_BY_NS: u64 = 1_000_000_000;
/// How often a process's share is asked for: the kernel walks all its pages.
const SHARE_NS: u64 = 60_000_000_000;
/// How often its mappings are.
const MODULES_NS: u64 = 10_000_000_000;
/// Most files of one process that are told.
const MODULES_MAX: usize = 4096;

/// What was told of a process so far.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    resident_bytes: u64,
    resident_by: ResidentBy,
    resident_by_ns: u64,
    share_ns: u64,
    modules_ns: u64,
    modules: HashSet<u64>,
}

impl Outside {
    /// Tells what has changed, in records that follow one another.
    pub(crate) fn look(
        &mut self,
        process: &Process,
        status: &Status,
        now_ns: u64,
        mut tell: impl FnMut(&Record<'_>),
    ) {
        // Of one that is gone before long, kinds are never asked for.
        if self.resident_by_ns == 0 {
            self.resident_by_ns = now_ns;
        }
        let mut is_dated = false;
        let mut tell = |record: &Record<'_>| {
            if !is_dated {
                tell(&Record::At(now_ns));
                is_dated = true;
            }
            tell(record);
        };
        let resident_bytes = status.rss_bytes.unwrap_or(0);
        if resident_bytes != self.resident_bytes {
            self.resident_bytes = resident_bytes;
            tell(&Record::Resident(resident_bytes));
        }
        if is_due(&mut self.resident_by_ns, RESIDENT_BY_NS, now_ns) {
            let resident_by = self.resident_by(process, status, now_ns);
            if resident_by != self.resident_by {
                self.resident_by = resident_by;
                tell(&Record::ResidentBy(resident_by));
            }
            if is_due(&mut self.modules_ns, MODULES_NS, now_ns) {
                self.modules(process, &mut tell);
            }
        }
    }

    fn resident_by(&mut self, process: &Process, status: &Status, now_ns: u64) -> ResidentBy {
        let asked = is_due(&mut self.share_ns, SHARE_NS, now_ns).then(|| process.usage().ok()).flatten();
        ResidentBy {
            anon_bytes: status.rss_anon_bytes.unwrap_or(0),
            file_bytes: status.rss_file_bytes.unwrap_or(0),
            shmem_bytes: status.rss_shmem_bytes.unwrap_or(0),
            swap_bytes: status.swap_bytes.unwrap_or(0),
            pss_bytes: asked.map(|usage| usage.pss_bytes),
        }
    }

    fn modules(&mut self, process: &Process, tell: &mut impl FnMut(&Record<'_>)) {
        for mapping in process.maps().unwrap_or_default().iter().filter(|mapping| mapping.access.execute) {
            let (Some(path), Some(file)) = (mapping.path(), mapping.file()) else { continue };
            if self.modules.len() < MODULES_MAX && self.modules.insert(mapping.range.start.0) {
                tell(&Record::Module(Module {
                    start: mapping.range.start.0,
                    size: mapping.range.len(),
                    offset: mapping.offset,
                    build_id: build_id_of(process, path, file.inode).unwrap_or_default().into(),
                    path: path.to_string_lossy(),
                }));
            }
        }
    }
}

/// The build id of a mapped file, unless its name leads to another file by now.
fn build_id_of(process: &Process, path: &Path, inode: u64) -> Option<Vec<u8>> {
    match process.named(path) {
        Ok(Named::File(named)) if named.inode == inode => build_id::of(&named.opened?),
        _ => None,
    }
}

/// Whether it is time again; then the next time is later.
const fn is_due(last_ns: &mut u64, interval_ns: u64, now_ns: u64) -> bool {
    let is_due = now_ns.saturating_sub(*last_ns) >= interval_ns;
    if is_due {
        *last_ns = now_ns;
    }
    is_due
}
