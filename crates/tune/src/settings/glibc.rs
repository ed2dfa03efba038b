//! The tunables of glibc's malloc. The older variables are read by every release, so they are used
//! where there is one; the others are keys of `GLIBC_TUNABLES`, which 2.26 brought.

use super::{Home, Kind, Setting};

const fn tunable(
    key: &'static str,
    variable: Option<&'static str>,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting { key, home: Home::Tunable { variable }, kind, about, since: None, everyday: variable.is_some() }
}

const SIZE: Kind = Kind::Size { most: u64::MAX };
const COUNT: Kind = Kind::Number { least: 0, most: i32::MAX as i64 };
/// Half a heap: `mallopt` refuses more.
const HALF_A_HEAP: Kind = Kind::Size { most: 32 << 20 };

/// By the name that `GLIBC_TUNABLES` has for them, without `glibc.malloc.`.
pub(super) const TUNABLES: &[Setting] = &[
    tunable(
        "arena_max",
        Some("MALLOC_ARENA_MAX"),
        Kind::Number { least: 1, most: i64::MAX },
        "most arenas; without it eight for each processor",
    ),
    tunable(
        "trim_threshold",
        Some("MALLOC_TRIM_THRESHOLD_"),
        SIZE,
        "free bytes at the end of an arena from which they are given back; setting it stops glibc from raising it",
    ),
    tunable(
        "mmap_threshold",
        Some("MALLOC_MMAP_THRESHOLD_"),
        HALF_A_HEAP,
        "blocks from this size on are mapped alone and go back when freed; setting it stops glibc from raising it",
    ),
    tunable("top_pad", Some("MALLOC_TOP_PAD_"), SIZE, "bytes asked for beyond what is needed"),
    tunable("mmap_max", Some("MALLOC_MMAP_MAX_"), COUNT, "most blocks that are mapped alone"),
    tunable(
        "arena_test",
        Some("MALLOC_ARENA_TEST"),
        Kind::Number { least: 1, most: i64::MAX },
        "arenas before the processors are counted",
    ),
    tunable(
        "perturb",
        Some("MALLOC_PERTURB_"),
        Kind::Number { least: 0, most: 255 },
        "fill freed blocks, for debugging",
    ),
    tunable(
        "check",
        Some("MALLOC_CHECK_"),
        Kind::Number { least: 0, most: 3 },
        "check blocks, for debugging; from 2.34 on only with libc_malloc_debug.so preloaded",
    ),
    Setting { since: Some("2.26"), ..tunable("tcache_max", None, SIZE, "largest block that threads cache") },
    Setting {
        since: Some("2.26"),
        ..tunable(
            "tcache_count",
            None,
            Kind::Number { least: 0, most: 65535 },
            "cached blocks of each size; 0 for no caches",
        )
    },
    Setting {
        since: Some("2.26"),
        ..tunable("tcache_unsorted_limit", None, SIZE, "freed blocks looked at to fill a cache")
    },
    Setting {
        since: Some("2.30"),
        ..tunable(
            "mxfast",
            None,
            Kind::Size { most: 160 },
            "largest block in fast bins, which are never merged; 0 for none",
        )
    },
    Setting {
        since: Some("2.35"),
        ..tunable("hugetlb", None, SIZE, "0 none, 1 transparent huge pages, 2 or a size: reserved ones")
    },
];
