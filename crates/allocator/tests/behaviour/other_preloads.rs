//! Another allocator, or somebody who watches allocations, in the same process.

use std::path::Path;
use std::process::Command;

use slackwater_testkit::{Linking, Program, wheel};

use crate::preload::{is_governed, library, output, program, python};

const OTHERS: &[&str] =
    &["libjemalloc.so.2", "libmimalloc.so.2.0", "libtcmalloc_minimal.so.4", "libtcmalloc.so.4"];

/// Which object malloc comes from, and what a preloaded neighbour makes of it.
const WHO_SERVES: &str = r#"
import ctypes, threading
class Info(ctypes.Structure):
    _fields_ = [("file", ctypes.c_char_p), ("base", ctypes.c_void_p),
                ("name", ctypes.c_char_p), ("address", ctypes.c_void_p)]
process, info = ctypes.CDLL(None), Info()
# Not malloc: to that the interpreter itself may give an address.
process.dladdr(ctypes.cast(process.memalign, ctypes.c_void_p), ctypes.byref(info))
def work():
    return len([bytes(i % 5000) for i in range(20_000)])
threads = [threading.Thread(target=work) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
ready(info.file.decode().rsplit("/", 1)[1])
serve()
"#;

fn preloaded(first: &Path, second: &Path) -> slackwater_testkit::Target {
    let both = format!("{}:{}", first.display(), second.display());
    Program::python(python(), "who_serves", WHO_SERVES).unwrap().env("LD_PRELOAD", both).spawn().unwrap()
}

#[test]
fn fault_15_the_first_preloaded_allocator_serves_and_the_other_sleeps() {
    let ours = library();
    let our_name = ours.file_name().unwrap().to_str().unwrap();
    for name in OTHERS {
        let other = Path::new("/usr/lib/x86_64-linux-gnu").join(name);
        if !other.exists() {
            eprintln!("not tested: no {name}, which `make setup` installs");
            continue;
        }
        let target = preloaded(&ours, &other);
        assert_eq!(target.greeting(), our_name, "before {name}");
        assert!(is_governed(target.pid()));
        let target = preloaded(&other, &ours);
        assert!(
            target.greeting().starts_with(name.trim_end_matches(".0")),
            "after {name}: {}",
            target.greeting()
        );
        assert!(!is_governed(target.pid()), "a governor of a heap that nobody uses, after {name}");
    }
}

#[test]
fn fault_15_tracemalloc_sees_what_it_always_sees() {
    let source = r#"
import tracemalloc
tracemalloc.start(5)
kept = [bytes(10_000) for _ in range(1000)]
current, peak = tracemalloc.get_traced_memory()
ready(current > 10_000_000 and len(tracemalloc.take_snapshot().statistics("lineno")) > 0)
serve()
"#;
    let program = Program::python(python(), "traced", source).unwrap();
    for malloc in ["pymalloc", "malloc", "debug"] {
        let target = crate::preload::under(&program).env("PYTHONMALLOC", malloc).spawn().unwrap();
        assert_eq!(target.greeting(), "True", "{malloc}");
    }
}

#[test]
fn fault_15_memray_profiles_a_process_that_runs_on_it() {
    let Some(python) = wheel("python") else { return };
    let folder = tempfile::tempdir().unwrap();
    let capture = folder.path().join("capture.bin");
    let script = folder.path().join("script.py");
    std::fs::write(&script, "kept = [bytes(10_000) for _ in range(5000)]\ndel kept\nprint('ran')\n").unwrap();
    let run = |arguments: &[&str]| {
        output(Command::new(&python).args(["-m", "memray"]).args(arguments).env("LD_PRELOAD", library()))
    };
    let (text, diagnostics, code) =
        run(&["run", "--native", "-o", capture.to_str().unwrap(), script.to_str().unwrap()]);
    assert!(code == Some(0) && text.contains("ran"), "{text}{diagnostics}");
    let (text, diagnostics, code) = run(&["stats", capture.to_str().unwrap()]);
    assert!(code == Some(0) && text.contains("script.py"), "{text}{diagnostics}");
}

#[test]
fn fault_15_a_program_with_the_address_sanitizer_says_why_it_refuses() {
    let source = r#"
#include <stdio.h>
#include <stdlib.h>
int main(void) { free(malloc(100)); puts("clean"); return 0; }"#;
    let program = Program::c_linked("sanitized", source, Linking::Dynamic, &["-fsanitize=address"]).unwrap();
    let (text, _, code) = output(&mut program.to_command());
    assert_eq!((text.as_str(), code), ("clean\n", Some(0)), "without us");
    let (_, diagnostics, code) = output(program.to_command().env("LD_PRELOAD", library()));
    assert!(diagnostics.contains("ASan runtime does not come first"), "{diagnostics}");
    assert_eq!(code, Some(1));
    // A service's child is not preloaded, so there it runs.
    let source = format!("import subprocess\nprint(subprocess.run([{:?}]).returncode)", program.executable());
    let (text, diagnostics, code) =
        output(python().command().arg("-c").arg(source).env("LD_PRELOAD", library()));
    assert_eq!((text.as_str(), code), ("clean\n0\n", Some(0)), "{diagnostics}");
}

#[test]
fn settings_meant_for_glibc_do_not_stop_it() {
    let program = program!("conformance");
    for (name, value) in
        [("MALLOC_PERTURB_", "7"), ("MALLOC_CHECK_", "3"), ("GLIBC_TUNABLES", "glibc.malloc.check=3")]
    {
        let (_, diagnostics, code) = output(crate::preload::under(&program).to_command().env(name, value));
        assert_eq!(code, Some(0), "{name}: {diagnostics}");
    }
}
