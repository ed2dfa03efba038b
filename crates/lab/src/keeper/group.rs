//! A control group of its own for a service: a limit on its memory, and the kernel's own count.
//!
//! Invariant: nothing but the new group is written to, save that its parent may be told to hand the memory
//! controller down (version 2), which changes no limit.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use slackwater_base::Pid;
use slackwater_procfs::{CgroupVersion, MemoryGroup, ProcError, Root};

/// Why there is no group.
#[derive(Debug, thiserror::Error)]
pub(super) enum GroupError {
    /// It is not known in which group we are.
    #[error("cannot tell in which control group this process is")]
    Own(#[source] ProcError),
    /// The controller is not mounted, or not visible here.
    #[error("no control group with the memory controller is visible here")]
    NoController,
    /// A directory or file of it cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The directories in which one could be made do not have the controller.
    #[error("the memory controller is not handed down to {} nor beside it", directory.display())]
    NotDelegated {
        /// Where it was tried.
        directory: PathBuf,
    },
}

/// A group that exists for one service.
#[derive(Debug)]
pub(super) struct Group {
    memory: MemoryGroup,
}

impl Group {
    /// Makes a group called `name` with a limit, below the one that this process is in, or beside it.
    pub(super) fn create(root: &Root, name: &str, limit_bytes: u64) -> Result<Self, GroupError> {
        let own = root.process(Pid(std::process::id() as i32)).map_err(GroupError::Own)?;
        let own = own.memory_group(root).map_err(GroupError::Own)?.ok_or(GroupError::NoController)?;
        Self::create_near(&own, name, limit_bytes)
    }

    fn create_near(own: &MemoryGroup, name: &str, limit_bytes: u64) -> Result<Self, GroupError> {
        let (parent, file) = match own.version {
            CgroupVersion::V1 => (own.directory.clone(), "memory.limit_in_bytes"),
            CgroupVersion::V2 => (parent_in_version_2(&own.directory)?, "memory.max"),
        };
        let directory = parent.join(name);
        let write_error = |path: &Path, source| GroupError::Write { path: path.to_owned(), source };
        fs::create_dir(&directory).map_err(|source| write_error(&directory, source))?;
        let group = Self { memory: MemoryGroup { directory, version: own.version } };
        let path = group.memory.directory.join(file);
        fs::write(&path, limit_bytes.to_string()).map_err(|source| {
            group.remove();
            write_error(&path, source)
        })?;
        Ok(group)
    }

    pub(super) fn directory(&self) -> &Path {
        &self.memory.directory
    }

    /// The file that takes the pid of a process that joins.
    pub(super) fn members(&self) -> PathBuf {
        self.memory.directory.join("cgroup.procs")
    }

    /// The highest count and the number of processes killed by the limit.
    pub(super) fn counted(&self) -> (Option<u64>, Option<u64>) {
        self.memory.usage().map(|usage| (usage.peak_bytes, usage.oom_kills)).unwrap_or_default()
    }

    /// How often memory was asked for beyond the limit, and had to be found elsewhere.
    pub(super) fn n_limit_hits(&self) -> Option<u64> {
        let read = |name| fs::read_to_string(self.memory.directory.join(name)).ok();
        match self.memory.version {
            CgroupVersion::V1 => read("memory.failcnt")?.trim().parse().ok(),
            CgroupVersion::V2 => {
                read("memory.events")?.lines().find_map(|line| line.strip_prefix("max "))?.parse().ok()
            }
        }
    }

    /// Removes it: whether it is gone.
    pub(super) fn remove(&self) -> bool {
        remove(&self.memory.directory)
    }
}

/// Removes a group's directory. The kernel lets go of members a moment after they have ended.
pub(super) fn remove(directory: &Path) -> bool {
    for _ in 0..250 {
        match fs::remove_dir(directory) {
            Ok(()) => return true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return true,
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
    false
}

/// Where a group with the memory controller can be made. A group that has processes cannot hand controllers
/// down (save the root), so beside our own is the usual place.
fn parent_in_version_2(own: &Path) -> Result<PathBuf, GroupError> {
    let hands_down = |directory: &Path| {
        let file = fs::read_to_string(directory.join("cgroup.subtree_control"));
        file.is_ok_and(|words| words.split_whitespace().any(|word| word == "memory"))
    };
    let beside = own.parent().filter(|parent| hands_down(parent));
    if hands_down(own) {
        return Ok(own.to_owned());
    }
    if let Some(beside) = beside {
        return Ok(beside.to_owned());
    }
    let control = own.join("cgroup.subtree_control");
    let has_controller = fs::read_to_string(own.join("cgroup.controllers"))
        .is_ok_and(|words| words.split_whitespace().any(|word| word == "memory"));
    if has_controller && fs::write(&control, "+memory").is_ok() {
        return Ok(own.to_owned());
    }
    Err(GroupError::NotDelegated { directory: own.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(tree: &Path, name: &str, files: &[(&str, &str)]) -> PathBuf {
        let directory = tree.join(name);
        fs::create_dir_all(&directory).unwrap();
        for (name, text) in files {
            fs::write(directory.join(name), text).unwrap();
        }
        directory
    }

    fn create(own: &Path, version: CgroupVersion) -> Result<PathBuf, GroupError> {
        let own = MemoryGroup { directory: own.to_owned(), version };
        Group::create_near(&own, "service", 1 << 30).map(|group| group.directory().to_owned())
    }

    #[test]
    fn version_1_below_our_own() {
        let tree = tempfile::tempdir().unwrap();
        let made = create(tree.path(), CgroupVersion::V1).unwrap();
        assert_eq!(made, tree.path().join("service"));
        assert_eq!(fs::read_to_string(made.join("memory.limit_in_bytes")).unwrap(), "1073741824");
    }

    #[test]
    fn version_2_beside_our_own_where_its_parent_hands_the_controller_down() {
        let tree = tempfile::tempdir().unwrap();
        let slice = directory(tree.path(), "slice", &[("cgroup.subtree_control", "cpu memory pids\n")]);
        let own = directory(&slice, "own", &[("cgroup.subtree_control", "\n")]);
        let made = create(&own, CgroupVersion::V2).unwrap();
        assert_eq!(made, slice.join("service"));
        assert_eq!(fs::read_to_string(made.join("memory.max")).unwrap(), "1073741824");
    }

    #[test]
    fn version_2_below_our_own_where_that_hands_the_controller_down_or_can() {
        let tree = tempfile::tempdir().unwrap();
        let own = directory(tree.path(), "own", &[("cgroup.subtree_control", "memory\n")]);
        assert_eq!(create(&own, CgroupVersion::V2).unwrap(), own.join("service"));
        let files = [("cgroup.subtree_control", "\n"), ("cgroup.controllers", "cpu memory\n")];
        let root = directory(tree.path(), "root", &files);
        assert_eq!(create(&root, CgroupVersion::V2).unwrap(), root.join("service"));
        assert_eq!(fs::read_to_string(root.join("cgroup.subtree_control")).unwrap(), "+memory");
    }

    #[test]
    fn version_2_without_the_controller_is_refused_before_anything_is_made() {
        let tree = tempfile::tempdir().unwrap();
        let files = [("cgroup.subtree_control", "\n"), ("cgroup.controllers", "cpu\n")];
        let own = directory(tree.path(), "own", &files);
        assert!(matches!(create(&own, CgroupVersion::V2), Err(GroupError::NotDelegated { .. })));
        assert!(!own.join("service").exists());
    }
}
