//! Where the limits of this process's control groups are written, in either version.
//!
//! A limit may stand on the process's own group or on any above it. In a container the groups above are
//! not visible, and the path in `/proc/self/cgroup` may be the host's: then the mount's root is the own
//! group.
//!
//! Invariant: only paths are made here, on the stack; a path that would not fit is left out.

use crate::sys;
use core::ffi::CStr;

/// Longest path that is followed.
const PATH_BYTES: usize = 512;

/// A controller, and where each version keeps it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Controller {
    Memory,
    Processor,
}

/// The version in which the controller is mounted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Version {
    One,
    Two,
}

impl Controller {
    fn name(self) -> &'static [u8] {
        match self {
            Self::Memory => b"memory",
            Self::Processor => b"cpu",
        }
    }

    fn mount(self, version: Version) -> &'static [u8] {
        match (self, version) {
            (_, Version::Two) => b"/sys/fs/cgroup",
            (Self::Memory, Version::One) => b"/sys/fs/cgroup/memory",
            (Self::Processor, Version::One) => b"/sys/fs/cgroup/cpu",
        }
    }
}

/// Calls `look` for each group from the process's own upwards, with a function that makes the path of a
/// file in it, until `look` returns `false`.
pub(crate) fn each_group(controller: Controller, mut look: impl FnMut(Version, &Folder) -> bool) {
    let mut text = [0; 4096];
    let groups = sys::read_file(c"/proc/self/cgroup", &mut text);
    for version in [Version::One, Version::Two] {
        let Some(path) = path_of(groups, controller, version) else { continue };
        let mount = controller.mount(version);
        let mut path = path;
        loop {
            if let Some(folder) = Folder::new(mount, path)
                && !look(version, &folder)
            {
                return;
            }
            if path.is_empty() {
                break;
            }
            path = &path[..path.iter().rposition(|&byte| byte == b'/').unwrap_or(0)];
        }
    }
}

/// The path in the lines `ID:CONTROLLERS:PATH`; without a slash at its end, so `""` for the root.
fn path_of(groups: &[u8], controller: Controller, version: Version) -> Option<&[u8]> {
    groups.split(|&byte| byte == b'\n').find_map(|line| {
        let mut fields = line.splitn(3, |&byte| byte == b':');
        let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
        let listed = match version {
            Version::One => controllers.split(|&byte| byte == b',').any(|one| one == controller.name()),
            Version::Two => controllers.is_empty(),
        };
        listed.then(|| path.strip_suffix(b"/").unwrap_or(path))
    })
}

/// A group's folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    bytes: [u8; PATH_BYTES],
    len: usize,
}

impl Folder {
    fn new(mount: &[u8], path: &[u8]) -> Option<Self> {
        let mut folder = Self { bytes: [0; PATH_BYTES], len: 0 };
        folder.push(mount)?;
        folder.push(path)?;
        Some(folder)
    }

    fn push(&mut self, more: &[u8]) -> Option<()> {
        // One byte stays 0.
        let room = self.bytes.get_mut(self.len..PATH_BYTES - 1)?.get_mut(..more.len())?;
        room.copy_from_slice(more);
        self.len += more.len();
        Some(())
    }

    /// Opens a file of the group.
    pub(crate) fn open(&self, name: &[u8]) -> Option<sys::File> {
        let mut path = Self { bytes: self.bytes, len: self.len };
        path.push(b"/")?;
        path.push(name)?;
        sys::File::open(CStr::from_bytes_until_nul(&path.bytes).ok()?)
    }
}

/// The first number of a file's text; `None` for words such as `max`, and for `-1`.
pub(crate) fn number(text: &[u8]) -> Option<u64> {
    let digits = text.split(|byte| byte.is_ascii_whitespace()).next()?;
    core::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_both_versions() {
        let groups = b"5:cpuset:/\n4:cpu,cpuacct:/docker/ab\n2:memory:/a/b\n0::/user.slice\n";
        let check = |controller, version, expected: Option<&str>| {
            assert_eq!(path_of(groups, controller, version), expected.map(str::as_bytes), "{controller:?}");
        };
        check(Controller::Memory, Version::One, Some("/a/b"));
        check(Controller::Processor, Version::One, Some("/docker/ab"));
        check(Controller::Memory, Version::Two, Some("/user.slice"));
        assert_eq!(path_of(b"0::/\n", Controller::Memory, Version::Two), Some(&b""[..]));
        assert_eq!(path_of(b"0::/\n", Controller::Memory, Version::One), None);
    }

    #[test]
    fn numbers_and_words() {
        assert_eq!(number(b"67108864\n"), Some(67_108_864));
        assert_eq!(number(b"max 100000\n"), None);
        assert_eq!(number(b"-1\n"), None);
        assert_eq!(number(b""), None);
    }
}
