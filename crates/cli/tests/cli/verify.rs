//! `verify`: what serves malloc is seen, not believed; each classic mistake is made and named.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::Value;
use slackwater_base::Pid;
use slackwater_testkit::{Linking, Program, Target, interpreters};

use crate::{Ran, python, rss_and_faults, run, validate_by};

pub(crate) const JEMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2";
const TCMALLOC: &str = "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4";
const IDLE: &str = "ready()\nserve()\n";

/// Whether Debian's library is there; what cannot be tested without it is said.
pub(crate) fn is_there(library: &str) -> bool {
    let there = Path::new(library).exists();
    if !there {
        eprintln!("not tested: no {library}, which `make setup` installs");
    }
    there
}

#[track_caller]
fn validate(document: &Value) {
    validate_by("verify.v1.json", document);
}

/// The document of one service, whose exit code must go with it.
#[track_caller]
pub(crate) fn verified(pid: Pid, more: &str) -> Value {
    let ran = run(&format!("verify --pid {pid} --json {more}"));
    let document: Value = serde_json::from_str(&ran.out).unwrap_or_else(|_| panic!("{}{}", ran.out, ran.err));
    validate(&document);
    assert_eq!(ran.code == 0, document["ok"].as_bool().unwrap(), "{document:#}");
    assert!(ran.code <= 1, "{}", ran.err);
    document
}

pub(crate) fn processes(document: &Value) -> &Vec<Value> {
    document["processes"].as_array().unwrap()
}

/// The codes of what is wrong in a process; notes are in small letters.
pub(crate) fn codes(process: &Value) -> Vec<String> {
    let mistakes = process["mistakes"].as_array().unwrap().iter();
    let code = |mistake: &Value| {
        let code = mistake["code"].as_str().unwrap();
        if mistake["grade"] == "note" { code.to_lowercase() } else { code.to_owned() }
    };
    mistakes.map(code).collect()
}

/// Python, idle, under this environment.
fn idle(environment: &[(&str, &str)]) -> Target {
    let program = Program::python(python(), "idle", IDLE).unwrap();
    environment.iter().fold(program, |program, (name, value)| program.env(name, value)).spawn().unwrap()
}

/// The only process of a service under this environment: what serves it, and what is wrong.
#[track_caller]
fn check(environment: &[(&str, &str)], allocator: &str, expected: &[&str]) -> Value {
    let target = idle(environment);
    let document = verified(target.pid(), "");
    let process = &processes(&document)[0];
    assert_eq!(process["malloc"]["allocator"], allocator, "{process:#}");
    assert_eq!(process["malloc"]["evidence"], "bound", "{process:#}");
    assert_eq!(codes(process), expected, "{process:#}");
    process.clone()
}

fn fix(process: &Value, code: &str) -> String {
    let mut mistakes = process["mistakes"].as_array().unwrap().iter();
    mistakes.find(|mistake| mistake["code"] == code).unwrap()["fix"].as_str().unwrap().to_owned()
}

#[test]
fn what_serves_is_seen_in_the_words_that_calls_go_through() {
    check(&[], "glibc", &[]);
    if is_there(JEMALLOC) {
        check(&[("LD_PRELOAD", JEMALLOC), ("PYTHONMALLOC", "malloc")], "jemalloc", &["sw231"]);
        // A name without folders; the loader finds it in its own.
        let conf = "background_thread:true,dirty_decay_ms:500";
        let process =
            check(&[("LD_PRELOAD", "libjemalloc.so.2"), ("MALLOC_CONF", conf)], "jemalloc", &["sw242"]);
        assert_eq!(process["malloc"]["library"], JEMALLOC);
        assert_eq!(process["purging"]["by"], "background-threads", "{process:#}");
    }
    if is_there(TCMALLOC) {
        check(&[("LD_PRELOAD", TCMALLOC), ("PYTHONMALLOC", "malloc")], "tcmalloc", &["sw231"]);
    }
}

#[test]
fn every_interpreter_shows_what_serves_it() {
    for interpreter in interpreters() {
        let program = Program::python(interpreter, "idle", IDLE).unwrap();
        let target = program.spawn().unwrap();
        let document = verified(target.pid(), "");
        let malloc = &processes(&document)[0]["malloc"];
        assert_eq!(
            (&malloc["allocator"], &malloc["evidence"]),
            (&"glibc".into(), &"bound".into()),
            "{interpreter}"
        );
        if interpreter.root().is_some() || !is_there(JEMALLOC) {
            continue;
        }
        let target = program.env("LD_PRELOAD", JEMALLOC).spawn().unwrap();
        let document = verified(target.pid(), "--expect jemalloc");
        let malloc = &processes(&document)[0]["malloc"];
        assert_eq!(
            (&malloc["library"], &malloc["evidence"]),
            (&JEMALLOC.into(), &"bound".into()),
            "{interpreter}"
        );
        assert_eq!(malloc["elsewhere"], Value::Array(Vec::new()), "{interpreter}: {malloc:#}");
    }
}

#[test]
fn expecting_another_allocator_is_answered_by_the_exit_code() {
    let target = idle(&[]);
    let words = |expect: &str| run(&format!("verify --pid {} --expect {expect}", target.pid()));
    assert_eq!(words("glibc").code, 0);
    let ran = words("slackwater");
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("slackwater does not serve the process"), "{}", ran.out);
    assert_eq!(words("nonesuch").code, 2);
}

#[test]
fn fault_27_a_preload_that_leads_nowhere() {
    let process = check(&[("LD_PRELOAD", "/usr/lib/x86_64/libjemalloc.so.2")], "glibc", &["SW201"]);
    if is_there(JEMALLOC) {
        assert_eq!(fix(&process, "SW201"), format!("LD_PRELOAD={JEMALLOC}"));
    }
    check(&[("LD_PRELOAD", "libnonesuch.so.9")], "glibc", &["SW201"]);
    // A text file: the loader says so, and goes on.
    check(&[("LD_PRELOAD", "/etc/passwd")], "glibc", &["SW203"]);
    if is_there(JEMALLOC) && is_there(TCMALLOC) {
        let both = format!("{TCMALLOC}:{JEMALLOC}");
        let process =
            check(&[("LD_PRELOAD", &both), ("PYTHONMALLOC", "malloc")], "tcmalloc", &["SW209", "sw231"]);
        assert_eq!(
            process["malloc"]["library"].as_str().unwrap().rsplit('/').next().unwrap().split(".so").next(),
            Some("libtcmalloc_minimal")
        );
    }
}

#[test]
fn settings_that_nobody_reads_are_named() {
    check(&[("MALLOC_CONF", "narenas:1")], "glibc", &["SW220"]);
    check(&[("MALLOC_ARENA_MAX", "2")], "glibc", &[]);
    let process = check(&[("MALLOC_ARENAS_MAX", "2")], "glibc", &["SW221"]);
    assert_eq!(fix(&process, "SW221"), "MALLOC_ARENA_MAX=2");
    check(&[("PYTHONMALLOC", "malloc")], "glibc", &[]);
    if !is_there(JEMALLOC) {
        return;
    }
    let under = |more: &[(&str, &str)], expected: &[&str]| {
        let base = [("LD_PRELOAD", JEMALLOC), ("PYTHONMALLOC", "malloc")];
        check(&[&base, more].concat(), "jemalloc", expected)
    };
    under(&[("MALLOC_ARENA_MAX", "2")], &["SW220", "sw231"]);
    under(&[("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")], &["SW220", "sw231"]);
    under(&[("MALLOC_CONF", "dirty_decay:0")], &["SW221", "sw231"]);
    under(&[("MALLOC_CONF", "dirty_decay_ms:5s")], &["SW222", "sw231"]);
    under(&[("MALLOC_CONF", "dirty_decay_ms:0,muzzy_decay_ms:0")], &[]);
}

#[test]
fn python_that_ignores_its_environment_is_noticed() {
    let program = Program::python(python(), "idle", IDLE).unwrap();
    let script = program.to_command().get_args().next().unwrap().to_owned();
    let program = Program::command(program.executable()).arg("-E").arg(script).env("PYTHONMALLOC", "malloc");
    let target = program.spawn().unwrap();
    let document = verified(target.pid(), "");
    assert_eq!(codes(&processes(&document)[0]), ["SW241"], "{document:#}");
}

/// A program of one process that is asked to preload Debian's jemalloc.
#[track_caller]
fn refused_preload(program: Program, expected: &str) -> Value {
    let target = program.env("LD_PRELOAD", JEMALLOC).spawn().unwrap();
    let document = verified(target.pid(), "");
    let process = processes(&document)[0].clone();
    assert_eq!(codes(&process), [expected], "{process:#}");
    process
}

const READY: &str =
    "#include \"planted.h\"\nint main(void) { free(malloc(9)); ready(\"%d\", getpid()); serve(); }";

#[test]
fn fault_11_programs_that_preload_nothing_say_why() {
    let fixed = Program::c_linked("ready_static", READY, Linking::Static, &[]).unwrap();
    let process = refused_preload(fixed, "SW205");
    assert_eq!(process["c_library"], "static");
    // musl's loader takes a missing file without a word; one built for glibc ends it.
    match Program::compiled("musl-gcc", "ready_musl", READY, Linking::Dynamic, &[]) {
        Err(error) => eprintln!("not tested: a program on musl ({error})"),
        Ok(program) => {
            let target = program.env("LD_PRELOAD", "/usr/lib/x86_64/libjemalloc.so.2").spawn().unwrap();
            let document = verified(target.pid(), "");
            let process = &processes(&document)[0];
            assert_eq!(process["malloc"]["allocator"], "musl", "{process:#}");
            assert_eq!(process["c_library"], "musl");
            assert_eq!(codes(process), ["SW201"], "{process:#}");
        }
    }
}

/// `program` as nobody, by way of util-linux' setpriv, which needs root.
fn as_nobody(program: &Path) -> Option<Program> {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("not tested: what another user's process preloads, for want of root");
    }
    let words = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let setpriv = words.iter().fold(Program::command(Path::new("setpriv")), Program::arg);
    root.then(|| setpriv.arg(program))
}

#[test]
fn fault_27_raised_rights_and_closed_files_keep_a_preload_away() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let copy = |name: &str, from: &Path, mode: u32| {
        let path = folder.path().join(name);
        std::fs::copy(from, &path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        path
    };
    let plain = Program::c("ready_plain", READY).unwrap();
    let open = copy("open", plain.executable(), 0o755);
    let raised = copy("raised", plain.executable(), 0o4755);
    let (Some(open), Some(raised)) = (as_nobody(&open), as_nobody(&raised)) else { return };
    if !is_there(JEMALLOC) {
        return;
    }
    let process = refused_preload(raised, "SW204");
    assert_eq!(process["secure"], true);
    let closed = copy("libjemalloc.so.2", Path::new(JEMALLOC), 0o600);
    let target = open.env("LD_PRELOAD", &closed).spawn().unwrap();
    let document = verified(target.pid(), "");
    assert_eq!(codes(&processes(&document)[0]), ["SW202"], "{document:#}");
}

/// A supervisor whose child starts with an empty environment, as under `env -i`.
const CLEANS: &str = r#"
import multiprocessing, os, sys, time

def hold(barrier):
    barrier.wait()
    time.sleep(1000)

if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(2)
    os.environ.clear()
    worker = context.Process(target=hold, args=(barrier,))
    worker.start()
    barrier.wait()
    os.write(1, b"ready\n")
    sys.stdin.read()
    worker.kill()
"#;

#[test]
fn fault_27_a_preload_that_is_lost_on_the_way() {
    if !is_there(JEMALLOC) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = folder.path().join("cleans.py");
    std::fs::write(&script, CLEANS).unwrap();
    let program = Program::command(python().path()).arg(&script).env("LD_PRELOAD", JEMALLOC);
    let target = program.spawn().unwrap();
    let document = verified(target.pid(), "--expect jemalloc");
    let worker = processes(&document).iter().find(|process| process["role"] == "worker").unwrap();
    assert_eq!(worker["malloc"]["allocator"], "glibc", "{worker:#}");
    assert_eq!(codes(worker), ["SW207"], "{worker:#}");
    assert_eq!(worker["as_expected"], false);

    // As sudo does it: whoever started the service had it, the service does not.
    let program = Program::python(python(), "idle_pid", "import os\nready(os.getpid())\nserve()\n").unwrap();
    let inner = program.to_command();
    let mut sudo = Program::command(Path::new("/bin/sh")).env("LD_PRELOAD", JEMALLOC);
    // A command after it keeps the shell from becoming it.
    sudo = sudo.arg("-c").arg("env -u LD_PRELOAD \"$@\"; true").arg("sh").arg(inner.get_program());
    let target = inner.get_args().fold(sudo, Program::arg).spawn().unwrap();
    let service = Pid(target.greeting_numbers()[0] as i32);
    let document = verified(service, "");
    assert_eq!(codes(&processes(&document)[0]), ["SW207"], "{document:#}");
}

#[test]
fn only_variables_of_allocators_leave_the_environment() {
    let canaries = ["canary_one", "canary_two"];
    let target =
        idle(&[("DATABASE_PASSWORD", canaries[0]), ("XMALLOC_CONF", canaries[1]), ("MALLOC_ARENA_MAX", "1")]);
    for words in ["", "--json"] {
        let ran: Ran = run(&format!("verify --pid {} {words}", target.pid()));
        for canary in canaries {
            assert!(!ran.out.contains(canary) && !ran.err.contains(canary), "{}", ran.out);
        }
    }
}

#[test]
fn fault_33_what_the_environment_holds_cannot_act_on_the_terminal() {
    let target = idle(&[("LD_PRELOAD", "/no\x1b]0;pwned\x07such.so")]);
    let ran = run(&format!("verify --pid {}", target.pid()));
    assert!(!ran.out.contains(['\x1b', '\x07']), "{:?}", ran.out);
    assert!(ran.out.contains("\\u{1b}"), "{}", ran.out);
}

#[test]
fn verifying_changes_nothing_in_the_target() {
    let target = idle(&[("MALLOC_ARENA_MAX", "1")]);
    let before = rss_and_faults(target.pid());
    for _ in 0..3 {
        assert_eq!(run(&format!("verify --pid {}", target.pid())).code, 0);
    }
    assert_eq!(rss_and_faults(target.pid()), before, "a page was faulted in");
}
