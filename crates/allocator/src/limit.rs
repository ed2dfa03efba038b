//! The memory limit that is nearest, and the waiting for memory, as the kernel tells them.
//!
//! Invariant: a file that cannot be read is no limit. Files are opened for each look: the governor has a
//! table of descriptors of its own, so the program neither sees them nor can it close them.

use crate::cgroup::{Controller, Folder, Version, each_group, number};
use slackwater_control::{Limit, Policy};

/// Groups with a limit, from the process's own upwards, that are watched.
const GROUPS_MAX: usize = 4;

/// Limits beyond this are none: version 1 writes "no limit" as the largest multiple of a page.
const LIMIT_MAX_BYTES: u64 = 1 << 60;

/// The groups that are watched.
#[derive(Debug)]
pub(crate) struct Groups {
    groups: [Option<Group>; GROUPS_MAX],
}

#[derive(Debug)]
struct Group {
    version: Version,
    folder: Folder,
}

impl Groups {
    /// The process's own group, which may get a limit later, and those above that have one now.
    pub(crate) fn find() -> Self {
        let mut found = Self { groups: [const { None }; GROUPS_MAX] };
        let mut own = true;
        each_group(Controller::Memory, |version, folder| {
            let group = Group { version, folder: folder.clone() };
            let watch = if own { group.used_bytes().is_some() } else { group.limit_bytes().is_some() };
            own &= !watch;
            match found.groups.iter_mut().find(|place| place.is_none()) {
                Some(place) if watch => *place = Some(group),
                Some(_) => {}
                None => return false,
            }
            true
        });
        found
    }

    /// The limit of which the largest share is used.
    pub(crate) fn nearest(&self, policy: &Policy) -> Option<Limit> {
        let share =
            |limit: &Limit| u128::from(limit.used_bytes) * 1000 / u128::from(limit.limit_bytes.max(1));
        self.groups.iter().flatten().filter_map(|group| group.limit(policy)).max_by_key(share)
    }

    /// How long tasks of the own group have waited for memory, nanoseconds since it was made.
    pub(crate) fn stalled_ns(&self) -> Option<u64> {
        let group = self.groups.iter().flatten().find(|group| group.version == Version::Two)?;
        let mut text = [0; 256];
        stalled_ns(group.folder.open(b"memory.pressure")?.read(&mut text))
    }
}

impl Group {
    fn limit(&self, policy: &Policy) -> Option<Limit> {
        let limit_bytes = self.limit_bytes()?;
        let used_bytes = self.used_bytes()?;
        // What the kernel drops at once is no danger; how much that is costs more to ask.
        let is_near =
            u128::from(used_bytes) * 1000 >= u128::from(limit_bytes) * u128::from(policy.watch_permille);
        let droppable_bytes = if is_near { self.droppable_bytes().unwrap_or(0) } else { 0 };
        Some(Limit { used_bytes: used_bytes.saturating_sub(droppable_bytes), limit_bytes })
    }

    fn used_bytes(&self) -> Option<u64> {
        self.number(match self.version {
            Version::One => b"memory.usage_in_bytes",
            Version::Two => b"memory.current",
        })
    }

    fn limit_bytes(&self) -> Option<u64> {
        let least = match self.version {
            Version::One => self.number(b"memory.limit_in_bytes"),
            Version::Two => {
                let (max, high) = (self.number(b"memory.max"), self.number(b"memory.high"));
                max.into_iter().chain(high).min()
            }
        };
        least.filter(|&bytes| bytes < LIMIT_MAX_BYTES)
    }

    fn droppable_bytes(&self) -> Option<u64> {
        let mut text = [0; 4096];
        let key: &[u8] = match self.version {
            Version::One => b"total_inactive_file",
            Version::Two => b"inactive_file",
        };
        value_of(self.folder.open(b"memory.stat")?.read(&mut text), key)
    }

    fn number(&self, name: &[u8]) -> Option<u64> {
        let mut text = [0; 32];
        number(self.folder.open(name)?.read(&mut text))
    }
}

/// The number after `key` at the beginning of a line.
fn value_of(text: &[u8], key: &[u8]) -> Option<u64> {
    text.split(|&byte| byte == b'\n').find_map(|line| number(line.strip_prefix(key)?.strip_prefix(b" ")?))
}

/// `total=` of the line `some`, which is in microseconds.
fn stalled_ns(pressure: &[u8]) -> Option<u64> {
    let some = pressure.split(|&byte| byte == b'\n').find(|line| line.starts_with(b"some "))?;
    let total = some.split(|&byte| byte == b' ').find_map(|field| field.strip_prefix(b"total="))?;
    number(total)?.checked_mul(1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_memory_stat() {
        let text = b"cache 1\ninactive_file 4096\ntotal_inactive_file 8192\n";
        assert_eq!(value_of(text, b"inactive_file"), Some(4096));
        assert_eq!(value_of(text, b"total_inactive_file"), Some(8192));
        assert_eq!(value_of(text, b"active_file"), None);
        assert_eq!(value_of(b"inactive_file", b"inactive_file"), None);
    }

    #[test]
    fn waiting_is_in_nanoseconds() {
        let text = b"some avg10=0.00 avg60=0.00 avg300=0.00 total=1234\nfull avg10=0.00 total=7\n";
        assert_eq!(stalled_ns(text), Some(1_234_000));
        assert_eq!(stalled_ns(b"full avg10=0.00 total=7\n"), None);
        assert_eq!(stalled_ns(b""), None);
    }
}
