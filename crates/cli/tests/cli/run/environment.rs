//! What `run` puts into the environment, and what it leaves there.

use std::process::Command;

use serde_json::Value;
use slackwater_testkit::allocator_library;

use super::{ran, run_on};
use crate::{Ran, python};

/// What `run --print-env --json` says under these variables.
#[track_caller]
fn planned(words: &str, variables: &[(&str, &str)]) -> Value {
    let mut run = run_on(&format!("{words} --print-env --json"), &[]);
    let ran = ran({
        run.envs(variables.iter().copied());
        run
    });
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

#[test]
fn the_library_comes_first_and_others_stay() {
    let ours = allocator_library().unwrap();
    let plan = planned("", &[("LD_PRELOAD", "/lib/libfirst.so /lib/libsecond.so")]);
    let expected = format!("{}:/lib/libfirst.so:/lib/libsecond.so", ours.display());
    assert_eq!(plan["set"]["LD_PRELOAD"], expected.as_str(), "{plan:#}");
    assert_eq!(plan["library"], ours.to_str().unwrap());
    assert_eq!(plan["allocator"], "slackwater");
}

#[test]
fn users_options_are_kept_and_flags_win() {
    let variables = [("MALLOC_CONF", "dirty_decay_ms:77,narenas:9"), ("PYTHONMALLOC", "pymalloc")];
    let plan = planned("--set narenas=2 --governor off", &variables);
    assert_eq!(plan["set"]["MALLOC_CONF"], "dirty_decay_ms:77,narenas:2", "{plan:#}");
    assert_eq!(plan["set"]["SLACKWATER_GOVERNOR"], "off", "{plan:#}");
    assert_eq!(plan["set"]["PYTHONMALLOC"], Value::Null, "{plan:#}");
    let notes = plan["notes"].to_string();
    assert!(notes.contains("narenas=9") && notes.contains("PYTHONMALLOC=pymalloc"), "{notes}");
}

#[test]
fn what_does_nothing_is_said() {
    let variables = [("MALLOC_ARENA_MAX", "2"), ("MALLOC_CONF", "dirty_decay:5")];
    let plan = planned("", &variables);
    let warnings = plan["warnings"].to_string();
    assert!(warnings.contains("MALLOC_ARENA_MAX has no effect"), "{warnings}");
    assert!(warnings.contains("did you mean dirty_decay_ms?"), "{warnings}");
}

#[test]
fn fault_25_an_address_space_limit_is_said() {
    let run = run_on("--print-env", &[]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 8000000; exec \"$@\"", "sh"]).arg(run.get_program()).args(run.get_args());
    let ran = Ran::from(limited.env("SLACKWATER_LIBRARY", allocator_library().unwrap()).output().unwrap());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning: the address space is limited to 8.2 GB"), "{}", ran.err);
}

#[test]
fn fault_27_commands_that_drop_the_preload_are_named() {
    let ran = ran(run_on("", &["env", "-i", "true"]));
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("warning: env starts its command with a clean environment"), "{}", ran.err);
}

#[test]
fn a_shell_can_take_the_variables_over() {
    let run = run_on("--print-env", &[]);
    let mut shell = Command::new("sh");
    shell.args(["-c", "eval \"$(\"$@\")\"; printenv LD_PRELOAD ODD MALLOC_CONF", "sh"]);
    shell.arg(run.get_program()).args(run.get_args()).arg("--set").arg("thp=never");
    shell.env("SLACKWATER_LIBRARY", allocator_library().unwrap()).env("ODD", "it's");
    shell.env_remove("MALLOC_CONF").env("LD_PRELOAD", "/tmp/it's.so");
    let ran = Ran::from(shell.output().unwrap());
    let expected = format!("{}:/tmp/it's.so\nit's\nthp:never\n", allocator_library().unwrap().display());
    assert_eq!(ran.out, expected, "{}", ran.err);
}

#[test]
fn settings_reach_the_allocator() {
    let script = "import ctypes\n\
        value = ctypes.c_ssize_t()\n\
        size = ctypes.c_size_t(8)\n\
        status = ctypes.CDLL(None).mallctl(b'opt.dirty_decay_ms', ctypes.byref(value), ctypes.byref(size), None, 0)\n\
        print(status, value.value)";
    let python = python().path().to_str().unwrap();
    for allocator in ["slackwater", "jemalloc"] {
        let words = format!("-q --allocator {allocator} --set dirty_decay_ms=1234");
        let ran = ran(run_on(&words, &[python, "-c", script]));
        if ran.code == 2 && ran.err.contains("there is no libjemalloc") {
            eprintln!("not tested: no {allocator} here; scripts/setup installs it");
            continue;
        }
        assert_eq!(ran.out, "0 1234\n", "{allocator}: {}", ran.err);
    }
}

#[test]
fn the_settings_of_each_allocator_are_listed() {
    for (allocator, key) in [
        ("slackwater", "governor"),
        ("jemalloc", "lg_prof_sample"),
        ("mimalloc", "purge_delay"),
        ("tcmalloc", "release_rate"),
        ("glibc", "arena_max"),
    ] {
        let ran = ran(run_on(&format!("--allocator {allocator} --set help"), &[]));
        assert_eq!(ran.code, 0, "{}", ran.err);
        assert!(ran.out.contains(key), "{}", ran.out);
    }
}

#[test]
fn fault_27_children_that_run_no_python_get_the_users_own_preload() {
    let script = "import os, subprocess, sys\n\
        shell = subprocess.run(['sh', '-c', 'echo [$LD_PRELOAD]'], capture_output=True, text=True).stdout.strip()\n\
        look = 'print(\"libslackwater_alloc\" in open(\"/proc/self/maps\").read())'\n\
        python = subprocess.run([sys.executable, '-c', look], capture_output=True, text=True).stdout.strip()\n\
        print(shell, python)";
    let python = python().path().to_str().unwrap();
    assert_eq!(ran(run_on("-q", &[python, "-c", script])).out, "[] True\n");
    // Whatever else was there stays there.
    let mut run = run_on("-q", &[python, "-c", script]);
    let ran = Ran::from(run.env("LD_PRELOAD", "libm.so.6").output().unwrap());
    assert_eq!(ran.out, "[libm.so.6] True\n", "{}", ran.err);
}
