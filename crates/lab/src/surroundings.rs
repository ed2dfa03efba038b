//! The facts about this machine that decide results, besides the arms.

use std::fs;
use std::process::{Command, Stdio};

use crate::result::Surroundings;

/// The facts. What cannot be read is absent.
pub fn read() -> Surroundings {
    let uname = rustix::system::uname();
    let text = |name: &std::ffi::CStr| name.to_string_lossy().into_owned();
    Surroundings {
        kernel: format!("{} {}", text(uname.sysname()), text(uname.release())),
        glibc: glibc(),
        huge_pages: file("/sys/kernel/mm/transparent_hugepage/enabled").and_then(|modes| chosen(&modes)),
        processor: file("/proc/cpuinfo").and_then(|text| field(&text, "model name")),
        n_cpus: std::thread::available_parallelism().map_or(1, usize::from),
        memory_bytes: file("/proc/meminfo")
            .and_then(|text| field(&text, "MemTotal")?.strip_suffix(" kB")?.parse::<u64>().ok())
            .map_or(0, |kibibytes| kibibytes * 1024),
        overcommit: file("/proc/sys/vm/overcommit_memory").map(|text| text.trim().to_owned()),
    }
}

/// The C library that programs get here, which is not that of this program where it was built elsewhere.
fn glibc() -> Option<String> {
    let answer = Command::new("getconf").arg("GNU_LIBC_VERSION").stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8(answer.stdout).ok()?;
    text.trim().strip_prefix("glibc ").map(str::to_owned)
}

fn file(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()
}

/// `always [madvise] never`: the word in brackets.
fn chosen(modes: &str) -> Option<String> {
    let (_, rest) = modes.split_once('[')?;
    rest.split_once(']').map(|(word, _)| word.to_owned())
}

/// The first `name : value`.
fn field(text: &str, name: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim_start().strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_machine_is() {
        let found = read();
        assert!(found.kernel.starts_with("Linux "), "{found:?}");
        assert!(found.n_cpus > 0 && found.memory_bytes > 1 << 24, "{found:?}");
    }

    #[test]
    fn words_and_fields() {
        assert_eq!(chosen("always [madvise] never\n").as_deref(), Some("madvise"));
        assert_eq!(field("a\t: 1\nmodel name\t: Xeon (R)\n", "model name").as_deref(), Some("Xeon (R)"));
        assert_eq!(field("MemTotal:       16 kB\n", "MemTotal").as_deref(), Some("16 kB"));
    }
}
