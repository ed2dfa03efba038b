//! SW122: the container's figure holds page cache, which the kernel gives up when it needs memory.

use slackwater_base::Class;

use super::{Facts, bytes, share};
use crate::{Code, Confidence, Finding, Kind, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let group = facts.service.cgroup.as_ref()?;
    let cache = group.file_bytes.saturating_sub(group.shmem_bytes);
    let anonymous = (group.anon_bytes + group.shmem_bytes) as f64 / group.usage_bytes.max(1) as f64;
    let own = facts.service.rss_bytes.saturating_sub(facts.class(Class::File) + facts.class(Class::Shmem));
    // The group of a whole host or of several services says nothing about this one.
    if (own as f64) < group.anon_bytes as f64 * thresholds::CACHE_OWN_SHARE {
        return None;
    }
    if cache < thresholds::CACHE_MIN_BYTES || anonymous >= thresholds::CACHE_ANON_SHARE {
        return None;
    }
    Some(Finding {
        code: Code::PageCache,
        kind: Kind::Steady,
        pid: None,
        bytes: cache,
        bytes_per_second: None,
        confidence: Confidence { value: 0.9, why: "the kernel's own figures of the group" },
        evidence: vec![
            bytes("usage_bytes", group.usage_bytes),
            bytes("anon_bytes", group.anon_bytes),
            bytes("page_cache_bytes", cache),
            share("anonymous_share", anonymous),
        ],
        advice: vec![advice::note(
            "alert on anonymous memory (anon in memory.stat), not on the group's usage: page cache is given up \
             before anything is killed",
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cgroup;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_when_the_figure_is_mostly_cache() {
        let check = |anon: u64, file: u64, shmem: u64, fires: bool| {
            let (usage_bytes, path) = (anon + file, "/x".to_owned());
            let group = Cgroup {
                path,
                usage_bytes,
                anon_bytes: anon,
                file_bytes: file,
                shmem_bytes: shmem,
                limit_bytes: None,
            };
            let scene = scene().class(Class::LiveUnsplit, anon).cgroup(group);
            assert_eq!(scene.found(find).is_some(), fires, "{anon} {file} {shmem}");
        };
        check(100 * MIB, 100 * MIB, 0, true);
        check(100 * MIB, 66 * MIB, 0, false);
        check(10 * MIB, 63 * MIB, 0, false);
        // Shared memory is counted as file, and is no cache.
        check(100 * MIB, 500 * MIB, 480 * MIB, false);
        assert!(scene().found(find).is_none());
    }

    #[test]
    fn a_group_of_others_says_nothing() {
        let check = |own: u64, fires: bool| {
            let group = Cgroup {
                usage_bytes: 600 * MIB,
                anon_bytes: 100 * MIB,
                file_bytes: 500 * MIB,
                ..Cgroup::default()
            };
            let scene = scene().class(Class::LiveUnsplit, own).class(Class::File, 90 * MIB).cgroup(group);
            assert_eq!(scene.found(find).is_some(), fires, "{own}");
        };
        check(50 * MIB, true);
        check(49 * MIB, false);
    }
}
