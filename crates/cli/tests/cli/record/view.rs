//! `record --live`: a real terminal, by script(1), and no terminal.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use slackwater_testkit::agent_library;

use super::{python, slackwater};

/// Keeps some blocks, speaks, and ends when the file `enough` is there.
const SERVICE: &str = "
import os, sys, time
def remember():
    return [bytes(10_000) for _ in range(300)]
kept = remember()
print('to its own output', flush=True)
print('read', repr(sys.stdin.read(1)), file=sys.stderr, flush=True)
while not os.path.exists('enough'):
    time.sleep(0.05)
os._exit(7)
";

/// What a terminal shows of a recording when this key is pressed once the view is there, and the service ends
/// when that has led to these words; the exit code.
fn on_a_terminal(folder: &Path, key: &[u8], words_then: &str) -> (i32, String) {
    fs::write(folder.join("service.py"), SERVICE).unwrap();
    let program = env!("CARGO_BIN_EXE_slackwater");
    let words = format!("{program} record --exact --live -o it.slackwater -- {} -S service.py", python());
    let mut terminal = Command::new("script")
        .args(["--quiet", "--return", "--flush", "--command", &words, "/dev/null"])
        .current_dir(folder)
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .env("TERM", "xterm")
        .env_remove("LD_PRELOAD")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keyboard, mut shown) = (terminal.stdin.take().unwrap(), terminal.stdout.take().unwrap());
    let (mut seen, mut buffer) = (Vec::new(), [0; 4096]);
    let mut is_pressed = false;
    loop {
        let n_bytes = shown.read(&mut buffer).unwrap_or(0);
        if n_bytes == 0 {
            break;
        }
        seen.extend_from_slice(&buffer[..n_bytes]);
        let text = String::from_utf8_lossy(&seen);
        if !is_pressed && text.contains("remember") {
            keyboard.write_all(key).unwrap();
            is_pressed = true;
        }
        if is_pressed && text.contains(words_then) {
            fs::write(folder.join("enough"), "").unwrap();
        }
    }
    let status = terminal.wait().unwrap();
    (status.code().unwrap(), String::from_utf8_lossy(&seen).into_owned())
}

const OTHER_SCREEN: &str = "\x1b[?1049h";
const BACK: &str = "\x1b[?1049l";

#[test]
fn the_view_has_the_terminal_and_gives_it_back() {
    let folder = tempfile::tempdir().unwrap();
    let (code, shown) = on_a_terminal(folder.path(), b"e", "(no request or task on the stack)");
    assert_eq!(code, 7, "{shown}");
    let (before, rest) = shown.split_once(OTHER_SCREEN).unwrap();
    let (view, after) = rest.split_once(BACK).unwrap();
    assert!(before.contains("goes to it.log"), "{before}");
    assert!(view.contains("it.slackwater   recording") && view.contains("remember"), "{view}");
    assert!(!view.contains("to its own output"), "the command wrote over the view");
    assert!(after.contains("recorded 1 process") && !after.contains('\u{1b}'), "{after}");
    let log = fs::read_to_string(folder.path().join("it.log")).unwrap();
    assert_eq!(log, "to its own output\nread ''\n");
}

#[test]
fn who_closes_the_view_goes_on_recording() {
    let folder = tempfile::tempdir().unwrap();
    let (code, shown) = on_a_terminal(folder.path(), b"q", "still recording");
    assert_eq!(code, 7, "{shown}");
    let (_, after) = shown.split_once(BACK).unwrap();
    assert!(
        after.contains("slackwater live it.slackwater") && after.contains("recorded 1 process"),
        "{after}"
    );
}

#[test]
fn without_a_terminal_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let words = ["record", "--live", "-o", "it.slackwater", "--", "touch", "started"];
    let (code, _, said) = slackwater(folder.path(), &words);
    assert!(code == 2 && said.contains("slackwater live FILE"), "{said}");
    assert!(fs::read_dir(folder.path()).unwrap().next().is_none(), "something was begun");
}
