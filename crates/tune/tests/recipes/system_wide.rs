//! The script for a whole machine, run by root in a mount namespace with an /etc of its own.

use std::fs;
use std::process::{Command, Output};

use slackwater_tune::Allocator;
use slackwater_tune::recipes::Place;

use crate::{files, folder, installed, request, text, well};

/// Makes a copy of /etc the namespace's own, then runs what else is asked.
const WITHIN: &str = "
set -e
mount --make-rprivate /
cp -a /etc/. \"$1/etc\"
mount --bind \"$1/etc\" /etc
";

/// What jemalloc was told, which file it is, and what else every program gets.
const SHOWS: &str = "
env -i /usr/bin/python3 -c '
import ctypes
value = ctypes.c_uint()
size = ctypes.c_size_t(4)
ctypes.CDLL(None).mallctl(b\"opt.narenas\", ctypes.byref(value), ctypes.byref(size), None, 0)
print(value.value, [line.split()[-1] for line in open(\"/proc/self/maps\") if \"jemalloc\" in line][0])
'
tail -n 1 /etc/environment
";

/// Runs the script for jemalloc between `before` and `after`; `None` where that cannot be.
fn within(before: &str, after: &str) -> Option<Output> {
    if !rustix::process::geteuid().is_root() {
        eprintln!("not tested: a mount namespace needs root");
        return None;
    }
    let folder = folder();
    fs::create_dir(folder.path().join("etc")).unwrap();
    let recipe = files(&request(Place::SystemWide, Allocator::Jemalloc));
    // The package is there, or this is not tested.
    let script = text(&recipe, "system-wide.sh").replace("apt-get install", "true apt-get install");
    fs::write(folder.path().join("system-wide.sh"), script).unwrap();
    let program = format!("{WITHIN}{before}\nsh \"$1/system-wide.sh\"\n{after}");
    let mut unshare = Command::new("unshare");
    let output = unshare.args(["--mount", "sh", "-c", &program, "sh"]).arg(folder.path()).output().unwrap();
    assert!(!fs::exists("/etc/ld.so.preload").unwrap(), "this machine's own /etc was changed");
    Some(output)
}

#[test]
fn every_program_is_served_with_the_settings_even_without_an_environment() {
    let Some(library) = installed(Allocator::Jemalloc) else { return };
    let Some(output) = within("", SHOWS) else { return };
    let real = library.canonicalize().unwrap();
    assert_eq!(well(&output), format!("1 {}\nPYTHONMALLOC=malloc\n", real.display()));
}

#[test]
fn what_is_there_already_is_left_alone() {
    if installed(Allocator::Jemalloc).is_none() {
        return;
    }
    let Some(output) = within("echo > /etc/ld.so.preload", "") else { return };
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is in use"));
}
