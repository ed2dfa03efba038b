//! Settings of the whole machine that made other allocators keep more.
//!
//! Invariant: no test changes the machine of whoever runs it, unless asked to by [`MAY_CHANGE`].

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use slackwater_testkit::Program;

use crate::preload::{output, python, under};

/// Sums up what of a heap is open to huge pages: kilobytes resident in nameless memory that does not refuse them.
const OPEN: &str = r#"
nameless, resident, total = False, 0, 0
for line in open("/proc/self/smaps"):
    words = line.split()
    if not words[0].endswith(":"):
        nameless = len(words) == 5
    elif words[0] == "Rss:":
        resident = int(words[1])
    elif words[0] == "VmFlags:" and nameless and "nh" not in words:
        total += resident
print(total)
"#;
/// jemalloc's own books, which no option closes to huge pages, and the interpreter's data.
const BOOKS_KILOBYTES: u64 = 3 * 2048;

/// The command on a machine whose kernel makes huge pages of whatever it can; so it reads there. `None`, and a
/// reason on standard error, where no mount of its own can be had.
fn with_huge_pages_for_all(command: &Command) -> Option<Command> {
    const MODE: &str = "/sys/kernel/mm/transparent_hugepage/enabled";
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"[always] madvise never\n").unwrap();
    let (_, path) = file.keep().unwrap();
    let script = format!("mount --bind \"$0\" {MODE} && rm \"$0\" && exec \"$@\"");
    let mount = |what: &Path| {
        let mut command = Command::new("unshare");
        if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
            command.arg("--map-root-user");
        }
        command.args(["--mount", "sh", "-c", &script]).arg(&path).arg(what);
        command
    };
    let (_, diagnostics, code) =
        output(mount(Path::new("true")).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"));
    if code != Some(0) {
        eprintln!("not tested: nothing can be mounted over {MODE}: {diagnostics}");
        return None;
    }
    std::fs::write(&path, "[always] madvise never\n").unwrap();
    let mut inside = mount(Path::new(command.get_program()));
    inside.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => inside.env(name, value),
            None => inside.env_remove(name),
        };
    }
    Some(inside)
}

/// Kilobytes that `source` leaves open to huge pages.
fn open_kilobytes(source: &str, variables: &[(&str, &str)]) -> Option<u64> {
    let program = under(&Program::python(python(), "huge", &format!("{source}{OPEN}")).unwrap());
    let mut command = program.to_command();
    command.env_remove("PYTHONMALLOC").envs(variables.iter().copied());
    let (text, diagnostics, _) = output(&mut with_huge_pages_for_all(&command)?);
    Some(text.trim().parse().unwrap_or_else(|_| panic!("{text}{diagnostics}")))
}

#[test]
fn fault_25_huge_pages_for_all_are_not_for_this_heap() {
    const BLOCKS: &str = "blocks = [b'x' * 5_000 for _ in range(13_000)]";
    let Some(control) = open_kilobytes(BLOCKS, &[("MALLOC_CONF", "thp:default")]) else { return };
    assert!(control > 50_000, "{control} kB");
    let open = open_kilobytes(BLOCKS, &[]).expect("a mount, as before");
    assert!(open <= BOOKS_KILOBYTES, "{open} kB");
}

#[test]
fn fault_25_huge_pages_for_all_are_not_for_pools() {
    const OBJECTS: &str = "objects = [(number, str(number)) for number in range(600_000)]";
    let Some(open) = open_kilobytes(OBJECTS, &[]) else { return };
    assert!(open <= BOOKS_KILOBYTES, "{open} kB");
}

/// Allows tests to change settings of the kernel for a moment, when set.
const MAY_CHANGE: &str = "SLACKWATER_TEST_CHANGES_THE_MACHINE";

/// A file of the kernel's settings, which a process of its own puts back when this one ends, however it ends.
/// Until then the file is locked for all who change it in this way.
struct Changed {
    keeper: Child,
}

impl Changed {
    /// None, and a reason on standard error, where it may not be changed.
    fn to(path: &str, value: &str) -> Option<Self> {
        if std::env::var_os(MAY_CHANGE).is_none() {
            eprintln!("not tested: it would change {path} of this machine; {MAY_CHANGE}=1 allows that");
            return None;
        }
        let file = File::open(path).ok()?;
        file.lock().expect("a file can be locked");
        let before = std::fs::read_to_string(path).ok()?;
        let mut keeper = Command::new("sh");
        keeper.args(["-c", r#"cat; echo "$1" > "$0""#, path, before.trim()]).process_group(0);
        let keeper = keeper.stdin(Stdio::piped()).stdout(file).spawn().expect("a shell");
        let changed = Self { keeper };
        match std::fs::write(path, value) {
            Ok(()) => Some(changed),
            Err(error) => {
                eprintln!("not tested: {path} cannot be changed: {error}");
                None
            }
        }
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().expect("our child");
    }
}

#[test]
fn fault_25_strict_overcommit_is_bearable() {
    // Generous, so that nobody else on this machine notices.
    let Some(_ratio) = Changed::to("/proc/sys/vm/overcommit_ratio", "1000") else { return };
    let Some(_strict) = Changed::to("/proc/sys/vm/overcommit_memory", "2") else { return };
    let source = r#"
import threading
kept = []
def burst():
    kept.append([bytes(5_000) for _ in range(8_000)][::100])
threads = [threading.Thread(target=burst) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum(map(len, kept)))
"#;
    let program = under(&Program::python(python(), "strict", source).unwrap());
    let (text, diagnostics, _) = output(&mut program.to_command());
    assert_eq!(text, "320\n", "{diagnostics}");
}
