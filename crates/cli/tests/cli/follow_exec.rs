//! `record --follow-exec`: programs that recorded processes start or become.

use std::path::Path;

use serde_json::Value;
use slackwater_base::Pid;
use slackwater_testkit::{Linking, Program, Target};

use crate::python;
use crate::record_attach::{begin, end, eventually, is_recorded, run, stats};

/// Keeps memory when it is told to, or becomes itself anew.
const CHILD: &str = "
import os, sys
print('started', flush=True)
kept = []
for command in iter(sys.stdin.readline, ''):
    if command == 'become\\n':
        os.execv(sys.executable, [sys.executable, __file__])
    kept.append(bytes(7_000_000))
    print('kept', flush=True)
";

/// Starts a program by its path, then hands on what it is told.
const PARENT: &str = "
import subprocess, sys
ready()
for command in commands():
    if command.startswith('start '):
        words = command.split()[1:]
        words = [sys.executable] + words if words[0].endswith('.py') else words
        child = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        child.stdout.readline()
        reply(child.pid)
    else:
        child.stdin.write(command + '\\n')
        child.stdin.flush()
        reply(child.stdout.readline().strip())
";

fn write(folder: &Path, name: &str, source: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, source).unwrap();
    path.display().to_string()
}

fn start(target: &mut Target, path: &str) -> Pid {
    Pid(target.ask(&format!("start {path}")).unwrap().parse().unwrap())
}

/// Of each program that ran under this pid, in order: bytes that it allocated, and how it ended.
fn programs(document: &Value, pid: Pid) -> Vec<(u64, String)> {
    let processes = document["processes"].as_array().unwrap();
    let of_pid = processes.iter().filter(|one| one["pid"] == pid.0);
    of_pid
        .map(|one| {
            (one["allocated"]["bytes"].as_u64().unwrap(), one["ended"]["how"].as_str().unwrap().to_owned())
        })
        .collect()
}

#[test]
fn programs_that_an_attached_process_starts_and_becomes_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let child = write(folder.path(), "child.py", CHILD);
    let still = "#include \"planted.h\"\nint main(void) { ready(\"%d\", 1); serve(); }";
    let still = Program::c_linked("still", still, Linking::Static, &[]).unwrap();
    let mut target = Program::python(python(), "starts", PARENT).unwrap().spawn().unwrap();

    let words = format!("record --exact --follow-exec --pid {} -o it", target.pid());
    let recording = begin(folder.path(), &words);
    eventually("attaching", || is_recorded(target.pid()));
    let unfollowed = start(&mut target, &still.executable().display().to_string());
    let followed = start(&mut target, &child);
    let n_programs = || programs(&stats(folder.path()), followed).len();
    eventually("following", || n_programs() == 1);
    assert_eq!(target.ask("keep").unwrap(), "kept");
    assert_eq!(target.ask("become").unwrap(), "started");
    eventually("following again", || n_programs() == 2);
    assert_eq!(target.ask("keep").unwrap(), "kept");
    assert_eq!(target.ask("keep").unwrap(), "kept");
    let ran = end(recording);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let named = format!("process {unfollowed}, still");
    assert!(
        ran.err.contains(&named)
            && ran.err.contains(" is not recorded: ")
            && ran.err.contains("no glibc (static"),
        "{}",
        ran.err
    );
    assert!(!is_recorded(followed) && !ran.err.contains("could not be left"), "{}", ran.err);

    let document = stats(folder.path());
    let [(first, became), (second, left)] = &programs(&document, followed)[..] else {
        panic!("{document:#}");
    };
    assert_eq!((became.as_str(), left.as_str()), ("exec", "outlived"));
    assert!((7_000_000..10_000_000).contains(first), "{first}");
    assert!((14_000_000..17_000_000).contains(second), "{second}");
    assert_eq!(programs(&document, unfollowed), []);
}

/// Programs inherit the agent by the environment; one that gets another environment is attached to.
#[test]
fn programs_that_a_command_starts_without_the_agent_are_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let child = write(folder.path(), "child.py", CHILD);
    let parent = format!(
        "
import json, subprocess, sys, time
child = subprocess.Popen([sys.executable, {child:?}], env={{}}, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
child.stdout.readline()
for _ in range(int(sys.argv[1])):
    stats = subprocess.run([{slackwater:?}, 'stats', '--json', 'it'], env={{}}, capture_output=True).stdout
    if stats and any(one['pid'] == child.pid for one in json.loads(stats)['processes']): break
    time.sleep(0.1)
child.communicate(b'keep\\n')
print(child.pid)
",
        slackwater = env!("CARGO_BIN_EXE_slackwater")
    );
    let parent = write(folder.path(), "parent.py", &parent);
    let python = python().path().display();
    let ran = run(folder.path(), &format!("record --exact -o it -- {python} {parent} 3"));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let pid = Pid(ran.out.trim().parse().unwrap());
    assert_eq!(programs(&stats(folder.path()), pid), []);

    let words = format!("record --exact --follow-exec --force -o it -- {python} {parent} 300");
    let ran = run(folder.path(), &words);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let pid = Pid(ran.out.trim().parse().unwrap());
    let document = stats(folder.path());
    let [(bytes, _)] = &programs(&document, pid)[..] else { panic!("{document:#}") };
    assert!((7_000_000..10_000_000).contains(bytes), "{bytes}");
}
