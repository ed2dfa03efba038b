//! The options of jemalloc 5.3.1, as its `conf.c` reads them, and where 5.3.0 differs.

use super::{Home, Kind, Setting};

const fn option(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { key, home: Home::Conf, kind, about, since: None, everyday: false }
}

const fn everyday(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { everyday: true, ..option(key, kind, about) }
}

/// An option that jemalloc 5.3.0, which most distributions ship, refuses.
const fn new(key: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { since: Some("5.3.1"), ..option(key, kind, about) }
}

const fn from(least: i64) -> Kind {
    Kind::Number { least, most: i64::MAX }
}

const fn range(least: i64, most: i64) -> Kind {
    Kind::Number { least, most }
}

const SIZE: Kind = Kind::Size { most: u64::MAX };

/// jemalloc's largest size class with 64-bit addresses and 4 KiB pages.
const LARGEST_CLASS: Kind = Kind::Size { most: 0x7000_0000_0000_0000 };

const STATISTICS: Kind = Kind::Text("letters of malloc_stats_print: J g m d a b l x e h");

const RANGES: Kind = Kind::Text("ranges of sizes as in 1-160:16|129-512:4");

/// Options of every build.
pub(super) const OPTIONS: &[Setting] = &[
    everyday("narenas", Kind::NumberOr(&["default"]), "arenas; fewer keep less, more contend less"),
    everyday(
        "dirty_decay_ms",
        Kind::Milliseconds,
        "time until unused pages go back to the kernel; 0 at once",
    ),
    everyday(
        "muzzy_decay_ms",
        Kind::Milliseconds,
        "time in which the kernel may take unused pages but RSS still counts them; 0 skips that",
    ),
    everyday(
        "background_thread",
        Kind::Switch,
        "threads that give memory back also while the process is idle; a fork loses them",
    ),
    everyday("max_background_threads", from(1), "most threads that give memory back"),
    everyday("tcache", Kind::Switch, "caches of each thread; without them every call takes a lock"),
    everyday("tcache_max", Kind::Size { most: 8 << 20 }, "largest block that threads cache"),
    everyday(
        "oversize_threshold",
        LARGEST_CLASS,
        "blocks from this size on have an arena of their own, which gives back at once; 0 for none",
    ),
    everyday("thp", Kind::OneOf(&["default", "always", "never"]), "transparent huge pages"),
    everyday(
        "metadata_thp",
        Kind::OneOf(&["disabled", "auto", "always"]),
        "huge pages for jemalloc's own books",
    ),
    everyday("retain", Kind::Switch, "keep address space for later instead of unmapping it"),
    everyday("percpu_arena", Kind::OneOf(&["disabled", "percpu", "phycpu"]), "an arena for each processor"),
    everyday("stats_print", Kind::Switch, "print statistics at exit"),
    everyday("confirm_conf", Kind::Switch, "print every option at start"),
    everyday("abort_conf", Kind::Switch, "refuse to start when an option is wrong"),
    option("abort", Kind::Switch, "abort on most warnings"),
    new("cache_oblivious", Kind::Switch, "spread large blocks over cache lines, a page each"),
    option("trust_madvise", Kind::Switch, "believe that MADV_DONTNEED zeroes pages"),
    option("dss", Kind::OneOf(&["disabled", "primary", "secondary"]), "use sbrk beside mmap"),
    option("narenas_ratio", Kind::Decimal { most: 1024.0 }, "arenas for each processor"),
    option("bin_shards", RANGES, "shards of each small size class"),
    option("slab_sizes", RANGES, "pages of each slab"),
    option("mutex_max_spin", from(-1), "spins before a lock sleeps; -1 for ever"),
    option(
        "lg_extent_max_active_fit",
        range(0, 64),
        "how much larger a reused extent may be, as a power of two",
    ),
    option("stats_print_opts", STATISTICS, "what is printed at exit"),
    option("stats_interval", from(-1), "bytes allocated between statistics; -1 for none"),
    option("stats_interval_opts", STATISTICS, "what is printed at each interval"),
    option("junk", Kind::OneOf(&["true", "false", "alloc", "free"]), "fill blocks with junk, for debugging"),
    option("zero", Kind::Switch, "fill new blocks with zeros"),
    option("lg_tcache_max", range(0, 23), "largest block that threads cache, as a power of two"),
    option("lg_tcache_nslots_mul", range(-16, 16), "blocks cached per slab, as a power of two"),
    option("tcache_nslots_small_min", range(1, 2048), "fewest cached blocks of a small size"),
    option("tcache_nslots_small_max", range(1, 2048), "most cached blocks of a small size"),
    option("tcache_nslots_large", range(1, 2048), "most cached blocks of a large size"),
    option("tcache_gc_incr_bytes", from(1024), "bytes allocated between cleanings of a thread's cache"),
    option("tcache_gc_delay_bytes", SIZE, "bytes of a size class before its cache is cleaned"),
    option(
        "lg_tcache_flush_small_div",
        range(1, 16),
        "share of a small cache flushed at once, as a power of two",
    ),
    option(
        "lg_tcache_flush_large_div",
        range(1, 16),
        "share of a large cache flushed at once, as a power of two",
    ),
    option("zero_realloc", Kind::OneOf(&["alloc", "free", "abort"]), "what realloc to size zero does"),
    option("san_guard_small", SIZE, "small slabs between guard pages"),
    option("san_guard_large", SIZE, "large blocks between guard pages"),
    option("hpa", Kind::Switch, "the allocator of huge pages, experimental"),
    option("hpa_slab_max_alloc", SIZE, "largest block taken from huge pages"),
    option("hpa_hugification_threshold", SIZE, "bytes in use from which a huge page is made one"),
    option("hpa_hugification_threshold_ratio", Kind::Decimal { most: 1.0 }, "the same, as a share"),
    option("hpa_hugify_delay_ms", from(0), "delay before a huge page is made"),
    option("hpa_min_purge_interval_ms", from(0), "least time between purges of huge pages"),
    option("hpa_dirty_mult", Kind::Decimal { most: 1024.0 }, "most dirty for each active huge page"),
    option("hpa_sec_nshards", from(0), "shards of the small extent cache"),
    option("hpa_sec_max_alloc", SIZE, "largest extent in the small extent cache"),
    option("hpa_sec_max_bytes", SIZE, "most bytes in a shard of the small extent cache"),
    option("hpa_sec_batch_fill_extra", from(0), "extents added when the small extent cache is filled"),
    new("tcache_ncached_max", RANGES, "most cached blocks of each size"),
    new("process_madvise_max_batch", range(0, 1024), "ranges purged with one system call; 0 for one each"),
    new("calloc_madvise_threshold", LARGEST_CLASS, "size from which calloc zeroes by giving pages back"),
    new("debug_double_free_max_scan", from(0), "cached blocks compared to find a double free"),
    new("experimental_tcache_gc", Kind::Switch, "cleaning of thread caches by time and use"),
    new("disable_large_size_classes", Kind::Switch, "large blocks in whole pages, not in size classes"),
    new("huge_arena_pac_thp", Kind::Switch, "huge pages for the arena of oversized blocks"),
    new("hpa_hugify_sync", Kind::Switch, "make huge pages at once, by MADV_COLLAPSE"),
    new("hpa_purge_threshold", SIZE, "dirty bytes from which a huge page is purged"),
    new("hpa_purge_threshold_ratio", Kind::Decimal { most: 1.0 }, "the same, as a share"),
    new("hpa_min_purge_delay_ms", from(0), "least age of dirt before a huge page is purged"),
    new("hpa_hugify_style", Kind::OneOf(&["none", "eager", "lazy"]), "when huge pages are made"),
    new("experimental_hpa_max_purge_nhp", from(-1), "most huge pages in one purge"),
    new(
        "experimental_hpa_start_huge_if_thp_always",
        Kind::Switch,
        "begin with huge pages when THP is always",
    ),
    new("experimental_hpa_enforce_hugify", Kind::Switch, "make pages huge even when they seem so already"),
];

/// Options of builds with the heap profiler, which ours is not.
pub(super) const PROFILING: &[Setting] = &[
    option("prof", Kind::Switch, "sample allocations"),
    option("prof_active", Kind::Switch, "begin to sample at once"),
    option("prof_prefix", Kind::Text("a path"), "where dumps go"),
    option("prof_thread_active_init", Kind::Switch, "sample new threads"),
    option("lg_prof_sample", range(0, 63), "bytes between samples, as a power of two"),
    option("prof_accum", Kind::Switch, "count allocations since the start too"),
    option("lg_prof_interval", range(-1, 63), "bytes between dumps, as a power of two; -1 for none"),
    option("prof_gdump", Kind::Switch, "dump at each new maximum"),
    option("prof_final", Kind::Switch, "dump at exit"),
    option("prof_leak", Kind::Switch, "report leaks at exit"),
    option("prof_leak_error", Kind::Switch, "exit with an error when there are leaks"),
    option("prof_recent_alloc_max", from(-1), "most recent allocations kept"),
    option("prof_stats", Kind::Switch, "count by size"),
    option("prof_sys_thread_name", Kind::Switch, "use the kernel's thread names"),
    option("prof_time_resolution", Kind::OneOf(&["default", "high"]), "clock of the profiler"),
    new("prof_bt_max", range(1, 2048), "deepest stack"),
    new("prof_pid_namespace", Kind::Switch, "name dumps by the pid in the outer namespace"),
];
