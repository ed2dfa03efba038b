//! The memory cgroup that a service is counted and limited by.

use slackwater_procfs::{Process, Root};

use crate::Cgroup;

impl Cgroup {
    /// The figures of the group that `process` is in, as far as we can see it.
    pub fn of(process: &Process, root: &Root) -> Option<Self> {
        let path = process.cgroups().ok()?.path()?.to_string_lossy().into_owned();
        let usage = process.memory_group(root).ok()??.usage().ok()?;
        Some(Self {
            path,
            usage_bytes: usage.current_bytes?,
            limit_bytes: usage.limit_bytes,
            anon_bytes: usage.anon_bytes.unwrap_or_default(),
            file_bytes: usage.file_bytes.unwrap_or_default(),
            shmem_bytes: usage.shmem_bytes.unwrap_or_default(),
        })
    }
}
