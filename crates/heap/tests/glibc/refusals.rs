//! Processes in which glibc hands out no memory, or too many do.

use std::path::Path;

use slackwater_base::Tid;
use slackwater_heap::glibc::{self, GlibcError};
use slackwater_procfs::Root;
use slackwater_remote::Live;
use slackwater_testkit::{Linking, Program, Target, glibc_roots};

use crate::held::program;

const PLAIN: &str = include_str!("../planted/plain.c");

fn live(target: &Target) -> (Live, Vec<Tid>) {
    let live = Live::open(&Root::host(), target.pid()).unwrap();
    let threads = live.threads().unwrap();
    (live, threads)
}

#[test]
fn another_c_library() {
    match Program::compiled("musl-gcc", "plain", PLAIN, Linking::Static, &[]) {
        Ok(program) => {
            let target = program.spawn().unwrap();
            let (live, threads) = live(&target);
            assert!(glibc::walk(&live, &threads).unwrap().is_none());
        }
        Err(error) => eprintln!("not tested without musl-gcc: {error}"),
    }
}

#[test]
fn another_allocator_before_it() {
    for name in ["libjemalloc.so.2", "libmimalloc.so.2"] {
        let path = Path::new("/usr/lib/x86_64-linux-gnu").join(name);
        if !path.exists() {
            eprintln!("not tested without {}", path.display());
            continue;
        }
        let target = Program::c("plain", PLAIN).unwrap().env("LD_PRELOAD", &path).spawn().unwrap();
        let (live, threads) = live(&target);
        assert!(glibc::walk(&live, &threads).unwrap().is_none(), "{name}");
    }
}

#[test]
fn two_libraries_at_once() {
    let target = Program::c("libcs", include_str!("../planted/libcs.c")).unwrap().spawn().unwrap();
    assert_eq!(target.greeting_numbers(), [1, 1], "both hand out memory");
    let (live, threads) = live(&target);
    let error = glibc::walk(&live, &threads).unwrap_err();
    assert!(matches!(error, GlibcError::SeveralLibcs { .. }), "{error:?}");
    assert!(error.to_string().contains("libc.so.6"), "{error}");
    assert!(error.hint().is_some());
}

/// From 2.42 on a C library sets its arena up when it is loaded, used or not.
#[test]
fn a_library_that_is_only_there() {
    let text = include_str!("../planted/libcs.c");
    let host = Program::c("libcs", text).unwrap();
    let within = glibc_roots()
        .iter()
        .map(|root| Program::c_linked_within(root, "libcs", text, Linking::Dynamic, &["-ldl"]));
    for program in std::iter::once(host).chain(within.map(Result::unwrap)) {
        let target = program.arg("idle").spawn().unwrap();
        assert_eq!(target.greeting_numbers(), [1, 0], "one hands out memory");
        let (live, threads) = live(&target);
        let partial = glibc::walk(&live, &threads).unwrap().unwrap();
        assert_eq!(partial.gaps, []);
    }
}

#[test]
fn thread_ids_of_another_pid_namespace() {
    let target = program("caches", include_str!("../planted/caches.c")).arg("3").spawn().unwrap();
    let (live, threads) = live(&target);
    // Nobody has these ids here; in a container's own numbering they would be others, too.
    let foreign: Vec<Tid> = threads.iter().map(|thread| Tid(thread.0 + 5_000_000)).collect();
    let partial = glibc::walk(&live, &foreign).unwrap().unwrap();
    assert_eq!(partial.gaps, []);
    let cached: u64 = partial.value.arenas.iter().map(|arena| arena.glibc.unwrap().cached.count).sum();
    assert_eq!(cached, target.greeting_numbers()[0]);
}
