//! The x-ray on live processes: planted memory is found in its class, and the classes add up to what
//! the kernel counts.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stdout, reason = "the ledgers of every interpreter, for whoever compares them")]

use slackwater_base::{Bytes, Class, Pid};
use slackwater_diagnose::{
    Code, Kind, MallocKind, ObjectAllocator, ProcessReport, ProcessTable, Quantity, Role, Scope, Selector,
    Service, Sharing, conclude, select, survey, xray,
};
use slackwater_procfs::Root;
use slackwater_remote::Live;
use slackwater_testkit::{Interpreter, Program, interpreters};

const MIB: u64 = 1 << 20;

fn look(pid: Pid) -> ProcessReport {
    let root = Root::host();
    let table = ProcessTable::read(&root).unwrap();
    let service = select(&table, &Selector::Pids(vec![pid])).unwrap().remove(0);
    let member = service.members.iter().find(|member| member.pid == pid).unwrap();
    let live = Live::open(&root, pid).unwrap();
    xray(&root.process(pid).unwrap(), member, &live, &live, sharing(&live)).unwrap()
}

fn sharing(live: &Live) -> Sharing {
    if live.sees_frames() { Sharing::Frames } else { Sharing::Proportional }
}

fn kernel_rss(pid: Pid) -> u64 {
    Root::host().process(pid).unwrap().usage().unwrap().rss_bytes
}

fn shown(report: &ProcessReport) -> String {
    let classes = report.ledger.iter().filter(|(_, bytes)| bytes.process > 0);
    let classes: Vec<String> =
        classes.map(|(class, bytes)| format!("{} {}", class.key(), Bytes(bytes.process))).collect();
    let gaps: Vec<String> = report.gaps.iter().map(|gap| format!("{}: {}", gap.subject, gap.cause)).collect();
    format!("{} | {} | gaps {gaps:?}", report.command, classes.join(", "))
}

#[track_caller]
fn close(name: &str, actual: u64, expected: u64, tolerance: u64, report: &ProcessReport) {
    let fits = actual.abs_diff(expected) <= tolerance;
    assert!(fits, "{name}: {} instead of {}: {}", Bytes(actual), Bytes(expected), shown(report));
}

const PLANTED: &str = r#"
import mmap, threading
N = 200_000
live = [(index, index) for index in range(N)]           # pymalloc: 56 bytes each, and the ints
blocks = [bytes(3000) for _ in range(16_000)]           # glibc: about 48 MiB, freed below
keep = blocks[-1]
del blocks
private = mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE)
shared = mmap.mmap(-1, 8 << 20)
for area in (private, shared):
    for page in range(0, len(area), 4096):
        area[page] = 1
def run(started, stop):
    def deep(n):
        return deep(n - 1) if n else stop.wait()
    started.release()
    deep(300)
stop = threading.Event()
started = threading.Semaphore(0)
for _ in range(4):
    threading.Thread(target=run, args=(started, stop), daemon=True).start()
    started.acquire()
ready()
serve()
"#;

fn check_planted(interpreter: &Interpreter) {
    let name = format!("python {:?} {}", interpreter.version(), interpreter.path().display());
    let target = Program::python(interpreter, "xray_planted", PLANTED).unwrap().spawn().unwrap();
    let report = look(target.pid());
    println!("{name}: {}", shown(&report));
    let class = |class: Class| report.ledger[class].process;
    assert_eq!(report.scope, Scope::Heaps);
    assert_eq!(report.role, Role::Single);
    assert_eq!(report.n_threads, 5);
    assert_eq!(report.ledger.total().process, report.rss_bytes);
    close("total against the kernel", report.rss_bytes, kernel_rss(target.pid()), 256 * 1024, &report);

    let unread = interpreter.is_free_threaded();
    let python = report.python.as_ref().unwrap_or_else(|| panic!("{}", shown(&report)));
    assert_eq!(python.free_threaded, unread);
    close("shmem", class(Class::Shmem), 8 * MIB, 64 * 1024, &report);
    assert!(class(Class::Stack) > 64 * 1024 && class(Class::Stack) < 4 * MIB, "{}", shown(&report));
    assert_eq!(report.malloc.kind, MallocKind::Glibc);
    if unread {
        assert_eq!(python.objects, ObjectAllocator::Mimalloc);
        assert!(class(Class::Unexplained) > 16 * MIB, "{}", shown(&report));
        return;
    }
    let most = (report.rss_bytes / 100).max(2 * MIB);
    assert!(class(Class::Unexplained) <= most, "{}", shown(&report));
    // The private map, static data, and what the loader and the interpreter map for themselves.
    close("anon_other", class(Class::AnonOther), 16 * MIB + MIB, 2 * MIB, &report);
    assert!(class(Class::LivePython) > 200_000 * 56, "{}", shown(&report));
    let slack = class(Class::SlackTrimmable) + class(Class::SlackPinned);
    close("slack", slack, 48 * MIB, 4 * MIB, &report);
}

#[test]
fn fault_43_planted_memory_is_in_its_class_on_every_interpreter() {
    for interpreter in interpreters() {
        check_planted(interpreter);
    }
}

#[test]
fn without_its_memory_the_classes_of_proc_are_left() {
    let interpreter = &interpreters()[0];
    let target = Program::python(interpreter, "xray_survey", PLANTED).unwrap().spawn().unwrap();
    let root = Root::host();
    let table = ProcessTable::read(&root).unwrap();
    let service = select(&table, &Selector::Pids(vec![target.pid()])).unwrap().remove(0);
    let process = root.process(target.pid()).unwrap();
    let report = survey(&process, service.root(), "reading memory is not permitted").unwrap();
    assert_eq!(report.scope, Scope::Maps);
    assert_eq!(report.gaps[0].subject, "live memory and slack");
    close("total", report.ledger.total().process, kernel_rss(target.pid()), 64 * 1024, &report);
    close("shmem", report.ledger[Class::Shmem].process, 8 * MIB, 0, &report);
    assert!(report.ledger[Class::File].process > MIB, "{}", shown(&report));
    let diagnosis = conclude(&service, vec![report], None, Sharing::Frames, None, Vec::new());
    assert_eq!(diagnosis.verdict, Kind::Undetermined);
}

const FORKING: &str = r#"
import os
data = [str(index) * 20 for index in range(300_000)]
end, held = os.pipe()
for _ in range(2):
    if os.fork() == 0:
        os.close(held)
        os.read(end, 1)         # ends with the parent
        os._exit(0)
ready()
serve()
"#;

/// Looks at every process of the service that `pid` is part of.
fn look_at_service(pid: Pid) -> (Service, Vec<ProcessReport>, Sharing) {
    let root = Root::host();
    let table = ProcessTable::read(&root).unwrap();
    let service = select(&table, &Selector::Pids(vec![pid])).unwrap().remove(0);
    let frames = std::sync::Arc::new(slackwater_remote::Frames::new());
    let mut reports = Vec::new();
    let mut sharing = Sharing::Proportional;
    for member in &service.members {
        let live = Live::open_sharing(&root, member.pid, frames.clone()).unwrap();
        sharing = self::sharing(&live);
        let process = root.process(member.pid).unwrap();
        reports.push(xray(&process, member, &live, &live, sharing).unwrap());
    }
    (service, reports, sharing)
}

#[test]
fn pages_shared_after_a_fork_count_once_in_the_service() {
    let interpreter = &interpreters()[0];
    let target = Program::python(interpreter, "xray_forking", FORKING).unwrap().spawn().unwrap();
    let (service, reports, sharing) = look_at_service(target.pid());
    assert_eq!((service.count(Role::Master), service.count(Role::Worker)), (1, 2));
    let each = reports[0].rss_bytes;
    let diagnosis = conclude(&service, reports, None, sharing, None, Vec::new());
    // The sum of proportional shares counts each page once, but for what others map besides.
    let pss = diagnosis.service.pss_bytes.unwrap();
    let rss = diagnosis.service.rss_bytes;
    assert!(rss >= pss && rss < each * 2, "{} of {}, pss {}", Bytes(rss), Bytes(each), Bytes(pss));
    close("service", rss, pss, 12 * MIB, &diagnosis.processes[0]);
}

const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";

#[test]
fn jemalloc_without_its_background_threads_is_found_in_forked_workers() {
    if !std::path::Path::new(JEMALLOC).exists() {
        println!("not run: there is no {JEMALLOC}");
        return;
    }
    let host = interpreters().iter().find(|interpreter| interpreter.root().is_none()).unwrap();
    let program = Program::python(host, "xray_jemalloc", FORKING).unwrap();
    let program = program.env("LD_PRELOAD", JEMALLOC).env("MALLOC_CONF", "background_thread:true");
    let target = program.spawn().unwrap();
    let (service, reports, sharing) = look_at_service(target.pid());
    for report in &reports {
        let jemalloc = report.jemalloc.unwrap();
        assert_eq!(report.malloc.kind, MallocKind::Jemalloc);
        assert!(jemalloc.background_asked);
        assert_eq!(jemalloc.background_threads > 0, report.role == Role::Master, "{}", report.role);
        assert!(report.gaps.iter().any(|gap| gap.subject == "the jemalloc heap"), "{}", shown(report));
        close("python", report.ledger[Class::AnonOther].process, 0, 64 * 1024, report);
    }
    let diagnosis = conclude(&service, reports, None, sharing, None, Vec::new());
    let found = diagnosis.findings.iter().find(|finding| finding.code == Code::BackgroundThreads).unwrap();
    assert_eq!((found.pid, &found.evidence[0].value), (None, &Quantity::Count(2)));
    assert!(diagnosis.findings.iter().any(|finding| finding.code == Code::ForeignAllocator));
}
