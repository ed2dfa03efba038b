//! The binary as its user meets it: real services, exit codes, words, and what is left untouched.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what could not be tested here is said, not hidden")]

mod advise;
mod diagnose;
mod doctor;
mod endpoints;
mod follow_exec;
mod lab;
mod namespaces;
mod ours;
mod record;
mod record_attach;
mod refusals;
mod reports;
mod run;
mod services;
mod surroundings;
mod trim;
mod verify;
mod verify_servers;

use std::path::Path;
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;
use slackwater_base::Pid;
use slackwater_testkit::{Interpreter, Program, Target, interpreters};

/// The binary under test with `words` as its arguments, split at blanks.
fn slackwater(words: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slackwater"));
    command.args(words.split(' ').filter(|word| !word.is_empty()));
    // What the tests run in is not what they are about.
    command.env_remove("NO_COLOR").env_remove("CLICOLOR_FORCE").env("TERM", "xterm");
    command
}

struct Ran {
    code: i32,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

fn run(words: &str) -> Ran {
    slackwater(words).output().unwrap().into()
}

/// The documents that `words` print, after checking the exit code.
#[track_caller]
fn json(words: &str) -> Vec<Value> {
    let ran = run(words);
    assert_eq!(ran.code, 0, "{words}: {}{}", ran.out, ran.err);
    ran.out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn python() -> &'static Interpreter {
    static FOUND: OnceLock<Interpreter> = OnceLock::new();
    FOUND.get_or_init(|| {
        let plain = interpreters().iter().filter(|one| one.is_plain());
        plain.max_by_key(|one| one.version()).expect("a CPython on this machine").clone()
    })
}

/// Frees 120 MiB in small pieces, all held at the same time in four threads' arenas, and holds on to a
/// piece in a thousand.
const RETAINS: &str = r#"
import threading
kept = []
all_hold = threading.Barrier(4)
def burst():
    blocks = [bytes(2000 + index % 512) for index in range(15_000)]
    all_hold.wait()
    kept.append(blocks[::1000])
threads = [threading.Thread(target=burst) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ready()
serve()
"#;

fn retaining() -> Target {
    Program::python(python(), "retains", RETAINS).unwrap().spawn().unwrap()
}

/// What the kernel says now: RSS, and page faults so far.
fn rss_and_faults(pid: Pid) -> (u64, u64) {
    let process = slackwater_procfs::Root::host().process(pid).unwrap();
    (process.usage().unwrap().rss_bytes, process.stat().unwrap().minor_faults)
}

/// Holds a document against the published schema of this file name.
#[track_caller]
fn validate_by(schema: &str, document: &Value) {
    let schema = std::fs::read_to_string(repository().join("docs/schema").join(schema)).unwrap();
    let validator = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<String> =
        validator.iter_errors(document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}\n{document:#}");
}

fn repository() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
