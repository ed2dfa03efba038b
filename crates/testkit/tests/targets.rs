//! The kit itself: what it starts answers, what it drops is gone, what fails says why.

use std::path::Path;
use std::time::Duration;

use slackwater_testkit::{Linking, Program, TestkitError, glibc_roots, interpreters};

const ECHO: &str = r#"
#include "planted.h"
int main(void) {
    ready("%d %p %s", getpid(), (void *)main, "text");
    for (const char *command; (command = next_command()) != NULL;) reply("%s!", command);
    return 7;
}
"#;

fn is_alive(pid: i32) -> bool {
    // A zombie still has a /proc folder, but no command line.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

#[test]
fn c_program_greets_answers_and_ends_by_itself() {
    for linking in [Linking::Dynamic, Linking::DynamicFixed, Linking::Static, Linking::StaticPie] {
        let mut target = Program::c_linked("echo", ECHO, linking, &[]).unwrap().spawn().unwrap();
        assert_eq!(target.greeting_numbers()[0], target.pid().0 as u64, "{linking:?}");
        assert!(target.greeting().ends_with("text"));
        assert_eq!(target.ask("one two").unwrap(), "one two!");
        assert_eq!(target.finish().unwrap().code(), Some(7));
    }
}

#[test]
fn every_interpreter_runs_a_script() {
    assert!(!interpreters().is_empty(), "no CPython at all");
    for interpreter in interpreters() {
        let script = "import sys\nready(sys.version_info[1])\nfor c in commands():\n    reply(c.upper())\n";
        let mut target = Program::python(interpreter, "upper", script).unwrap().spawn().unwrap();
        assert_eq!(target.greeting_numbers(), [u64::from(interpreter.version().1)], "{interpreter}");
        assert_eq!(target.ask("abc").unwrap(), "ABC", "{interpreter}");
    }
}

#[test]
fn every_root_runs_a_c_program_under_its_own_glibc() {
    let source = r#"
        #include "planted.h"
        #include <gnu/libc-version.h>
        int main(void) { ready("%s", gnu_get_libc_version()); serve(); }
    "#;
    for root in glibc_roots() {
        let target = Program::c_within(root, "version", source).unwrap().spawn().unwrap();
        let (major, minor) = root.glibc();
        assert_eq!(target.greeting(), format!("{major}.{minor}"), "{}", root.suite());
    }
}

#[test]
fn drop_ends_children_of_the_target_too() {
    let source = r#"
        #include "planted.h"
        int main(void) {
            pid_t child = fork();
            if (child == 0) for (;;) pause();
            ready("%d", child);
            serve();
        }
    "#;
    let target = Program::c("parent", source).unwrap().spawn().unwrap();
    let child = target.greeting_numbers()[0] as i32;
    let leader = target.pid().0;
    assert!(is_alive(child));
    drop(target);
    // The leader has been waited for; the child's death is under way and needs no help from us.
    assert!(!is_alive(leader));
    assert!(dies(child), "the child outlived its target");
}

#[test]
fn a_target_dies_with_the_thread_that_started_it() {
    let starter = std::thread::spawn(|| {
        let target = Program::c("echo", ECHO).unwrap().spawn().unwrap();
        let pid = target.pid().0;
        // As if the test had been killed: nothing of ours runs on the way out.
        std::mem::forget(target);
        pid
    });
    assert!(dies(starter.join().unwrap()));
}

/// Whether a process whose death is under way is gone soon.
fn dies(pid: i32) -> bool {
    let soon = std::time::Instant::now() + Duration::from_secs(5);
    while is_alive(pid) && std::time::Instant::now() < soon {
        std::thread::yield_now();
    }
    !is_alive(pid)
}

#[test]
fn failures_say_what_happened() {
    let refused = Program::c("broken", "int main(void) { return x; }").unwrap_err();
    assert!(
        matches!(&refused, TestkitError::Compile { diagnostics, .. } if diagnostics.contains("'x' undeclared")),
        "{refused}"
    );

    let source = r#"
        #include "planted.h"
        #include <stdio.h>
        int main(void) { fputs("no such luck", stderr); return 9; }
    "#;
    let ended = Program::c("early_end", source).unwrap().spawn().unwrap_err();
    assert!(
        matches!(&ended, TestkitError::Ended { status, said, .. } if status.contains('9') && said == "no such luck"),
        "{ended}"
    );

    let mute = Program::command(Path::new("/bin/sleep")).arg("60").patience(Duration::from_millis(50));
    assert!(matches!(mute.spawn().unwrap_err(), TestkitError::Silent { .. }));
    let absent = Program::command(Path::new("/no/such/program")).spawn().unwrap_err();
    assert!(matches!(absent, TestkitError::Start { .. }));
}
