//! Processes that run already, attached to and left again: what they allocate in between is in the capture,
//! and afterwards they are as they were.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use slackwater_capture::transport::late::Late;
use slackwater_capture::{Ending, Generation};
use slackwater_collect::{Agent, AttachError, Collector, Options};
use slackwater_inject::InjectError;
use slackwater_memory::{Kind, Mapping, Sharing};
use slackwater_procfs::{Process, Root};
use slackwater_testkit::{
    Interpreter, Linking, Program, Target, agent_library, allocator_library, glibc_roots, interpreters,
    rounds,
};

use crate::recording::{EXACT, SAMPLED, Told, program, read, while_turning};

pub(crate) fn agent() -> Agent {
    Agent::read(&agent_library().unwrap()).unwrap()
}

/// Patient: other tests may keep the processors busy.
pub(crate) fn patient() -> slackwater_inject::Options {
    slackwater_inject::Options { search: Duration::from_secs(10), ..Default::default() }
}

pub(crate) fn process(target: &Target) -> Process {
    Root::host().process(target.pid()).unwrap()
}

/// What is recorded of a process between attaching and detaching, while `work` is done.
pub(crate) fn attached(options: &Options, target: &mut Target, work: impl FnOnce(&mut Target)) -> Told {
    let agent = agent();
    let open = process(target).descriptors().unwrap();
    let mut collector = Collector::new(options, Vec::new()).unwrap();
    let attached = agent.attach(&process(target), &collector.settings(), &patient()).unwrap();
    assert!(attached.n_slots > 0 && attached.n_refused == 0, "{attached:?}");
    assert_eq!(process(target).descriptors().unwrap(), open, "nothing is left open");
    collector.attached(process(target), attached.memory);
    while_turning(&mut collector, || work(target));
    agent.detach(&process(target), &patient()).unwrap();
    let (_, bytes) = collector.end().unwrap();
    let (mut told, gaps) = read(&bytes);
    assert_eq!(gaps, []);
    let told = told.remove(&Generation(1)).unwrap();
    assert_eq!((told.ending, told.n_lost, told.n_doubled), (Some(Ending::Outlived), 0, 0));
    told
}

fn n_of(told: &Told, sizes: std::ops::Range<u64>) -> usize {
    told.live.values().filter(|&size| sizes.contains(size)).count()
}

const ALLOCATES: &str = "
import ctypes, ctypes.util
kept = []
ready()
for command in commands():
    if command == 'keep':
        kept += [bytes(10_000 + n) for n in range(300)]
    elif command == 'drop':
        kept.clear()
    elif command.startswith('load '):
        # Not through Python's own functions: a library that comes now calls malloc itself.
        kept.append(ctypes.CDLL(command[5:]))
        stream = ctypes.create_string_buffer(112)
        kept.append(stream)
        assert kept[-2].deflateInit_(stream, 6, b'1.2.11', 112) == 0
    reply('done')
";

fn python() -> &'static Interpreter {
    interpreters().iter().rfind(|one| one.is_plain() && one.version().1 <= 13).expect("a Python")
}

fn allocating(interpreter: &Interpreter) -> Target {
    Program::python(interpreter, "allocates", ALLOCATES).unwrap().spawn().unwrap()
}

/// Roots of other releases have no /proc: runs the test once more where they do. Whether this is there.
pub(crate) fn is_with_proc(test: &str) -> bool {
    const VARIABLE: &str = "SLACKWATER_TEST_WITH_PROC";
    if std::env::var_os(VARIABLE).is_some() {
        return true;
    }
    let words =
        "for root; do mount -t proc proc \"$root/proc\" || exit 1; done; exec \"$0\" --exact \"$TEST\"";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", words]);
    command.arg(std::env::current_exe().unwrap()).args(glibc_roots().iter().map(|root| root.path()));
    let output = command.env(VARIABLE, "1").env("TEST", test).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    false
}

#[test]
fn what_is_allocated_meanwhile_is_seen_on_every_python_and_every_glibc() {
    if !is_with_proc("attach::what_is_allocated_meanwhile_is_seen_on_every_python_and_every_glibc") {
        return;
    }
    let known = |one: &&Interpreter| !one.is_debug() && !one.is_free_threaded() && one.version().1 <= 13;
    for interpreter in interpreters().iter().filter(known) {
        let mut target = allocating(interpreter);
        assert_eq!(target.ask("keep").unwrap(), "done");
        let told = attached(&EXACT, &mut target, |target| {
            // What was there before is freed now, and was never seen.
            assert_eq!(target.ask("drop").unwrap(), "done");
            assert_eq!(target.ask("keep").unwrap(), "done");
        });
        assert_eq!(n_of(&told, 10_033..10_333), 300, "{interpreter}: {:?}", told.live.values());
        assert_eq!(told.no_stacks, None, "{interpreter}");
        assert_eq!(target.ask("drop").unwrap(), "done");
    }
}

#[test]
fn fault_11_every_glibc_can_be_attached_to() {
    if !is_with_proc("attach::fault_11_every_glibc_can_be_attached_to") {
        return;
    }
    let source = include_str!("../programs/late.c");
    for root in glibc_roots() {
        for linking in [Linking::Dynamic, Linking::DynamicFixed] {
            let program = Program::c_linked_within(root, "late", source, linking, &[]).unwrap();
            let mut target = program.spawn().unwrap();
            let told = attached(&EXACT, &mut target, |target| {
                assert_eq!(target.ask("keep").unwrap(), "kept");
            });
            assert_eq!(n_of(&told, 7000..7100), 100, "{:?} {linking:?}", root.glibc());
        }
    }
}

#[test]
fn fault_10_without_proc_nothing_is_loaded() {
    let Some(root) = glibc_roots().first() else { return };
    let program = Program::c_within(root, "late", include_str!("../programs/late.c")).unwrap();
    let mut target = program.spawn().unwrap();
    let before = process(&target).descriptors().unwrap();
    let error = agent().attach(&process(&target), &settings(&EXACT), &patient()).unwrap_err();
    assert!(error.to_string().contains("no /proc"), "{error}");
    assert_eq!(target.ask("keep").unwrap(), "kept");
    assert_eq!(process(&target).descriptors().unwrap(), before, "nothing is left open");
}

#[test]
fn fault_10_files_in_memory_that_may_not_be_executed_do() {
    if !std::path::Path::new("/proc/sys/vm/memfd_noexec").exists() {
        return;
    }
    let words = "echo 2 >/proc/sys/vm/memfd_noexec && exec \"$0\"";
    let mut program = Program::command(std::path::Path::new("/usr/bin/unshare"));
    for word in ["--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", words] {
        program = program.arg(word);
    }
    let mut target = program.arg(program!("late").executable()).spawn().unwrap();
    let unshare = target.pid();
    let children = std::fs::read_to_string(format!("/proc/{unshare}/task/{unshare}/children")).unwrap();
    let inside = slackwater_base::Pid(children.trim().parse().unwrap());
    let inside = || Root::host().process(inside).unwrap();
    let mut collector = Collector::new(&EXACT, Vec::new()).unwrap();
    let attached = agent().attach(&inside(), &collector.settings(), &patient()).unwrap();
    collector.attached(inside(), attached.memory);
    while_turning(&mut collector, || assert_eq!(target.ask("keep").unwrap(), "kept"));
    agent().detach(&inside(), &patient()).unwrap();
    let (_, bytes) = collector.end().unwrap();
    let told = &read(&bytes).0[&Generation(1)];
    // By our number for it, not its own, which is 1.
    assert_eq!((n_of(told, 7000..7100), told.pid), (100, inside().pid().0 as u32));
}

#[test]
fn fault_11_what_has_no_loader_is_refused_by_name() {
    let source = include_str!("../programs/late.c");
    let program = Program::c_linked("late", source, Linking::Static, &[]).unwrap();
    let mut target = program.spawn().unwrap();
    let error = agent().attach(&process(&target), &settings(&EXACT), &patient()).unwrap_err();
    assert!(error.to_string().contains("glibc"), "{error}");
    assert_eq!(target.ask("keep").unwrap(), "kept");
}

#[test]
fn fault_08_a_filter_of_system_calls_is_asked_before_anything_is_called() {
    let filtered = program!("filtered");
    let mut target = filtered.clone().arg("allow").spawn().unwrap();
    let told = attached(&EXACT, &mut target, |target| {
        assert_eq!(target.ask("keep").unwrap(), "kept");
    });
    assert_eq!(n_of(&told, 7000..7100), 100);
    let mut target = filtered.arg("deny").spawn().unwrap();
    let hasty = slackwater_inject::Options { search: Duration::from_millis(300), ..Default::default() };
    let error = agent().attach(&process(&target), &settings(&EXACT), &hasty).unwrap_err();
    assert!(error.to_string().contains("seccomp filter does not allow"), "{error}");
    assert_eq!(target.ask("keep").unwrap(), "kept");
}

fn settings(options: &Options) -> slackwater_capture::transport::Settings {
    Collector::new(options, Vec::new()).unwrap().settings()
}

/// Code is made, run and let go again and again.
const MAKES_CODE: &str = "
dealloc = id(type((lambda: 0).__code__)) + 48
ready(hex(dealloc))
for command in commands():
    for number in range(3000):
        exec('def made(): return bytes(%d)\\nmade()' % (600 + number))
    reply('done')
";

/// CPython's function for the end of code objects has ours in front of it, and afterwards it is alone again.
#[test]
fn code_objects_end_as_before_while_that_is_heard_and_afterwards() {
    if !is_with_proc("attach::code_objects_end_as_before_while_that_is_heard_and_afterwards") {
        return;
    }
    for interpreter in interpreters().iter().filter(|one| !one.is_debug() && !one.is_free_threaded()) {
        let mut target = Program::python(interpreter, "makes_code", MAKES_CODE).unwrap().spawn().unwrap();
        let memory = File::open(format!("/proc/{}/mem", target.pid())).unwrap();
        let [dealloc] = target.greeting_numbers()[..] else { panic!("an address") };
        let stands_there = || {
            let mut word = [0; 8];
            memory.read_exact_at(&mut word, dealloc).unwrap();
            u64::from_le_bytes(word)
        };
        let before = stands_there();
        for (options, is_heard) in [(&EXACT, true), (&SAMPLED, false), (&EXACT, true)] {
            let told = attached(options, &mut target, |target| {
                assert_eq!(target.ask("make").unwrap(), "done");
                assert_eq!(stands_there() != before, is_heard, "{interpreter}");
            });
            assert_eq!(told.no_stacks, None, "{interpreter}");
            assert_eq!(stands_there(), before, "{interpreter}");
            assert_eq!(target.ask("make").unwrap(), "done");
        }
    }
}

#[test]
fn samples_too() {
    let mut target = allocating(python());
    let told = attached(&SAMPLED, &mut target, |target| {
        assert_eq!(target.ask("keep").unwrap(), "done");
    });
    assert!((50..300).contains(&told.n_allocations), "{told:?}");
}

#[test]
fn libraries_that_are_loaded_later_are_seen() {
    // By a name, which the loader looks up for its caller, and by a path.
    for name in ["libz.so.1", "/lib/x86_64-linux-gnu/libz.so.1"] {
        let mut target = allocating(interpreters().iter().find(|one| one.is_plain()).unwrap());
        let told = attached(&EXACT, &mut target, |target| {
            assert_eq!(target.ask(&format!("load {name}")).unwrap(), "done");
        });
        // Its window and its tables: 32 KiB times two each.
        assert!(n_of(&told, 65_536..66_000) >= 2, "{name}: {:?}", told.live.values());
    }
}

#[test]
fn fault_14_a_process_is_attached_to_again_and_again() {
    let mut target = allocating(python());
    for round in rounds(5, 1000) {
        let options = if round % 2 == 0 { &EXACT } else { &SAMPLED };
        let told = attached(options, &mut target, |target| {
            assert_eq!(target.ask("keep").unwrap(), "done");
        });
        if options == &EXACT {
            assert_eq!(n_of(&told, 10_033..10_333), 300, "round {round}");
        }
        assert_eq!(target.ask("drop").unwrap(), "done");
    }
}

/// What is loaded: where, with which rights, and what of it nobody may change.
fn loaded(target: &Target) -> Vec<(Mapping, Vec<u8>)> {
    let memory = File::open(format!("/proc/{}/mem", target.pid())).unwrap();
    let mappings = process(target).maps().unwrap();
    let is_loaded = |mapping: &Mapping| mapping.path().is_some() && mapping.sharing == Sharing::Private;
    let loaded = mappings.into_iter().filter(|mapping| is_loaded(mapping) && mapping.access.read);
    let with_bytes = |mapping: Mapping| {
        let mut bytes = vec![0; mapping.range.len() as usize];
        memory.read_exact_at(&mut bytes, mapping.range.start.get()).unwrap();
        (mapping, bytes)
    };
    loaded.map(with_bytes).collect()
}

#[test]
fn fault_03_code_and_tables_are_as_they_were_when_it_is_left() {
    let mut targets = vec![program!("late").spawn().unwrap(), allocating(python())];
    for target in &mut targets {
        let before = loaded(target);
        attached(&EXACT, target, |target| {
            assert!(["kept", "done"].contains(&target.ask("keep").unwrap().as_str()));
            assert_ne!(loaded(target).len(), 0);
        });
        let after = loaded(target);
        let agent = process(target).maps().unwrap().into_iter().filter(|mapping| {
            matches!(&mapping.kind, Kind::Shmem { name } if name.ends_with("memfd:slackwater_agent"))
        });
        let agent: Vec<_> = agent.map(|mapping| mapping.range).collect();
        assert!(!agent.is_empty());
        for (mapping, bytes) in &before {
            let now = after.iter().find(|(now, _)| now == mapping);
            // What the agent needs may be loaded beside it; nothing that was there moves.
            let (_, now) = now.unwrap_or_else(|| panic!("{mapping:?} is not what it was"));
            if mapping.access.write {
                let is_ours =
                    |word: &u64| agent.iter().any(|range| range.contains(slackwater_base::Addr(*word)));
                let words = now.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
                let is_loader = mapping.file_name().unwrap().starts_with("ld-");
                assert!(is_loader || !words.into_iter().any(|word| is_ours(&word)), "{mapping:?}");
            } else {
                assert!(now == bytes, "{mapping:?} was changed");
            }
        }
    }
}

#[test]
fn fault_17_a_thread_that_stays_in_the_loader_is_not_waited_for() {
    let mut target = program!("late").spawn().unwrap();
    assert_eq!(target.ask("park").unwrap(), "parked");
    let hasty = slackwater_inject::Options { search: Duration::from_millis(300), ..Default::default() };
    let error = agent().attach(&process(&target), &settings(&EXACT), &hasty).unwrap_err();
    assert!(matches!(error, AttachError::Enter(InjectError::LoaderBusy { .. })), "{error}");
    assert_eq!(target.ask("keep").unwrap(), "kept");
    assert_eq!(target.ask("go on").unwrap(), "gone on");
    let told = attached(&EXACT, &mut target, |target| {
        // It is there again, while we record, and when we leave.
        assert_eq!(target.ask("park").unwrap(), "parked");
        assert_eq!(target.ask("keep").unwrap(), "kept");
        let error = agent().detach(&process(target), &hasty).unwrap_err();
        assert!(matches!(error, AttachError::Enter(InjectError::LoaderBusy { .. })), "{error}");
        assert_eq!(target.ask("go on").unwrap(), "gone on");
    });
    assert_eq!(n_of(&told, 7000..7100), 100);
}

#[test]
fn fault_15_another_malloc_that_was_preloaded_stays_the_one_that_serves() {
    let jemalloc = std::path::PathBuf::from("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2");
    for library in [allocator_library().unwrap(), jemalloc].into_iter().filter(|path| path.exists()) {
        let allocates = Program::python(python(), "allocates", ALLOCATES).unwrap();
        let mut targets = vec![
            program!("late").env("LD_PRELOAD", &library).spawn().unwrap(),
            allocates.env("LD_PRELOAD", &library).env("PYTHONMALLOC", "malloc").spawn().unwrap(),
        ];
        for target in &mut targets {
            let told = attached(&EXACT, target, |target| {
                target.ask("keep").unwrap();
                target.ask("drop").unwrap();
                target.ask("keep").unwrap();
            });
            let n_kept = n_of(&told, 7000..7100) + n_of(&told, 10_033..10_333);
            assert!(n_kept >= 200, "{}: {n_kept}", library.display());
        }
    }
}

#[test]
fn fault_15_one_recording_at_a_time() {
    let target = allocating(python());
    let mut collector = Collector::new(&EXACT, Vec::new()).unwrap();
    let first = agent().attach(&process(&target), &collector.settings(), &patient()).unwrap();
    collector.attached(process(&target), first.memory);
    collector.turn().unwrap();
    let error = agent().attach(&process(&target), &collector.settings(), &patient()).unwrap_err();
    assert!(matches!(error, AttachError::Refused { what: Some(Late::Taken), .. }), "{error}");
    collector.end().unwrap();
    // The first one has ended; it was not even left.
    let again = agent().attach(&process(&target), &settings(&EXACT), &patient());
    assert!(again.is_ok(), "{again:?}");
}

#[test]
fn children_of_an_attached_process_are_recorded_with_it() {
    let source = "
import os
ready()
for command in commands():
    pid = os.fork()
    if pid == 0:
        kept = [bytes(30_000) for _ in range(50)]
        reply(os.getpid())
        os.read(0, 1)
        os._exit(0)
    os.waitpid(pid, 0)
    reply('gone')
";
    let mut target = Program::python(python(), "forks_late", source).unwrap().spawn().unwrap();
    let agent = agent();
    let mut collector = Collector::new(&EXACT, Vec::new()).unwrap();
    let attached = agent.attach(&process(&target), &collector.settings(), &patient()).unwrap();
    collector.attached(process(&target), attached.memory);
    let child = while_turning(&mut collector, || target.ask("fork").unwrap().parse::<i32>().unwrap());
    let child_process = Root::host().process(slackwater_base::Pid(child)).unwrap();
    assert!(agent.is_in(&child_process));
    assert!(collector.pids().any(|pid| pid.0 == child));
    agent.detach(&child_process, &patient()).unwrap();
    agent.detach(&process(&target), &patient()).unwrap();
    assert!(!agent.is_in(&child_process));
    while_turning(&mut collector, || {
        target.send("").unwrap();
        assert_eq!(target.answer("the child's end").unwrap(), "gone");
    });
    let (_, bytes) = collector.end().unwrap();
    let (told, _) = read(&bytes);
    let one = told.values().find(|one| one.pid == child as u32).unwrap();
    assert_eq!((n_of(one, 30_033..30_100), one.parent), (50, Some(Generation(1))));
}
