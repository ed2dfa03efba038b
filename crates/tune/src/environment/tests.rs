use super::*;

fn plan(allocator: Allocator, sets: &[&str]) -> Plan {
    let assignments = sets.iter().map(|text| settings::parse(allocator, text).unwrap()).collect();
    let library = allocator.libraries().first().map(|name| PathBuf::from(format!("/opt/{name}")));
    Plan { allocator: Some(allocator), library, assignments, ..Plan::default() }
}

/// `NAME=VALUE` for each change, `NAME` for each that goes away; then the notes.
#[track_caller]
fn check(present: &[(&str, &str)], plan: &Plan, changes: &[&str], notes: &[&str]) {
    let read =
        |name: &str| present.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value));
    let composed = compose(&read, plan).unwrap();
    let shown: Vec<String> = composed
        .variables
        .iter()
        .map(|(name, value)| match value {
            Some(value) => format!("{name}={}", value.to_string_lossy()),
            None => name.clone(),
        })
        .collect();
    assert_eq!(shown, changes);
    let shown: Vec<String> = composed.notes.iter().map(Note::to_string).collect();
    assert_eq!(shown, notes);
}

const OURS: &str = "LD_PRELOAD=/opt/libslackwater_alloc.so";

#[test]
fn ours_needs_the_preload_and_nothing_else() {
    check(&[], &plan(Allocator::Slackwater, &[]), &[OURS], &[]);
    check(
        &[],
        &plan(Allocator::Slackwater, &["governor=off", "narenas=2"]),
        &[OURS, "MALLOC_CONF=narenas:2", "SLACKWATER_GOVERNOR=off"],
        &[],
    );
}

#[test]
fn an_environment_that_is_already_right_is_left_alone() {
    let present = [("LD_PRELOAD", "/opt/libslackwater_alloc.so")];
    check(&present, &plan(Allocator::Slackwater, &[]), &[], &[]);
}

#[test]
fn the_users_options_stay_and_flags_win() {
    check(
        &[("MALLOC_CONF", "narenas:4,thp:never"), ("LD_PRELOAD", "/lib/libother.so")],
        &plan(Allocator::Slackwater, &["narenas=2"]),
        &["LD_PRELOAD=/opt/libslackwater_alloc.so:/lib/libother.so", "MALLOC_CONF=thp:never,narenas:2"],
        &[
            "MALLOC_CONF of the environment had narenas=4, which a flag replaces",
            "MALLOC_CONF=narenas:4,thp:never of the environment is kept",
        ],
    );
}

#[test]
fn presets_fill_what_nobody_set() {
    check(
        &[("MALLOC_CONF", "dirty_decay_ms:50")],
        &plan(Allocator::Jemalloc, &["background_thread=off"]),
        &[
            "LD_PRELOAD=/opt/libjemalloc.so.2",
            "MALLOC_CONF=dirty_decay_ms:50,background_thread:false,narenas:1,muzzy_decay_ms:0,oversize_threshold:0",
            "PYTHONMALLOC=malloc",
        ],
        &["MALLOC_CONF=dirty_decay_ms:50 of the environment is kept"],
    );
    let bare = Plan { presets: Presets::LeftOut, ..plan(Allocator::Jemalloc, &[]) };
    check(&[], &bare, &["LD_PRELOAD=/opt/libjemalloc.so.2"], &[]);
}

#[test]
fn glibc_gets_the_variables_that_every_release_reads() {
    check(
        &[("GLIBC_TUNABLES", "glibc.malloc.arena_max=8:glibc.rtld.nns=4")],
        &plan(Allocator::Glibc, &["arena_max=1", "tcache_count=0"]),
        &[
            "GLIBC_TUNABLES=glibc.rtld.nns=4:glibc.malloc.tcache_count=0",
            "MALLOC_ARENA_MAX=1",
            "MALLOC_MMAP_THRESHOLD_=131072",
            "MALLOC_TRIM_THRESHOLD_=131072",
        ],
        &["GLIBC_TUNABLES of the environment had arena_max=8, which a flag replaces"],
    );
    // What the environment has stays, under either name.
    check(
        &[("GLIBC_TUNABLES", "glibc.malloc.arena_max=8"), ("MALLOC_TRIM_THRESHOLD_", "1")],
        &plan(Allocator::Glibc, &[]),
        &["MALLOC_MMAP_THRESHOLD_=131072"],
        &[],
    );
}

#[test]
fn pymalloc_is_the_users_first() {
    let keeps = Plan { pymalloc: Some(Pymalloc::Keep), ..plan(Allocator::Slackwater, &[]) };
    check(&[], &keeps, &[OURS, "PYTHONMALLOC=pymalloc"], &[]);
    let free_threaded = Plan { interpreter: Interpreter::FreeThreaded, ..keeps };
    check(&[], &free_threaded, &[OURS], &[]);
    let keeps = Plan { pymalloc: Some(Pymalloc::Keep), ..plan(Allocator::Slackwater, &[]) };
    check(
        &[("PYTHONMALLOC", "malloc_debug")],
        &keeps,
        &[OURS, "PYTHONMALLOC=pymalloc"],
        &["PYTHONMALLOC of the environment had malloc_debug, which a flag replaces"],
    );
    check(
        &[("PYTHONMALLOC", "pymalloc")],
        &plan(Allocator::Slackwater, &[]),
        &[OURS],
        &["PYTHONMALLOC=pymalloc of the environment is kept"],
    );
    // An empty variable is none to Python.
    let off = Plan { pymalloc: Some(Pymalloc::Off), ..plan(Allocator::Slackwater, &[]) };
    check(&[("PYTHONMALLOC", "")], &off, &[OURS, "PYTHONMALLOC=malloc"], &[]);
    let off = Plan { pymalloc: Some(Pymalloc::Off), ..plan(Allocator::Mimalloc, &[]) };
    check(&[], &off, &["LD_PRELOAD=/opt/libmimalloc.so.3", "PYTHONMALLOC=malloc"], &[]);
}

#[test]
fn back_to_glibc_takes_the_others_out_only_when_asked() {
    let present = [("LD_PRELOAD", "/usr/lib/libjemalloc.so.2")];
    let read = |name: &str| present.iter().find(|(known, _)| *known == name).map(|(_, v)| OsString::from(v));
    let bare = Plan { presets: Presets::LeftOut, ..plan(Allocator::Glibc, &[]) };
    assert!(matches!(compose(&read, &bare), Err(EnvironmentError::Occupied { .. })));
    check(&present, &Plan { replace: Replace::Yes, ..bare }, &["LD_PRELOAD"], &[]);
}

#[test]
fn pymalloc_stays_where_python_would_not_start_or_is_being_debugged() {
    for interpreter in [Interpreter::FreeThreaded, Interpreter::Development] {
        check(&[], &Plan { interpreter, ..plan(Allocator::Slackwater, &[]) }, &[OURS], &[]);
    }
}
