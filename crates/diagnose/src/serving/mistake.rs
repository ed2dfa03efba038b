//! A mistake: something about how a process is served that is not as its owner meant it, with its proof
//! and the exact fix. The set of codes is closed, and a code is never used again for something else.

use slackwater_base::words;

words! {
    /// Whether something must be mended.
    Grade {
        /// It is not in force as it was meant.
        Mistake = "mistake",
        /// It is in force; it is good to know.
        Note = "note",
    }
}

words! {
    /// The code of a mistake.
    MistakeCode {
        /// A file to preload does not exist.
        PreloadMissing = "SW201",
        /// A file to preload cannot be read by the process.
        PreloadUnreadable = "SW202",
        /// A file to preload is none for this machine.
        PreloadForeign = "SW203",
        /// The loader ignores the environment.
        PreloadSecure = "SW204",
        /// The program has no loader.
        PreloadStatic = "SW205",
        /// The program runs on musl.
        PreloadMusl = "SW206",
        /// A worker lacks what its supervisor has.
        PreloadLost = "SW207",
        /// A file to preload is there, and not mapped.
        PreloadIgnored = "SW208",
        /// Several allocators are preloaded.
        SeveralPreloads = "SW209",
        /// A file allocates here and frees there.
        MixedBindings = "SW210",
        /// A file brings its own allocator.
        PrivateAllocator = "SW211",
        /// Settings for an allocator that does not serve.
        IdleSettings = "SW220",
        /// A setting that does not exist.
        UnknownSetting = "SW221",
        /// A value that is not taken.
        RefusedSetting = "SW222",
        /// Settings under a name that this build does not read.
        PrefixedSettings = "SW223",
        /// jemalloc's background threads did not survive the fork.
        BackgroundThreadsLost = "SW230",
        /// An idle process gives nothing back.
        IdleKeeps = "SW231",
        /// Our governor does not run.
        GovernorMissing = "SW232",
        /// Our governor is switched off.
        GovernorOff = "SW233",
        /// Huge pages are made of everything.
        HugePagesAlways = "SW240",
        /// `PYTHONMALLOC` is not in force.
        PythonMallocLost = "SW241",
        /// Small objects stay with pymalloc.
        PymallocServes = "SW242",
        /// The memory limit is near.
        NearLimit = "SW243",
    }
}

impl MistakeCode {
    /// What it says, in one sentence that holds wherever it is found.
    pub const fn title(self) -> &'static str {
        match self {
            Self::PreloadMissing => "a library to preload does not exist for this process",
            Self::PreloadUnreadable => "a library to preload cannot be read by this process",
            Self::PreloadForeign => "a file to preload is no library for this machine",
            Self::PreloadSecure => "the loader ignores LD_PRELOAD: the program runs with raised rights",
            Self::PreloadStatic => "nothing can be preloaded: the program is statically linked",
            Self::PreloadMusl => "a glibc library cannot be preloaded: the program runs on musl",
            Self::PreloadLost => "the worker lost the preload that its supervisor has",
            Self::PreloadIgnored => "the loader did not map a library that it was to preload",
            Self::SeveralPreloads => "several allocators are preloaded; one of them serves",
            Self::MixedBindings => "a file allocates with one allocator and frees with another",
            Self::PrivateAllocator => "a library brings an allocator of its own",
            Self::IdleSettings => "settings speak to an allocator that does not serve",
            Self::UnknownSetting => "a setting does not exist",
            Self::RefusedSetting => "the allocator refuses a setting",
            Self::PrefixedSettings => "this build of jemalloc reads its settings from another variable",
            Self::BackgroundThreadsLost => "jemalloc's background threads did not survive the fork",
            Self::IdleKeeps => "nothing gives memory back while this process is idle",
            Self::GovernorMissing => "slackwater's governor does not run in this process",
            Self::GovernorOff => "slackwater's governor is switched off",
            Self::HugePagesAlways => "the kernel makes huge pages of everything, purged memory too",
            Self::PythonMallocLost => "PYTHONMALLOC=malloc is not in force",
            Self::PymallocServes => "Python's small objects are served by pymalloc, not by this allocator",
            Self::NearLimit => "the service is close to its memory limit",
        }
    }

    /// Why it matters and how it comes about, for the manual.
    pub const fn about(self) -> &'static str {
        match self {
            Self::PreloadMissing => {
                "The path is looked up below the root of the process, as its loader did: in a container that \
                 is the container's. The loader prints one line to standard error and goes on without. Paths \
                 differ between distributions (`/usr/lib/x86_64-linux-gnu` on Debian, `/usr/lib64` on RHEL, \
                 `/usr/lib` on Alpine)."
            }
            Self::PreloadUnreadable => {
                "The file's permissions do not let the user that the service runs as read it. The loader \
                 goes on without."
            }
            Self::PreloadForeign => {
                "The file is not an ELF shared object for 64-bit x86. The loader prints `wrong ELF class` or \
                 `invalid ELF header` and goes on without."
            }
            Self::PreloadSecure => {
                "For set-user-id and set-group-id programs and those with file capabilities the kernel sets \
                 `AT_SECURE`, and the loader drops paths in `LD_PRELOAD` (and jemalloc does not read \
                 `MALLOC_CONF`). A Python that was given `cap_net_bind_service` to listen on port 80 is such \
                 a program."
            }
            Self::PreloadStatic => {
                "Preloading is done by the dynamic loader, which a static program does not have."
            }
            Self::PreloadMusl => {
                "A library that was built for glibc cannot be loaded into a program that runs on musl \
                 (Alpine), and the other way round."
            }
            Self::PreloadLost => {
                "The supervisor was started with the preload and the worker without: `env -i`, `sudo`, \
                 `su -`, a process manager with an environment of its own, or code that cleans the \
                 environment before it starts its children."
            }
            Self::PreloadIgnored => {
                "The file is there, readable and a library, and yet not mapped. Most often a library that \
                 it needs is missing, or it needs a newer glibc; the loader says which on standard error."
            }
            Self::SeveralPreloads => {
                "The first one in the loader's order serves; the others are loaded for nothing, and may \
                 start threads."
            }
            Self::MixedBindings => {
                "Memory that one allocator gave is handed to another one's `free`. That corrupts both; it \
                 is what a library with its own `malloc` but not its own `free` does, or one loaded with \
                 `RTLD_DEEPBIND`."
            }
            Self::PrivateAllocator => {
                "Some wheels carry an allocator for themselves. What they hold is governed by settings of \
                 their own, and shows up outside the serving allocator's figures."
            }
            Self::IdleSettings => {
                "`MALLOC_ARENA_MAX` and `GLIBC_TUNABLES` do nothing where jemalloc serves, `MALLOC_CONF` does \
                 nothing where glibc does, and so on. Nothing complains about it."
            }
            Self::UnknownSetting => {
                "A slip of the pen: `MALLOC_ARENAS_MAX`, `MALLOC_TRIM_THRESHOLD` without the underscore at its \
                 end, `dirty_decay` for `dirty_decay_ms`. glibc ignores it silently, jemalloc prints a line."
            }
            Self::RefusedSetting => {
                "The setting exists, and its value is none that it takes: the allocator goes on with its \
                 default."
            }
            Self::PrefixedSettings => {
                "A jemalloc whose functions bear a prefix (`_rjem_`, `je_`) reads a variable with that prefix \
                 in capital letters, not `MALLOC_CONF`."
            }
            Self::BackgroundThreadsLost => {
                "`background_thread:true` starts jemalloc's threads in the process that is started. A fork \
                 copies one thread, and jemalloc does not start them again: in every worker of a pre-forking \
                 server the setting is silently not in force, and an idle worker keeps its peak for ever."
            }
            Self::IdleKeeps => {
                "Without background threads jemalloc looks at its decay times only while the program \
                 allocates, and mimalloc and tcmalloc do likewise: a process that is idle after a burst \
                 keeps what it had."
            }
            Self::GovernorMissing => {
                "The library serves and its thread does not run: the process is none that it governs by \
                 itself (only Python is), or the thread could not be started."
            }
            Self::GovernorOff => "`SLACKWATER_GOVERNOR=off` was set: only jemalloc's own decay is left.",
            Self::HugePagesAlways => {
                "With transparent huge pages set to `always` the kernel backs a purged hole with a new huge \
                 page at the first touch, and khugepaged does so unasked: RSS is higher than what the \
                 allocator holds."
            }
            Self::PythonMallocLost => {
                "`python -E` and `-I` ignore the variable, an embedding program may choose for itself, and an \
                 environment that was cleaned does not have it."
            }
            Self::PymallocServes => {
                "Objects up to 512 bytes come from Python's own arenas, which are returned only when wholly \
                 empty and which no setting of malloc reaches. `PYTHONMALLOC=malloc` hands them to malloc."
            }
            Self::NearLimit => {
                "Little is missing until the kernel reclaims or kills. The figure is that of the memory \
                 cgroup, page cache included."
            }
        }
    }

    /// Whether it must be mended.
    pub const fn grade(self) -> Grade {
        match self {
            Self::PrivateAllocator
            | Self::IdleKeeps
            | Self::GovernorOff
            | Self::PymallocServes
            | Self::NearLimit => Grade::Note,
            _ => Grade::Mistake,
        }
    }
}

/// One thing that is wrong in one process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mistake {
    /// Which one.
    pub code: MistakeCode,
    /// What was seen, a clause each.
    pub evidence: Vec<String>,
    /// What mends it: a line to paste, or what to do.
    pub fix: String,
}

impl Mistake {
    /// The mistake `code`, seen by `evidence`, mended by `fix`.
    pub(crate) fn new(code: MistakeCode, evidence: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { code, evidence: vec![evidence.into()], fix: fix.into() }
    }

    /// One more thing that was seen.
    #[must_use]
    pub(crate) fn seen(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_told_apart() {
        let mut seen = std::collections::BTreeSet::new();
        for &code in MistakeCode::ALL {
            assert!(seen.insert(code.key()) && seen.insert(code.title()), "{code}");
            assert!(!code.title().ends_with('.') && code.about().ends_with('.'), "{code}");
        }
    }
}
