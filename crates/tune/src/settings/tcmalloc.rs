//! The options of gperftools' tcmalloc that matter to a service, each an environment variable of its own.

use super::{Home, Kind, Setting};

const fn option(key: &'static str, variable: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { key, home: Home::Variable(variable), kind, about, since: None, everyday: true }
}

pub(super) const OPTIONS: &[Setting] = &[
    option(
        "release_rate",
        "TCMALLOC_RELEASE_RATE",
        Kind::Decimal { most: 10.0 },
        "how eagerly freed pages go back while the program frees; 0 never, 10 most",
    ),
    option(
        "aggressive_decommit",
        "TCMALLOC_AGGRESSIVE_DECOMMIT",
        Kind::Flag,
        "give pages back as soon as they are free",
    ),
    option(
        "max_total_thread_cache_bytes",
        "TCMALLOC_MAX_TOTAL_THREAD_CACHE_BYTES",
        Kind::Size { most: u64::MAX },
        "most bytes in all thread caches together",
    ),
    option(
        "heap_limit_mb",
        "TCMALLOC_HEAP_LIMIT_MB",
        Kind::Number { least: 0, most: i64::MAX },
        "MiB beyond which freed pages go back first, then malloc fails; 0 for no limit",
    ),
    option("disable_memory_release", "TCMALLOC_DISABLE_MEMORY_RELEASE", Kind::Flag, "never give pages back"),
    option("skip_mmap", "TCMALLOC_SKIP_MMAP", Kind::Flag, "use sbrk only"),
    option("skip_sbrk", "TCMALLOC_SKIP_SBRK", Kind::Flag, "use mmap only"),
    option(
        "transfer_num_obj",
        "TCMALLOC_TRANSFER_NUM_OBJ",
        Kind::Number { least: 2, most: 1024 },
        "blocks moved at once between caches",
    ),
    option(
        "large_alloc_report_threshold",
        "TCMALLOC_LARGE_ALLOC_REPORT_THRESHOLD",
        Kind::Size { most: u64::MAX },
        "print a stack for each block from this size on; 0 never",
    ),
];
