//! What is not a Python that we know is told so.

use std::path::PathBuf;

use slackwater_python::{PythonError, find};
use slackwater_testkit::{Program, Target};

use crate::planted::open;

#[test]
fn a_process_without_python_has_none() {
    let source =
        "#include \"planted.h\"\nint main(void) { ready(\"\"); while (next_command()) reply(\"\"); }";
    let target = Program::c("no_python", source).unwrap().spawn().unwrap();
    let live = open(&target);
    assert_eq!(find(&live, &live), Ok(None));
}

/// A Python of pyenv's that `interpreters` leaves out because it is too old.
fn too_old(version: &str) -> Option<Target> {
    let pyenv = std::env::var_os("PYENV_ROOT")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".pyenv")))?;
    let python = pyenv.join("versions").join(version).join("bin/python");
    let script = "import os, sys; os.write(1, b'ready\\n'); sys.stdin.read()";
    if !python.exists() {
        eprintln!("no {}: its refusal is not covered", python.display());
        return None;
    }
    Some(Program::command(&python).arg("-c").arg(script).spawn().unwrap())
}

#[test]
fn fault_40_a_release_that_is_not_known_is_refused_by_name() {
    for version in ["2.7.18", "3.6.15", "3.7.16"] {
        let Some(target) = too_old(version) else { continue };
        let live = open(&target);
        match find(&live, &live) {
            Err(PythonError::UnknownRelease { version: found, nearest }) => {
                assert_eq!((found.to_string().as_str(), nearest), (version, (3, 8)));
            }
            other => panic!("{version}: {other:?}"),
        }
    }
}
