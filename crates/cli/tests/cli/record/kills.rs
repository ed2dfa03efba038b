//! SIGKILL of the recorder, of the recorded process, or of both, at any moment: who is left goes on, and
//! the capture opens with everything up to shortly before.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use slackwater_testkit::{agent_library, rounds};

use super::{python, slackwater};

/// Allocates in a thread, tells its pid, and a line for each ten rounds after that.
const BUSY: &str = "
import os, sys
def churn():
    return [bytes(3000) for _ in range(100)]
print(os.getpid(), flush=True)
n = 0
while True:
    churn()
    n += 1
    if n % 10 == 0:
        print(n, flush=True)
";

#[derive(Clone, Copy, PartialEq, Debug)]
enum Victim {
    Recorder,
    Recorded,
    Both,
}

/// Kills the victim so long after the start, and looks at what is left.
fn kill(folder: &Path, victim: Victim, delay: Duration) {
    let capture = folder.join("it");
    let _ = std::fs::remove_file(&capture);
    let mut recording = Command::new(env!("CARGO_BIN_EXE_slackwater"))
        .current_dir(folder)
        .args(["record", "--exact", "-o", "it", "--", &python(), "-S", "-c", BUSY])
        .env("SLACKWATER_AGENT", agent_library().unwrap())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(recording.stdout.take().unwrap()).lines().map(Result::unwrap);
    let recorded = Pid::from_raw(lines.next().unwrap().parse().unwrap()).unwrap();
    std::thread::sleep(delay);
    if victim != Victim::Recorded {
        recording.kill().unwrap();
    }
    if victim != Victim::Recorder {
        kill_process(recorded, Signal::KILL).unwrap();
    }
    let status = recording.wait().unwrap();
    match victim {
        Victim::Recorded => assert_eq!(status.code(), Some(128 + 9)),
        // It goes on: of its rounds, many are of after the kill.
        Victim::Recorder => {
            let end = Instant::now() + Duration::from_secs(20);
            assert!(lines.by_ref().take(3000).count() == 3000 && Instant::now() < end, "it was held up");
            kill_process(recorded, Signal::KILL).unwrap();
        }
        Victim::Both => {}
    }
    let (code, out, said) = slackwater(folder, &["stats", "--json", "it"]);
    assert_eq!(code, 0, "{victim:?} after {delay:?}: {said}");
    let document: Value = serde_json::from_str(&out).unwrap();
    let gaps = document["gaps"].to_string();
    match victim {
        Victim::Recorded => {
            assert_eq!(document["processes"][0]["ended"]["value"], 9, "{document}");
            assert!(!gaps.contains("cut off"), "{gaps}");
        }
        _ => {
            assert!(gaps.contains("cut off"), "{gaps}");
            // A frame is written at least every half second.
            let processes = document["processes"].as_array().unwrap();
            let n_events: u64 = processes.iter().map(|one| one["n_events"].as_u64().unwrap()).sum();
            assert!(n_events > 0 || delay < Duration::from_secs(1), "nothing was kept after {delay:?}");
        }
    }
}

#[test]
fn fault_29_recorder_and_recorded_killed_at_any_moment() {
    let folder = tempfile::tempdir().unwrap();
    for round in rounds(6, 3000) {
        let victim = [Victim::Recorder, Victim::Recorded, Victim::Both][round as usize % 3];
        // Any moment of the first second and a half.
        let delay = Duration::from_micros(round.wrapping_mul(0x9e37_79b9_7f4a_7c15) % 1_500_000);
        kill(folder.path(), victim, delay);
    }
}
