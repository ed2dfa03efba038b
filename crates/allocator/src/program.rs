//! Which kind of program this process runs.
//!
//! Services are Python; a shell, a compiler or `git` that inherits the preload must stay as it was: no
//! thread of ours, its environment untouched.
//!
//! Invariant: `is_python` answers before libc is fully up, so it judges by the name of the executable
//! alone; `embeds_python` needs the loader and is asked later.

use crate::sys;

const PATH_BYTES: usize = 4096;

/// The executable is called like a Python interpreter.
pub(crate) fn is_python() -> bool {
    let mut path = [0; PATH_BYTES];
    is_python_path(sys::executable(&mut path))
}

/// The executable is a Python interpreter, or a program that has one linked in, such as uWSGI.
pub(crate) fn embeds_python() -> bool {
    is_python() || sys::global_symbol(c"Py_BytesMain").is_some() || sys::global_symbol(c"Py_Main").is_some()
}

/// `python`, `python3`, `python3.12`, `python3.13t`, `pypy3`, with or without a folder before it; and
/// `uwsgi`, which is a Python server even where it loads the interpreter only later.
pub(crate) fn is_python_path(path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    if name.starts_with(b"uwsgi") {
        return true;
    }
    name.strip_prefix(b"python").or_else(|| name.strip_prefix(b"pypy")).is_some_and(|version| {
        version
            .split(|&byte| byte == b' ')
            .next()
            .unwrap_or(version)
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'-' | b't' | b'd'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_interpreters() {
        let check = |path: &str, expected| assert_eq!(is_python_path(path.as_bytes()), expected, "{path}");
        check("/usr/bin/python3", true);
        check("/opt/v/bin/python3.13t", true);
        check("python", true);
        check("pypy3.10", true);
        check("/usr/bin/python3.11 (deleted)", true);
        check("/usr/bin/uwsgi-core", true);
        check("/usr/bin/python3-config", false);
        check("/usr/bin/pythonium", false);
        check("/python/bin/bash", false);
        check("", false);
    }
}
