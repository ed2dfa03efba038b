//! Who inherits the library: children that are Python again do, all others get their environment back.

use std::path::Path;
use std::process::Command;

use slackwater_testkit::{Linking, Program};

use crate::preload::{library, output, python};

/// A program that prints what a child of each kind finds in LD_PRELOAD, and whether we are its malloc.
const KINDS: &str = r##"
import os, subprocess, sys
LOOK = "import os; print(os.environ.get('LD_PRELOAD', '-'), 'libslackwater_alloc' in open('/proc/self/maps').read())"
shell = "echo ${LD_PRELOAD:--} $(grep -c libslackwater_alloc /proc/self/maps)"
folder = sys.argv[1]
def script(name, first):
    path = os.path.join(folder, name)
    with open(path, "w") as file: file.write(f"#!{first}\n{LOOK}\n")
    os.chmod(path, 0o755)
    return path
def say(kind, text): print(f"{kind}: {text.strip()}", flush=True)
def run(kind, *words, **more): say(kind, subprocess.run(words, capture_output=True, text=True, **more).stdout)
def forked(kind, run):
    sys.stdout.flush()
    read, write = os.pipe()
    if os.fork() == 0:
        os.dup2(write, 1)
        run()
        os._exit(1)
    os.close(write)
    with os.fdopen(read) as lines: say(kind, lines.read())
    os.wait()
say("self", f"{os.environ.get('LD_PRELOAD', '-')} {'libslackwater_alloc' in open('/proc/self/maps').read()}")
run("sh", "/bin/sh", "-c", shell)
say("popen", os.popen(shell).read())
forked("exec of sh", lambda: os.execv("/bin/sh", ["sh", "-c", shell]))
run("env", "/usr/bin/env", "sh", "-c", shell)
run("python", sys.executable, "-c", LOOK)
run("python without fork", sys.executable, "-c", LOOK, close_fds=False)
run("python by a script", script("direct", sys.executable))
run("python by env in a script", script("by_env", "/usr/bin/env python3"))
forked("exec of python", lambda: os.execv(sys.executable, ["python3", "-c", LOOK]))
forked("exec of python by path", lambda: os.execvp("python3", ["python3", "-c", LOOK]))
forked("python with an environment", lambda: os.execve(sys.executable, ["python3", "-c", LOOK], {"A": "b"}))
def spawned():
    os.waitpid(os.posix_spawn(sys.executable, ["python3", "-c", LOOK], os.environ), 0)
    os._exit(0)
forked("posix_spawn of python", spawned)
"##;

fn kinds(preload: &str, more: &[(&str, &str)]) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().unwrap();
    let program = Program::python(python(), "kinds", KINDS).unwrap().arg(folder.path());
    let mut command = program.to_command();
    command.env("LD_PRELOAD", preload).envs(more.iter().copied());
    let (text, diagnostics, code) = output(&mut command);
    assert_eq!(code, Some(0), "{text}{diagnostics}");
    text.lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .collect()
}

/// A neighbour that does nothing.
fn neighbour(name: &str) -> String {
    let source = "int slackwater_test_neighbour; int main(void) { return 0; }";
    let flags = ["-shared", "-fPIC"];
    let program = Program::c_linked(name, source, Linking::Dynamic, &flags).unwrap();
    program.executable().display().to_string()
}

#[test]
fn fault_27_only_children_that_are_python_inherit_it() {
    let ours = library().display().to_string();
    for (kind, found) in kinds(&ours, &[]) {
        let is_python = kind.contains("python") || kind == "self";
        assert_eq!(found, if is_python { "- True" } else { "- 0" }, "{kind}");
    }
}

#[test]
fn fault_27_other_preloads_stay_where_they_are() {
    let (first, last) = (neighbour("first"), neighbour("last"));
    let both = format!("{first}:{last}");
    for (kind, found) in kinds(&format!("{first}:{}:{last}", library().display()), &[]) {
        if kind == "python with an environment" {
            assert_eq!(found, "- True", "an environment without them is respected");
            continue;
        }
        let is_python = kind.contains("python") || kind == "self";
        let expected = format!("{both} {}", if is_python { "True" } else { "0" });
        assert_eq!(found, expected, "{kind}");
    }
}

#[test]
fn fault_27_all_inherit_it_when_asked_to() {
    let ours = library().display().to_string();
    for (kind, found) in kinds(&ours, &[("SLACKWATER_INHERIT", "all")]) {
        if kind == "python with an environment" {
            continue;
        }
        let served = found.strip_prefix(ours.as_str()).unwrap_or_else(|| panic!("{kind}: {found}"));
        assert_ne!(served.trim(), "0", "{kind}");
        assert_ne!(served.trim(), "False", "{kind}");
    }
}

#[test]
fn fault_27_the_environment_of_a_child_is_what_it_was() {
    let source =
        "import subprocess; print(subprocess.run(['/usr/bin/env', '-0'], capture_output=True).stdout)";
    let run = |preload: Option<&Path>| {
        let mut command = Program::python(python(), "env_diff", source).unwrap().to_command();
        command.env("SOMETHING", "LD_PRELOAD=/not/a/library").env_remove("LD_PRELOAD");
        if let Some(preload) = preload {
            command.env("LD_PRELOAD", preload);
        }
        output(&mut command)
    };
    assert_eq!(run(None), run(Some(&library())));
}

#[test]
fn fault_27_a_shell_passes_it_on_to_the_python_that_it_becomes() {
    let look = "import os; print(os.environ.get('LD_PRELOAD', '-'), 'libslackwater_alloc' in open('/proc/self/maps').read())";
    let script = format!("exec {} -c \"{look}\"", python().path().display());
    let (text, diagnostics, _) =
        output(Command::new("/bin/sh").args(["-c", &script]).env("LD_PRELOAD", library()));
    assert_eq!(text, "- True\n", "{diagnostics}");
}

#[test]
fn fault_27_programs_with_raised_rights_run_as_ever() {
    let run = |preload: bool| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["/bin/sh", "-c", "passwd -S; su --version; ls -l /bin/su"]);
        if preload {
            command.env("LD_PRELOAD", library());
        }
        output(&mut command)
    };
    let (without, with) = (run(false), run(true));
    assert_eq!((&without.0, without.2), (&with.0, with.2));
    assert!(!with.1.contains("Segmentation"), "{}", with.1);
}

#[test]
fn fault_27_children_of_another_word_size_run_as_ever() {
    let source = "#include <stdio.h>\nint main(void) { printf(\"%zu\\n\", sizeof(void *)); return 0; }";
    let program = match Program::c_linked("narrow", source, Linking::Dynamic, &["-m32"]) {
        Ok(program) => program,
        Err(error) => {
            eprintln!(
                "not tested: no 32-bit compiler: {}",
                error.to_string().lines().next().unwrap_or_default()
            );
            return;
        }
    };
    let source = format!(
        "import subprocess; print(subprocess.run([{:?}], capture_output=True))",
        program.executable()
    );
    let (text, diagnostics, _) =
        output(python().command().args(["-c", &source]).env("LD_PRELOAD", library()));
    assert!(text.contains(r"stdout=b'4\n', stderr=b''"), "{text}{diagnostics}");
}
