//! The options of mimalloc that matter to a service. Each is an environment variable of its own, and an
//! unknown one is ignored without a word, so what came with which version is said.

use super::{Home, Kind, Setting};

const fn option(
    key: &'static str,
    variable: &'static str,
    since: Option<&'static str>,
    kind: Kind,
    about: &'static str,
) -> Setting {
    Setting { key, home: Home::Variable(variable), kind, about, since, everyday: true }
}

const COUNT: Kind = Kind::Number { least: 0, most: i64::MAX };

pub(super) const OPTIONS: &[Setting] = &[
    option(
        "purge_delay",
        "MIMALLOC_PURGE_DELAY",
        Some("2.1"),
        Kind::Milliseconds,
        "time until unused pages go back, looked at when the thread allocates; 0 at once, -1 never",
    ),
    option(
        "purge_decommits",
        "MIMALLOC_PURGE_DECOMMITS",
        Some("2.1"),
        Kind::Flag,
        "give pages back at once, or let the kernel take them",
    ),
    option(
        "reset_delay",
        "MIMALLOC_RESET_DELAY",
        None,
        Kind::Milliseconds,
        "the name of purge_delay before 2.1",
    ),
    option(
        "allow_decommit",
        "MIMALLOC_ALLOW_DECOMMIT",
        None,
        Kind::Flag,
        "purge_decommits before 2.1; later versions ignore it",
    ),
    option(
        "arena_purge_mult",
        "MIMALLOC_ARENA_PURGE_MULT",
        Some("2.1"),
        COUNT,
        "how many times longer unused arenas wait",
    ),
    option(
        "arena_reserve",
        "MIMALLOC_ARENA_RESERVE",
        Some("2.1"),
        COUNT,
        "KiB of address space for an arena",
    ),
    option("allow_large_os_pages", "MIMALLOC_ALLOW_LARGE_OS_PAGES", Some("2.1"), Kind::Flag, "huge pages"),
    option("allow_thp", "MIMALLOC_ALLOW_THP", Some("2.2"), Kind::Flag, "transparent huge pages"),
    option(
        "minimal_purge_size",
        "MIMALLOC_MINIMAL_PURGE_SIZE",
        Some("3.2"),
        COUNT,
        "KiB below which unused memory is not given back; 0 to decide by the page size",
    ),
    option("use_numa_nodes", "MIMALLOC_USE_NUMA_NODES", None, COUNT, "NUMA nodes taken to exist; 0 as found"),
    option("reserve_os_memory", "MIMALLOC_RESERVE_OS_MEMORY", None, COUNT, "KiB reserved at start"),
    option("show_errors", "MIMALLOC_SHOW_ERRORS", None, Kind::Flag, "print errors"),
    option("show_stats", "MIMALLOC_SHOW_STATS", None, Kind::Flag, "print statistics at exit"),
    option("verbose", "MIMALLOC_VERBOSE", None, Kind::Flag, "print options and events"),
];
