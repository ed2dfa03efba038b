//! Services are many processes: forked, started, replaced, recycled. Each is in the capture.

use slackwater_capture::{Ending, Generation};
use slackwater_collect::{Collector, Options};
use slackwater_testkit::{Interpreter, Program, interpreters, rounds};

use crate::recording::{EXACT, SAMPLED, read, record, under, while_turning};

fn python() -> &'static Interpreter {
    interpreters().iter().rfind(|one| one.is_plain() && one.version().1 <= 13).expect("a Python")
}

#[test]
fn forked_workers_are_generations_of_their_parent() {
    let source = "
import os
kept = [bytes(5000) for _ in range(100)]
children = []
for n in range(6):
    pid = os.fork()
    if pid == 0:
        own = [bytes(7000 + n) for _ in range(50)]
        os._exit(0)
    children.append(pid)
for pid in children:
    os.waitpid(pid, 0)
os._exit(0)
";
    let (told, summary) =
        record(&EXACT, &mut Program::python(python(), "forks", source).unwrap().to_command());
    assert_eq!((told.len(), summary.n_processes, summary.n_lost), (7, 7, 0));
    let first = &told[&Generation(1)];
    assert_eq!(first.ending, Some(Ending::Exit(0)));
    assert!(first.live.values().filter(|&&size| (5000..5100).contains(&size)).count() >= 100);
    for n in 0..6_u64 {
        let own = |size: &&u64| (7000 + n + 33..7000 + n + 50).contains(*size);
        let child = told.values().find(|one| one.live.values().filter(own).count() >= 50);
        let child = child.unwrap_or_else(|| panic!("no child with blocks of {}", 7000 + n));
        assert_eq!(child.parent, Some(Generation(1)));
        assert_eq!(child.ending, Some(Ending::Gone));
        // What the parent had is the parent's.
        assert!(child.live.values().filter(|&&size| (5000..5100).contains(&size)).count() < 10);
    }
}

#[test]
fn programs_that_are_started_and_programs_that_replace_others_are_recorded() {
    let source = "
import os, subprocess, sys
subprocess.run([sys.executable, '-S', '-c', 'kept = bytes(3_000_001); import os; os._exit(0)'], check=True)
os.execv(sys.executable, [sys.executable, '-S', '-c', 'kept = bytes(4_000_001); import os; os._exit(0)'])
";
    let (told, _) = record(&EXACT, &mut Program::python(python(), "starts", source).unwrap().to_command());
    let with = |size: u64| {
        told.values().find(|one| one.live.values().any(|&live| (size..size + 60).contains(&live)))
    };
    let started = with(3_000_001).expect("the started one");
    let replaced = with(4_000_001).expect("the one that replaced");
    let first = &told[&Generation(1)];
    assert_eq!((first.ending, first.pid), (Some(Ending::Exec), replaced.pid));
    assert_ne!(started.pid, first.pid);
    assert_eq!(replaced.ending, Some(Ending::Exit(0)));
}

#[test]
fn fault_19_recycled_workers_are_all_there() {
    // More generations than there are rings, one after the other.
    let source = "
import os
for n in range(300):
    pid = os.fork()
    if pid == 0:
        kept = bytes(200_000 + n)
        os._exit(0)
    os.waitpid(pid, 0)
os._exit(0)
";
    let (told, summary) =
        record(&EXACT, &mut Program::python(python(), "recycled", source).unwrap().to_command());
    assert_eq!((summary.n_processes, summary.n_refused, summary.n_lost), (301, 0, 0));
    for n in 0..300_u64 {
        let own = 200_000 + n + 33;
        assert!(told.values().any(|one| one.live.values().any(|&size| size == own)), "child {n} is missing");
    }
}

fn storm(options: &Options, kind: &str, n: u64) {
    let program =
        Program::c("fork_storm", include_str!("../../../allocator/tests/programs/fork_storm.c")).unwrap();
    let mut collector = Collector::begin(options, Vec::new()).unwrap();
    let program = under(&collector, &program);
    while_turning(&mut collector, || {
        let mut target = program.spawn().unwrap();
        for _ in rounds(n, 50_000).by(n) {
            let answer = target.ask(&format!("{kind} {n}")).unwrap();
            assert_eq!(answer, format!("{n} well, 0 failed, 0 hung"), "{kind}");
        }
    });
    let (_, bytes) = collector.end().unwrap();
    let (told, gaps) = read(&bytes);
    assert_eq!(gaps, []);
    assert!(!told.is_empty());
}

#[test]
fn fault_18_forks_of_every_kind_while_sixteen_threads_allocate() {
    for options in [&SAMPLED, &EXACT] {
        storm(options, "fork", 20);
        storm(options, "twice", 8);
        storm(options, "vfork", 20);
        storm(options, "spawn", 20);
        storm(options, "clone", 15);
    }
}
