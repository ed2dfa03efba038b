//! cgroups: which ones a process is in, and what the memory controller says of one.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use crate::parse::field;
use crate::parse::mounts::{Filesystem, Mounts};

/// Most bytes that are read of one cgroup file; `memory.stat` has about 1 KiB.
const MOST_BYTES: u64 = 64 << 10;

/// Which of the kernel's two interfaces a group speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CgroupVersion {
    /// One tree per controller.
    V1,
    /// One tree for all.
    V2,
}

/// The groups of one process, from /proc/PID/cgroup.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Membership {
    /// Its group in the unified tree.
    pub unified: Option<PathBuf>,
    /// Its group in the memory controller's tree of version 1.
    pub memory: Option<PathBuf>,
}

impl Membership {
    /// Parses `id:controllers:path` lines.
    pub fn parse(text: &[u8]) -> Self {
        let mut membership = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let mut parts = line.splitn(3, |byte| *byte == b':');
            let (Some(id), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
                continue;
            };
            let path = PathBuf::from(OsStr::from_bytes(path));
            if id == b"0" && controllers.is_empty() {
                membership.unified = Some(path);
            } else if controllers.split(|byte| *byte == b',').any(|name| name == b"memory") {
                membership.memory = Some(path);
            }
        }
        membership
    }

    /// The group as systemd and the user name it: the memory controller's where there is one.
    pub fn path(&self) -> Option<&Path> {
        self.memory.as_deref().or(self.unified.as_deref())
    }
}

/// The directory of one group under the memory controller.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemoryGroup {
    /// The directory.
    pub directory: PathBuf,
    /// Which files it holds.
    pub version: CgroupVersion,
}

/// What the memory controller says of a group, bytes. `None` where the file is missing or says that
/// there is no limit.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct MemoryUsage {
    /// Charged now: what `docker stats` and the kernel's OOM killer look at, page cache included.
    pub current_bytes: Option<u64>,
    /// Highest so far.
    pub peak_bytes: Option<u64>,
    /// The limit at which processes are killed.
    pub limit_bytes: Option<u64>,
    /// The limit at which the group is throttled (version 2).
    pub high_bytes: Option<u64>,
    /// Swap charged now.
    pub swap_bytes: Option<u64>,
    /// Anonymous memory.
    pub anon_bytes: Option<u64>,
    /// Page cache, shared memory included.
    pub file_bytes: Option<u64>,
    /// Shared memory.
    pub shmem_bytes: Option<u64>,
    /// Page cache that is not used and would be dropped first.
    pub inactive_file_bytes: Option<u64>,
    /// How often a process was killed for want of memory.
    pub oom_kills: Option<u64>,
}

impl MemoryGroup {
    /// Where the group of `membership` is found through `mounts`, those of our own namespace.
    /// Version 1 is preferred: where its tree is mounted, the unified one has no memory controller.
    pub fn locate(membership: &Membership, mounts: &Mounts) -> Option<Self> {
        let find = |group: Option<&Path>, version: CgroupVersion| {
            let group = group?;
            mounts
                .iter()
                .filter(|mount| match version {
                    CgroupVersion::V1 => {
                        mount.filesystem == Filesystem::Cgroup1
                            && mount.options.split(',').any(|option| option == "memory")
                    }
                    CgroupVersion::V2 => mount.filesystem == Filesystem::Cgroup2,
                })
                .find_map(|mount| {
                    let below = group.strip_prefix(&mount.root).ok()?;
                    // A group outside our cgroup namespace is shown as `/../x` and has no file here.
                    let inside = below.components().all(|part| matches!(part, Component::Normal(_)));
                    inside.then(|| Self { directory: mount.point.join(below), version })
                })
        };
        find(membership.memory.as_deref(), CgroupVersion::V1)
            .or_else(|| find(membership.unified.as_deref(), CgroupVersion::V2))
    }

    /// What the controller says now. A missing file is a missing figure.
    ///
    /// # Errors
    /// When the group itself is gone.
    pub fn usage(&self) -> io::Result<MemoryUsage> {
        std::fs::metadata(&self.directory)?;
        let number = |name: &str| bounded(self.read(name)?.trim_ascii());
        let stat = self.read("memory.stat").unwrap_or_default();
        let of_stat = |key: &str| keyed(&stat, key);
        Ok(match self.version {
            CgroupVersion::V1 => MemoryUsage {
                current_bytes: number("memory.usage_in_bytes"),
                peak_bytes: number("memory.max_usage_in_bytes"),
                limit_bytes: number("memory.limit_in_bytes"),
                high_bytes: None,
                swap_bytes: of_stat("total_swap"),
                anon_bytes: of_stat("total_rss"),
                file_bytes: of_stat("total_cache"),
                shmem_bytes: of_stat("total_shmem"),
                inactive_file_bytes: of_stat("total_inactive_file"),
                oom_kills: self.read("memory.oom_control").and_then(|text| keyed(&text, "oom_kill")),
            },
            CgroupVersion::V2 => MemoryUsage {
                current_bytes: number("memory.current"),
                peak_bytes: number("memory.peak"),
                limit_bytes: number("memory.max"),
                high_bytes: number("memory.high"),
                swap_bytes: number("memory.swap.current"),
                anon_bytes: of_stat("anon"),
                file_bytes: of_stat("file"),
                shmem_bytes: of_stat("shmem"),
                inactive_file_bytes: of_stat("inactive_file"),
                oom_kills: self.read("memory.events").and_then(|text| keyed(&text, "oom_kill")),
            },
        })
    }

    fn read(&self, name: &str) -> Option<Vec<u8>> {
        use std::io::Read as _;
        let mut text = Vec::new();
        let file = std::fs::File::open(self.directory.join(name)).ok()?;
        file.take(MOST_BYTES).read_to_end(&mut text).ok()?;
        Some(text)
    }
}

/// A number that is not "no limit": version 2 says `max`, version 1 the largest page-aligned
/// signed number.
fn bounded(text: &[u8]) -> Option<u64> {
    field::decimal(text).filter(|bytes| *bytes < i64::MAX as u64 & !0xffff)
}

fn keyed(text: &[u8], key: &str) -> Option<u64> {
    text.split(|byte| *byte == b'\n').find_map(|line| {
        let (name, value) = field::next(line);
        (name == key.as_bytes()).then(|| field::decimal(value.trim_ascii())).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(directory: &Path, files: &[(&str, &str)]) {
        std::fs::create_dir_all(directory).unwrap();
        for (name, text) in files {
            std::fs::write(directory.join(name), text).unwrap();
        }
    }

    #[test]
    fn unified_group_below_a_mounted_subtree() {
        let tree = tempfile::tempdir().unwrap();
        write(
            &tree.path().join("web/worker"),
            &[
                ("memory.current", "1000\n"),
                ("memory.max", "max\n"),
                ("memory.high", "5000\n"),
                ("memory.peak", "2000\n"),
                ("memory.stat", "anon 600\nfile 400\nshmem 50\nanon_thp 0\ninactive_file 30\n"),
                ("memory.events", "low 0\nhigh 0\nmax 1\noom 1\noom_kill 2\n"),
            ],
        );
        let mountinfo = format!("30 29 0:26 /slice {} rw - cgroup2 c rw\n", tree.path().display());
        let mounts = Mounts::read(mountinfo.as_bytes()).unwrap();
        let membership = Membership::parse(b"0::/slice/web/worker\n");
        let group = MemoryGroup::locate(&membership, &mounts).unwrap();
        assert_eq!(group.version, CgroupVersion::V2);
        let usage = group.usage().unwrap();
        assert_eq!(
            (usage.current_bytes, usage.limit_bytes, usage.high_bytes),
            (Some(1000), None, Some(5000))
        );
        assert_eq!((usage.anon_bytes, usage.file_bytes, usage.shmem_bytes), (Some(600), Some(400), Some(50)));
        assert_eq!((usage.oom_kills, usage.peak_bytes, usage.swap_bytes), (Some(2), Some(2000), None));
    }

    #[test]
    fn version_1_is_preferred_and_its_no_limit_is_none() {
        let tree = tempfile::tempdir().unwrap();
        write(
            &tree.path().join("web"),
            &[("memory.usage_in_bytes", "7\n"), ("memory.limit_in_bytes", "9223372036854771712\n")],
        );
        let mountinfo = format!(
            "30 29 0:26 / {} rw - cgroup c rw,memory\n31 29 0:27 / /u rw - cgroup2 c rw\n",
            tree.path().display()
        );
        let mounts = Mounts::read(mountinfo.as_bytes()).unwrap();
        let membership = Membership::parse(b"9:cpu,memory:/web\n1:name=systemd:/x:y\n0::/x\n");
        assert_eq!(membership.unified, Some("/x".into()));
        let group = MemoryGroup::locate(&membership, &mounts).unwrap();
        assert_eq!(group.version, CgroupVersion::V1);
        let usage = group.usage().unwrap();
        assert_eq!((usage.current_bytes, usage.limit_bytes), (Some(7), None));
    }

    #[test]
    fn a_group_outside_our_namespace_is_not_guessed() {
        let mounts = Mounts::read(&b"30 29 0:26 / /sys/fs/cgroup rw - cgroup2 c rw\n"[..]).unwrap();
        let membership = Membership::parse(b"0::/../other\n");
        assert_eq!(MemoryGroup::locate(&membership, &mounts), None);
    }
}
