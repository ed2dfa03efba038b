//! The floors: which crate stands where, and what it may depend on. ARCHITECTURE.md draws them.

/// One of our crates.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crate {
    /// The folder's name in `crates/`.
    pub(super) name: &'static str,
    /// Its floor; `None` for what is never shipped.
    pub(super) floor: Option<u8>,
    /// Those of our crates that it may link.
    pub(super) may_link: &'static [&'static str],
    /// The only packages of others that it may link, where that is bounded.
    pub(super) packages: Option<&'static [&'static str]>,
}

const fn on(floor: u8, name: &'static str, may_link: &'static [&'static str]) -> Crate {
    Crate { name, floor: Some(floor), may_link, packages: None }
}

/// A crate whose foreign packages are bounded.
const fn only(packages: &'static [&'static str], one: Crate) -> Crate {
    Crate { packages: Some(packages), ..one }
}

/// Every crate, including those that do not exist yet: their place is decided.
const CRATES: &[Crate] = &[
    only(&[], on(0, "base", &[])),
    on(1, "memory", &["base"]),
    // `memory` owns the type of a mapping, `procfs` parses it.
    on(1, "procfs", &["base", "memory"]),
    only(&[], on(1, "layout", &["base"])),
    on(1, "capture", &["base"]),
    // Made outside, walked inside.
    only(&[], on(1, "unwind", &[])),
    only(&[], on(1, "control", &["base", "layout"])),
    on(2, "remote", &["base", "memory", "procfs"]),
    on(2, "inject", &["base", "memory", "procfs", "remote"]),
    // What the next two share. They live inside somebody else's process.
    only(&["libc"], on(2, "inside", &[])),
    // `layout` says where a frame keeps what.
    only(&["libc"], on(2, "agent", &["base", "capture", "inside", "layout", "unwind"])),
    // `layout` defines the block that the allocator writes and `heap` reads.
    only(&["libc", "tikv-jemalloc-sys"], on(2, "allocator", &["base", "control", "inside", "layout"])),
    // Drains what the agents hand over, and writes it down; loads the agent where it is not.
    on(2, "collect", &["base", "memory", "procfs", "capture", "unwind", "remote", "inject"]),
    on(3, "heap", &["base", "memory", "layout"]),
    on(3, "python", &["base", "memory", "layout"]),
    // What an allocator can be told is stated once, in `tune`.
    on(3, "diagnose", &["base", "memory", "procfs", "capture", "heap", "python", "tune"]),
    // What a capture comes to, by stack.
    on(3, "profile", &["base", "capture"]),
    // Which malloc a service should run on, and how to start it so.
    on(3, "tune", &["base"]),
    // A diagnosis holds the heaps it was made from, and tables show their arenas.
    on(4, "report", &["base", "capture", "profile", "heap", "diagnose", "tune", "lab"]),
    on(4, "tui", &["base", "diagnose", "report"]),
    // Plans name allocators and settings as `tune` knows them.
    on(4, "lab", &["base", "procfs", "capture", "diagnose", "tune"]),
    on(
        5,
        "cli",
        &[
            "base", "memory", "procfs", "layout", "capture", "control", "remote", "inject", "collect",
            "heap", "python", "profile", "diagnose", "tune", "report", "tui", "lab",
        ],
    ),
    Crate { name: "testkit", floor: None, may_link: &["base", "memory", "procfs"], packages: None },
    Crate { name: "xtask", floor: None, may_link: &["base", "diagnose", "testkit", "tune"], packages: None },
];

/// Loaded into targets, never linked.
pub(super) const NOBODY_DEPENDS_ON: &[&str] = &["agent", "allocator", "cli", "xtask"];

/// Where an error is only shown, not handled.
pub(super) const MAY_USE_ANYHOW: &[&str] = &["cli", "lab", "xtask"];

/// Tests may also start targets (`testkit`), and use whatever lies on their own floor or below: they
/// open live processes and look through them. The exception is `testkit`, which must not know the
/// crates it tests.
pub(super) fn tests_may_use(from: &Crate, to: &str) -> bool {
    let reaches = |floor: u8| from.floor.is_none_or(|own| floor <= own);
    from.name != "testkit" && (to == "testkit" || find(to).and_then(|to| to.floor).is_some_and(reaches))
}

/// The crate called `name`.
pub(super) fn find(name: &str) -> Option<&'static Crate> {
    CRATES.iter().find(|one| one.name == name)
}

/// What is wrong with the table itself.
pub(super) fn faults_of_table() -> Vec<String> {
    let mut faults = Vec::new();
    for one in CRATES {
        for &allowed in one.may_link {
            match (one.floor, find(allowed).map(|other| other.floor)) {
                (_, None) => {
                    faults.push(format!("the table lets {} use {allowed}, which it lacks", one.name))
                }
                (Some(here), Some(Some(there))) if there <= here => {}
                (None, Some(_)) => {}
                _ => faults.push(format!("the table lets {} use {allowed}, which lies above", one.name)),
            }
        }
    }
    faults
}
