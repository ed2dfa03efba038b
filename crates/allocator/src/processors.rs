//! How many processors the process may really use: its affinity, and the quota of its control groups.

use crate::cgroup::{Controller, Version, each_group, number};
use crate::sys;

/// At least 1.
pub(crate) fn usable() -> u32 {
    let mut least = sys::allowed_processors();
    each_group(Controller::Processor, |version, folder| {
        let mut text = [0; 64];
        let quota = match version {
            Version::Two => folder.open(b"cpu.max").and_then(|file| quota_of(file.read(&mut text))),
            Version::One => {
                let mut read = |name| folder.open(name).and_then(|file| number(file.read(&mut text)));
                read(b"cpu.cfs_quota_us").zip(read(b"cpu.cfs_period_us"))
            }
        };
        if let Some((quota, period)) = quota
            && period > 0
        {
            least = least.min(u32::try_from(quota.div_ceil(period)).unwrap_or(u32::MAX).max(1));
        }
        true
    });
    least
}

/// `QUOTA PERIOD`, microseconds; a quota of `max` is none.
fn quota_of(text: &[u8]) -> Option<(u64, u64)> {
    let period = text.splitn(2, |&byte| byte == b' ').nth(1)?;
    number(text).zip(number(period))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_version_two() {
        assert_eq!(quota_of(b"150000 100000\n"), Some((150_000, 100_000)));
        assert_eq!(quota_of(b"max 100000\n"), None);
        assert_eq!(quota_of(b""), None);
    }
}
