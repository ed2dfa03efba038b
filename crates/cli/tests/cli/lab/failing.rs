//! Services that fail: each is said with its reason and its last words, and the other arms go on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

use serde_json::Value;

use super::{Bench, is_root, names};
use crate::{Ran, slackwater};

/// The reason why `arm` has no trial, and the last lines of its log.
#[track_caller]
fn void(result: &Value, arm: &str) -> (String, String) {
    assert!(!names(&result["trials"], "arm").contains(&arm), "{arm} was measured");
    let voids = result["voids"].as_array().unwrap();
    let void = voids.iter().find(|void| void["arm"] == arm).unwrap_or_else(|| panic!("{voids:#?}"));
    (void["reason"].as_str().unwrap().to_owned(), void["log"].to_string())
}

#[test]
fn a_service_that_fails_is_named_and_the_other_arms_go_on() {
    let bench = Bench::serving(&["right", "ends", "dies", "wrong", "background"]);
    let ran = bench.run();
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("nothing was measured of: ends, dies, wrong, background"), "{}", ran.err);
    let result = bench.result();
    let mut measured = names(&result["trials"], "arm");
    measured.sort_unstable();
    assert_eq!(measured, ["right", "right again"]);
    // Everything void was tried again, once.
    assert_eq!(result["voids"].as_array().unwrap().len(), 2 * 4);

    let (reason, log) = void(&result, "ends");
    assert_eq!(reason, "the service ended at its start: exit code 3");
    assert!(log.contains("no configuration"), "{log}");
    let (reason, log) = void(&result, "dies");
    assert!(reason.contains("while it was measured: exit code 7"), "{reason}");
    assert!(log.contains("going down"), "{log}");
    let (reason, _) = void(&result, "wrong");
    assert!(reason.contains("answers were wrong: "), "{reason}");
    let (reason, _) = void(&result, "background");
    assert!(reason.contains("exit code 0; 1 of its processes went on"), "{reason}");
    bench.assert_nothing_is_left();
}

#[test]
fn a_service_that_never_becomes_ready_is_said_with_its_last_line() {
    let bench = Bench::serving(&["never"]);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    // A shell is there at once, however busy the machine is.
    let command = format!("command = '{} {{port}} never'", bench.script("service.py"));
    let waits = "command = ['sh', '-c', 'echo waiting for the database; exec sleep 600', '{port}']";
    let plan = plan.replace(&command, waits);
    assert!(plan.contains(waits));
    for (ready, missing) in [
        ("{ tcp = true }", "connecting to port"),
        ("{ http = \"/health\" }", "GET /health: "),
        ("{ log = \"up and running\" }", "it wrote no line with \"up and running\""),
    ] {
        bench.plan(&plan.replace("{ tcp = true }", ready).replace("'20s'", "'600ms'"));
        let ran: Ran = bench.command("--force").output().unwrap().into();
        assert_eq!(ran.code, 4, "{}", ran.err);
        let (reason, log) = void(&bench.result(), "never");
        assert!(reason.starts_with("the service was not ready within "), "{reason}");
        assert!(reason.contains(missing), "{reason}");
        assert!(
            log.contains("waiting for the database") && ran.err.contains("waiting for the database"),
            "{log}"
        );
    }
    bench.assert_nothing_is_left();
}

#[test]
fn a_command_that_is_not_there_is_said() {
    let bench = Bench::working("", "", 1);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    bench.plan(&plan.replace(&bench.script("work.py"), "/no/such/program"));
    let ran = bench.run();
    assert_eq!(ran.code, 4, "{}", ran.err);
    let (reason, log) = void(&bench.result(), "plain");
    assert_eq!(reason, "the service did not do its work: exit code 2");
    assert!(log.contains("cannot execute /no/such/program"), "{log}");
}

#[test]
fn a_load_command_that_fails_is_said_and_one_that_works_is_no_http() {
    let bench = Bench::serving(&["right"]);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    let (head, rest) = plan.split_once("[load]").unwrap();
    let (_, tail) = rest.split_once("[schedule]").unwrap();
    let with = |load: &str| format!("{head}[load]\nmodel = 'external'\ncommand = [{load}]\n[schedule]{tail}");
    bench.plan(&with("'sh', '-c', 'echo no such host >&2; exit 9'"));
    let ran = bench.run();
    assert_eq!(ran.code, 4, "{}", ran.err);
    let (reason, _) = void(&bench.result(), "right");
    assert_eq!(reason, "the load command failed: exit code 9; it wrote: no such host");

    let asks = "import sys, urllib.request as r; assert r.urlopen(sys.argv[1]).read() == b\"right\"";
    fs::write(bench.path("ask.py"), asks).unwrap();
    let words = bench.script("ask.py").split(' ').map(|word| format!("'{word}'")).collect::<Vec<_>>();
    bench.plan(&with(&format!("{}, '{{url}}/'", words.join(", "))));
    let ran: Ran = bench.command("--force").output().unwrap().into();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = bench.result();
    assert_eq!(result["model"], "external");
    assert_eq!(result["trials"][0]["rounds"][0]["load"], Value::Null);
    bench.assert_nothing_is_left();
}

/// A process that is none of the service's takes its port: the loader waits for it, as nothing else can be
/// told of the moment.
#[test]
fn a_port_that_is_left_behind_is_said() {
    let bench = Bench::new("", &[]);
    let (port, listens) = (bench.path("port"), bench.path("listens"));
    bench.plan(&format!(
        "name = 'leak'\n[service]\ncommand = ['sh', '-c', 'echo {{port}} > {0}.new; mv {0}.new {0}; exec sleep 600']\n\
         ready = {{ started = true }}\n[load]\nmodel = 'external'\n\
         command = ['sh', '-c', 'until [ -e {1} ]; do sleep 0.02; done']\n\
         [schedule]\nrepetitions = 1\nrounds = 1\nidle = '200ms'\n[[arm]]\nname = 'leaks'\n",
        port.display(),
        listens.display(),
    ));
    let running = bench.start();
    super::wait_for("the port", || super::exists(&port));
    let number: u16 = fs::read_to_string(&port).unwrap().trim().parse().unwrap();
    let listener = std::net::TcpListener::bind(("127.0.0.1", number)).unwrap();
    fs::write(&listens, "").unwrap();
    let ran = Ran::from(running.output());
    let result = bench.result();
    let reason = result["voids"][0]["reason"].as_str().unwrap();
    assert_eq!(
        reason,
        format!(
            "something still listens on port {number} after the service was stopped, and it is none of its processes"
        ),
        "{}",
        ran.err
    );
    drop(listener);
    bench.assert_nothing_is_left();
}

#[test]
fn a_process_that_outlives_its_service_is_killed_and_named() {
    let bench = Bench::working(
        "import os, signal, time\n\
         if os.fork() == 0:\n\
         \x20   os.setsid()\n\
         \x20   if os.fork() == 0:\n\
         \x20       signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
         \x20       time.sleep(600)\n\
         \x20   os._exit(0)\n\
         time.sleep(0.3)\n",
        "",
        1,
    );
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let gaps = bench.result()["trials"][0]["gaps"].to_string();
    assert!(gaps.contains("processes that did not end with the service and were killed: "), "{gaps}");
    bench.assert_nothing_is_left();
}

#[test]
fn a_memory_limit_is_kept_and_crossing_it_is_said() {
    if !is_root() {
        eprintln!("not tested: a memory limit, which needs root");
        return;
    }
    let work = "import sys, time\nblock = bytearray(b'x') * (int(sys.argv[1]) << 20)\ntime.sleep(0.3)\n";
    let bench = Bench::working(work, "memory_limit = '96MiB'\nenvironment = { MALLOC_ARENA_MAX = '1' }", 1);
    let plan = fs::read_to_string(bench.path("lab.toml")).unwrap();
    let command = bench.script("work.py");
    bench.plan(&plan.replace(&format!("'{command}'"), &format!("'{command} 20'")));
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let result = bench.result();
    let peak = result["trials"][0]["cgroup_peak_bytes"].as_u64().unwrap();
    assert!((20 << 20..96 << 20).contains(&peak), "{peak}");
    assert!(
        result["trials"][0]["series"].as_array().unwrap().iter().any(|point| point["cgroup_bytes"].is_u64())
    );

    bench.plan(&plan.replace(&format!("'{command}'"), &format!("'{command} 200'")));
    let ran: Ran = bench.command("--force").output().unwrap().into();
    assert_eq!(ran.code, 4, "{}", ran.err);
    let (reason, _) = void(&bench.result(), "plain");
    assert!(reason.starts_with("the memory limit killed 1 process"), "{reason}");
    bench.assert_nothing_is_left();
}

#[test]
fn processors_are_those_of_the_plan_and_others_are_refused() {
    let work =
        "import os, sys, time\ntime.sleep(0.2)\nsys.exit(0 if os.sched_getaffinity(0) == {0} else 5)\n";
    let bench = Bench::working(work, "cpus = [0]", 1);
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{}", ran.err);
    let bench = Bench::working(work, "cpus = [1000]", 1);
    let ran = bench.run();
    assert_ne!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("1000"), "{}", ran.err);
}

#[test]
fn rights_that_are_missing_are_said() {
    const NOBODY: u32 = 65534;
    if !is_root() {
        eprintln!("not tested: another user's rights, which needs root");
        return;
    }
    let bench = Bench::working("import time\ntime.sleep(0.2)\n", "memory_limit = '96MiB'", 1);
    fs::set_permissions(bench.folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    // The binary may lie below a folder that only root can enter; a copy is for everyone.
    let copy = bench.path("slackwater");
    fs::copy(slackwater("").get_program(), &copy).unwrap();
    let as_nobody = |more: &str| {
        let mut command = Command::new(&copy);
        command.args(["lab", "run", "lab.toml"]).args(more.split_whitespace());
        Ran::from(command.current_dir(bench.folder.path()).uid(NOBODY).gid(NOBODY).output().unwrap())
    };
    let ran = as_nobody("");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("cannot write to ") && ran.err.contains("--output"), "{}", ran.err);

    let own = bench.path("own");
    fs::create_dir(&own).unwrap();
    std::os::unix::fs::chown(&own, Some(NOBODY), Some(NOBODY)).unwrap();
    let ran = as_nobody("--output own");
    assert_eq!(ran.code, 4, "{}", ran.err);
    assert!(ran.err.contains("no control group for memory_limit can be made"), "{}", ran.err);
    assert!(ran.err.contains("run as root, or leave memory_limit out"), "{}", ran.err);
    bench.assert_nothing_is_left();
}
