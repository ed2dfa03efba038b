//! Programs that a Python process starts: those that are Python again run on our malloc too.
//!
//! Multiprocessing's spawn and fork server, uvicorn's workers and gunicorn's re-execution start the
//! interpreter anew. `preload` has taken our entry out of the environment that they would inherit; here
//! it is put back in front, for them alone.
//!
//! Invariants: a child of `vfork` runs this in its parent's memory, so nothing is allocated and nothing
//! but the stack is written; where the environment is larger than the room there, the child gets it as
//! it is. The variadic `execl` family is left to libc: no interpreter starts workers by it.
#![allow(unsafe_code)] // the C interface of exec

use crate::preload::{self, VALUE_BYTES, VARIABLE};
use crate::{program, sys};
use core::ffi::{CStr, c_char, c_int, c_void};
use core::mem::MaybeUninit;
use core::ptr::null;

/// Variables of an environment that has room here.
const VARIABLES_MAX: usize = 1024;

/// Bytes of a script that are looked at.
const SCRIPT_BYTES: usize = 512;

type Strings = *const *const c_char;

/// # Safety
/// As execve(2).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn execve(
    path: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the arguments are execve(2)'s.
    let target = unsafe { Target::new(path, arguments) };
    target.with_environment(environment, |environment| {
        // SAFETY: `environment` is our caller's, or lives in the frame below this one.
        unsafe { sys::execve(path, arguments, environment) }
    })
}

/// # Safety
/// As execv(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn execv(path: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: as execv(3), with the environment that it would take.
    unsafe { execve(path, arguments, sys::environment_pointer()) }
}

/// # Safety
/// As execvpe(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn execvpe(
    file: *const c_char,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the arguments are execvpe(3)'s.
    let target = unsafe { Target::new(file, arguments) };
    target.with_environment(environment, |environment| {
        // SAFETY: as in `execve`.
        unsafe { sys::real_execvpe(file, arguments, environment) }
    })
}

/// # Safety
/// As execvp(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn execvp(file: *const c_char, arguments: Strings) -> c_int {
    // SAFETY: as execvp(3), with the environment that it would take.
    unsafe { execvpe(file, arguments, sys::environment_pointer()) }
}

/// # Safety
/// As posix_spawn(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn posix_spawn(
    pid: *mut libc::pid_t,
    path: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the arguments are posix_spawn(3)'s.
    let target = unsafe { Target::new(path, arguments) };
    target.with_environment(environment, |environment| {
        // SAFETY: as in `execve`.
        unsafe {
            sys::real_posix_spawn(sys::Spawn::ByPath, pid, path, actions, attributes, arguments, environment)
        }
    })
}

/// # Safety
/// As posix_spawnp(3).
#[cfg_attr(not(test), unsafe(no_mangle))]
pub(crate) unsafe extern "C" fn posix_spawnp(
    pid: *mut libc::pid_t,
    file: *const c_char,
    actions: *const c_void,
    attributes: *const c_void,
    arguments: Strings,
    environment: Strings,
) -> c_int {
    // SAFETY: the arguments are posix_spawnp(3)'s.
    let target = unsafe { Target::new(file, arguments) };
    target.with_environment(environment, |environment| {
        // SAFETY: as in `execve`.
        unsafe {
            sys::real_posix_spawn(sys::Spawn::ByName, pid, file, actions, attributes, arguments, environment)
        }
    })
}

/// The program to start.
enum Target {
    /// One that gets our entry, which is here.
    Python(&'static [u8]),
    /// Any other.
    Other,
}

impl Target {
    /// # Safety
    /// `path` and each of `arguments` up to its NULL are strings or NULL.
    unsafe fn new(path: *const c_char, arguments: Strings) -> Self {
        let Some(entry) = preload::entry() else { return Self::Other };
        if path.is_null() {
            return Self::Other;
        }
        // SAFETY: a string, by our caller.
        let path = unsafe { CStr::from_ptr(path) };
        let name = base_name(path.to_bytes());
        let is_python = match name {
            b"env" => {
                // SAFETY: as our caller promises.
                let mut words = unsafe { words(arguments) }.skip(1);
                words.any(|word| program::is_python_path(word.to_bytes()))
            }
            _ => program::is_python_path(name) || is_python_file(path),
        };
        if is_python { Self::Python(entry) } else { Self::Other }
    }

    /// Calls `start` with the environment that the program should get.
    fn with_environment(&self, environment: Strings, start: impl FnOnce(Strings) -> c_int) -> c_int {
        match self {
            // SAFETY: `environment` is that of an exec, so NULL or strings up to a NULL.
            Self::Python(entry) => unsafe { with_entry(entry, environment, start) },
            Self::Other => start(environment),
        }
    }
}

/// Not inlined, so that only the programs that need it pay its frame.
///
/// # Safety
/// `environment` is NULL or strings up to a NULL.
#[inline(never)]
unsafe fn with_entry(entry: &[u8], environment: Strings, start: impl FnOnce(Strings) -> c_int) -> c_int {
    let mut value: &[u8] = b"";
    let mut room = [MaybeUninit::<*const c_char>::uninit(); VARIABLES_MAX];
    // The first place is for our variable, the last for the NULL.
    let mut n = 1;
    // SAFETY: as our caller promises.
    for text in unsafe { words(environment) } {
        if let Some(found) = text.to_bytes().strip_prefix(VARIABLE) {
            if preload::own_entry(found).is_some() {
                return start(environment);
            }
            value = found;
        } else if n < VARIABLES_MAX - 1 {
            room[n].write(text.as_ptr());
            n += 1;
        } else {
            return start(environment);
        }
    }
    let mut text = [0; VALUE_BYTES];
    let Some(variable) = preload::put_back(entry, value, &mut text) else { return start(environment) };
    room[0].write(variable.as_ptr().cast());
    room[n].write(null());
    start(room.as_ptr().cast())
}

/// The strings up to the NULL; none of NULL.
///
/// # Safety
/// `strings` is NULL or strings up to a NULL, and stays so.
unsafe fn words<'a>(strings: Strings) -> impl Iterator<Item = &'a CStr> {
    let mut at = strings;
    core::iter::from_fn(move || {
        if at.is_null() {
            return None;
        }
        // SAFETY: not beyond the NULL, where the iteration ends.
        let text = unsafe { *at };
        if text.is_null() {
            return None;
        }
        at = at.wrapping_add(1);
        // SAFETY: a string, by our caller.
        Some(unsafe { CStr::from_ptr(text) })
    })
}

fn base_name(path: &[u8]) -> &[u8] {
    path.rsplit(|&byte| byte == b'/').next().unwrap_or(path)
}

/// By what the file is: our own interpreter under another name, or a script for one. A name without a
/// slash is looked for where `PATH` leads.
fn is_python_file(path: &CStr) -> bool {
    if path.to_bytes().contains(&b'/') {
        return sys::is_own_executable(path)
            || sys::File::open(path).is_some_and(|file| is_python_script(&file));
    }
    let mut found = false;
    sys::each_in_path(path.to_bytes(), |candidate| {
        if let Some(file) = sys::File::open(candidate) {
            found = sys::is_own_executable(candidate) || is_python_script(&file);
            return false;
        }
        true
    });
    found
}

fn is_python_script(file: &sys::File) -> bool {
    let mut text = [0; SCRIPT_BYTES];
    names_python(file.read(&mut text))
}

/// A first line such as `#!/usr/bin/python3 -s`, `#!/usr/bin/env -S python3 -u`; or, where the path is too
/// long for one, `#!/bin/sh` and then `'''exec' /path/to/python "$0" "$@"`.
fn names_python(script: &[u8]) -> bool {
    let mut lines = script.split(|&byte| byte == b'\n');
    let Some(interpreter) = lines.next().and_then(|line| line.strip_prefix(b"#!")) else { return false };
    let mut words = interpreter.split(|&byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty());
    match words.next().map(base_name) {
        Some(b"env") => words.any(program::is_python_path),
        Some(b"sh") => lines.next().and_then(|line| line.strip_prefix(b"'''exec' ")).is_some_and(|command| {
            let path = command.split(|&byte| byte == b' ').next().unwrap_or(command);
            program::is_python_path(path.strip_suffix(b"\"").unwrap_or(path))
        }),
        Some(name) => program::is_python_path(name),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_for_python() {
        let check =
            |script: &str, expected| assert_eq!(names_python(script.as_bytes()), expected, "{script}");
        check("#!/usr/bin/python3 -s\nimport os", true);
        check("#! /opt/v/bin/python3.11\n", true);
        check("#!/usr/bin/env python3\n", true);
        check("#!/usr/bin/env -S python3 -u\n", true);
        check("#!/bin/sh\n'''exec' /very/long/bin/python \"$0\" \"$@\"\n", true);
        check("#!/bin/sh\npython3 -c 1\n", false);
        check("#!/usr/bin/env node\n", false);
        check("\x7fELF", false);
        check("#!", false);
        check("", false);
    }

    /// What a start with `environment` would pass on.
    fn passed_on(environment: &[&CStr]) -> Vec<String> {
        let mut pointers: Vec<_> = environment.iter().map(|text| text.as_ptr()).collect();
        pointers.push(null());
        let mut passed = Vec::new();
        let start = |environment| {
            // SAFETY: what `with_entry` passes is an environment.
            passed = unsafe { words(environment) }.map(|text| text.to_string_lossy().into_owned()).collect();
            7
        };
        // SAFETY: strings up to a NULL.
        assert_eq!(unsafe { with_entry(b"/x/libslackwater_alloc.so", pointers.as_ptr(), start) }, 7);
        passed
    }

    #[test]
    fn python_children_get_the_entry_back_once() {
        let own = "LD_PRELOAD=/x/libslackwater_alloc.so";
        assert_eq!(passed_on(&[c"A=1", c"B=2"]), [own, "A=1", "B=2"]);
        assert_eq!(passed_on(&[c"A=1", c"LD_PRELOAD=/a.so"]), [&format!("{own}:/a.so"), "A=1"]);
        assert_eq!(passed_on(&[c"LD_PRELOAD=/x/libslackwater_alloc.so", c"A=1"]), [own, "A=1"]);
        assert_eq!(passed_on(&[]), [own]);
    }

    #[test]
    fn an_environment_without_room_goes_on_as_it_is() {
        let many = vec![c"A=1"; VARIABLES_MAX];
        assert_eq!(passed_on(&many), vec!["A=1"; VARIABLES_MAX]);
    }
}
