//! What is searched: the settings that decide how much memory a Python service keeps.
//!
//! Invariant: every candidate names settings that its allocator has; the likeliest come first, as a short
//! budget leaves out the last.

use slackwater_tune::Allocator;

use crate::plan::{self, Arm};

/// One candidate: settings as `--set` takes them, and what becomes of Python's pools.
type Row = (&'static [&'static str], Option<&'static str>);

const SLACKWATER: &[Row] = &[
    (&[], None),
    (&[], Some("keep")),
    (&["dirty_decay_ms=0"], None),
    (&["narenas=2"], None),
    (&["dirty_decay_ms=5000"], None),
    (&["dirty_decay_ms=5000"], Some("keep")),
    (&["narenas=4"], None),
];

const JEMALLOC: &[Row] = &[
    (&[], None),
    (&[], Some("keep")),
    (&["dirty_decay_ms=0"], None),
    (&["tcache=false"], None),
    (&["tcache=false"], Some("keep")),
    (&["narenas=2"], None),
    (&["dirty_decay_ms=5000"], None),
    (&["narenas=4", "dirty_decay_ms=5000"], Some("keep")),
    (&["tcache_max=4096"], None),
];

const GLIBC: &[Row] = &[
    (&[], None),
    (&["arena_max=1"], None),
    (&[], Some("off")),
    (&["arena_max=1", "trim_threshold=65536", "mmap_threshold=65536"], None),
    (&["arena_max=4"], None),
    (&["tcache_count=0"], None),
];

const MIMALLOC: &[Row] = &[
    (&[], None),
    (&["purge_delay=0"], None),
    (&["purge_delay=0"], Some("off")),
    (&["purge_delay=100", "arena_purge_mult=1"], Some("off")),
];

const TCMALLOC: &[Row] = &[
    (&["aggressive_decommit=1"], Some("off")),
    (&["aggressive_decommit=1"], None),
    (&["release_rate=10"], Some("off")),
    (&["max_total_thread_cache_bytes=1048576", "release_rate=10"], Some("off")),
];

/// The candidates of these allocators, the likeliest first: what each has by default, then settings, those of
/// the allocators that keep least sooner and more of them.
pub fn space(allocators: &[Allocator]) -> Vec<Arm> {
    let rows = |allocator: Allocator| match allocator {
        Allocator::Slackwater => SLACKWATER,
        Allocator::Jemalloc => JEMALLOC,
        Allocator::Glibc => GLIBC,
        Allocator::Mimalloc => MIMALLOC,
        Allocator::Tcmalloc => TCMALLOC,
    };
    // How many turns an allocator waits before it is tried with other settings.
    let wait = |allocator: Allocator| match allocator {
        Allocator::Slackwater => 1,
        Allocator::Jemalloc | Allocator::Glibc => 2,
        Allocator::Tcmalloc | Allocator::Mimalloc => 4,
    };
    let mut candidates: Vec<(usize, Arm)> = allocators
        .iter()
        .flat_map(|&allocator| {
            rows(allocator)
                .iter()
                .enumerate()
                .map(move |(idx, row)| (idx * wait(allocator), arm(allocator, row)))
        })
        .collect();
    candidates.sort_by_key(|(turn, _)| *turn);
    candidates.into_iter().map(|(_, arm)| arm).collect()
}

fn arm(allocator: Allocator, (settings, pymalloc): &Row) -> Arm {
    let mut name = vec![format!("{allocator} by run")];
    name.extend(settings.iter().map(|setting| (*setting).to_owned()));
    name.extend(pymalloc.map(|pymalloc| format!("pymalloc {pymalloc}")));
    Arm {
        name: name.join(" "),
        command: None,
        environment: Default::default(),
        allocator: Some(plan::Allocator {
            choice: allocator.key().to_owned(),
            settings: settings.iter().map(|setting| (*setting).to_owned()).collect(),
            pymalloc: pymalloc.map(str::to_owned),
            bare: false,
        }),
        is_null_of: None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use slackwater_tune::presets::Pymalloc;
    use slackwater_tune::settings;

    use super::*;

    #[test]
    fn every_candidate_is_one_of_a_kind_that_can_be_run() {
        let arms = space(Allocator::ALL);
        assert_eq!(arms.len(), 30);
        assert_eq!(arms.iter().map(|arm| &arm.name).collect::<BTreeSet<_>>().len(), arms.len());
        for arm in &arms {
            let told = arm.allocator.as_ref().expect("an allocator");
            let allocator = Allocator::ALL.iter().find(|one| one.key() == told.choice).expect("a name");
            for text in &told.settings {
                let assigned = settings::parse(*allocator, text).unwrap_or_else(|error| panic!("{error}"));
                assert_eq!(format!("{}={}", assigned.setting.key, assigned.value), *text);
            }
            if let Some(word) = &told.pymalloc {
                assert!(Pymalloc::ALL.iter().any(|one| one.key() == word), "{word}");
            }
        }
        assert!(space(&[Allocator::Glibc]).iter().all(|arm| arm.name.starts_with("glibc")));
        assert!(space(&[]).is_empty());
        // Before any settings, every allocator as it comes; then most of the likeliest.
        let allocator = |arm: &Arm| arm.allocator.as_ref().map(|one| one.choice.clone()).unwrap_or_default();
        assert_eq!(arms[..5].iter().map(allocator).collect::<BTreeSet<_>>().len(), 5);
        assert!(arms[5..11].iter().filter(|arm| allocator(arm) == "slackwater").count() >= 3);
    }
}
