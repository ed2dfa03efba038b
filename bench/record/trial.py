"""One program under one arm: its processor time, its memory, and what the recorder took beside it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Dict, Iterator, List, NamedTuple, Tuple

from arms import Arm

from bench import SLACKWATER, rss_bytes

PROGRAMS = Path(__file__).with_name("programs")
OPENING_SECONDS = 1.0
TICKS = os.sysconf("SC_CLK_TCK")


class Program:
    """A program of this bench: its words, and what it finds in its environment."""

    def __init__(self, *words: str, environment: dict[str, str] | None = None) -> None:
        self.words = [str(PROGRAMS / words[0]), *words[1:]]
        self._environment = environment or {}

    def environment(self, loops: str) -> dict[str, str]:
        """Little of ours: the same for every arm, and the same hashes in every process."""
        least = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", "BENCH_LOOPS": loops}
        return {**least, **self._environment}


class Trial(NamedTuple):
    cpu_seconds: float
    wall_seconds: float
    rss_bytes: int
    recorder_share: float | None
    """Of the recorder, to that of the program from start to end."""
    degraded: bool
    """Events came too fast for an exact recording, which went on with samples: no trial of its arm."""


Trials = Dict[str, List[Tuple[int, Trial]]]
"""By arm: the number of the round, and what was seen."""


def calibrated(python: Path, program: Program, seconds: float) -> int:
    """How often the program does its work in so much processor time."""
    environment = program.environment(f"auto:{seconds}")
    words = [python, *program.words]
    done = subprocess.run(words, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return int(json.loads(done.stdout)["loops"])


def trial(arm: Arm, python: Path, program: Program, loops: int, capture: Path) -> Trial:
    command = arm.command(python, capture, program.words)
    with tempfile.TemporaryFile("w+") as errors:
        process = started(command, program, loops, errors)
        try:
            pid = told(process)["pid"]
            measured = work(process)
            rss = rss_bytes(pid)
            process.stdin.close()
            # Read before it is waited for, as long as its own time and its children's are told apart.
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
            recorder, recorded = cpu_seconds(process.pid)
        except BaseException:
            process.kill()
            raise
        finally:
            process.wait()
        errors.seek(0)
        said = errors.read()
    if process.returncode != 0:
        raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}\n{said}")
    share = recorder / recorded if arm.ours is not None else None
    return Trial(measured["cpu"], measured["wall"], rss, share, "sampled later" in said)


def started(command: list[str], program: Program, loops: int, errors: IO[str] | None) -> subprocess.Popen:
    """Does the work for the first time, to be warm, and then each time that it is told to."""
    pipe, environment = subprocess.PIPE, program.environment(str(loops))
    return subprocess.Popen(command, env=environment, stdin=pipe, stdout=pipe, stderr=errors, text=True)


def told(process: subprocess.Popen) -> dict:
    for line in process.stdout:
        if line.startswith("{"):
            return json.loads(line)
    raise SystemExit(f"error: {process.args} ended before it had done its work")


def work(process: subprocess.Popen) -> dict:
    process.stdin.write("go\n")
    process.stdin.flush()
    return told(process)


def cpu_seconds(pid: int) -> tuple[float, float]:
    """Of the process itself, and of its children that have ended."""
    user, system, child_user, child_system = map(
        int, Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:15]
    )
    return (user + system) / TICKS, (child_user + child_system) / TICKS


class Recorder:
    """`slackwater record` of a process that runs."""

    def __init__(self, pid: int, capture: Path) -> None:
        words = [SLACKWATER, "record", "--pid", pid, "--force", "-o", capture]
        self.process = subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True)
        self.said: list[str] = []
        for line in self.process.stderr:
            self.said.append(line)
            if re.search(r"attached to \d+ process", line):
                return
        self.process.wait()
        raise SystemExit(f"error: cannot attach to {pid}:\n{''.join(self.said)}")

    @property
    def cpu_seconds(self) -> float:
        return cpu_seconds(self.process.pid)[0]

    def leave(self) -> None:
        self.process.send_signal(signal.SIGINT)
        self.said.append(self.process.communicate()[1])
        if self.process.returncode != 0:
            said = "".join(self.said)
            print(f"slackwater record ended with {self.process.returncode}:\n{said}", file=sys.stderr)


@contextmanager
def attached(pid: int, capture: Path) -> Iterator[Recorder]:
    """Recorded while the block runs; what is held already has been looked at before."""
    recorder = Recorder(pid, capture)
    try:
        time.sleep(OPENING_SECONDS)
        yield recorder
    finally:
        recorder.leave()
