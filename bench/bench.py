"""What the benches share: targets that obey commands, runs of slackwater with their cost, Markdown rows."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

REPOSITORY = Path(__file__).resolve().parents[1]
SLACKWATER = Path(os.environ.get("SLACKWATER", REPOSITORY / "target/release/slackwater"))
TARGETS = REPOSITORY / "bench/targets"
PYTHON = next(
    (path for path in ("/usr/bin/python3.11", "/usr/bin/python3") if Path(path).exists()), sys.executable
)


class Target:
    """A running program of bench/targets, which answers each line with one line."""

    def __init__(self, command: list, environment: dict[str, str] | None = None) -> None:
        words = [str(word) for word in command]
        self.process = subprocess.Popen(
            words,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.answer("ready")

    def answer(self, waiting_for: str) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"error: {self.process.args} ended while {waiting_for!r} was awaited")
        return line.strip()

    def ask(self, command: str) -> str:
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.answer(command)

    def end(self) -> None:
        self.process.stdin.close()
        self.process.wait(30)


@contextmanager
def target(*command, interpreter: list | None = None, **environment: str) -> Iterator[Target]:
    """Starts a program of bench/targets and waits until it is ready."""
    running = Target([*(interpreter or [PYTHON]), TARGETS / command[0], *command[1:]], environment)
    try:
        yield running
    finally:
        running.end()


class Run(NamedTuple):
    """One run of slackwater: what it said and what it cost."""

    documents: list
    wall_seconds: float
    cpu_seconds: float
    peak_rss_bytes: int

    @property
    def document(self) -> dict:
        return self.documents[0]


def slackwater(*words) -> Run:
    """Runs a verb with --json."""
    command = [str(word) for word in (SLACKWATER, *words, "--json", "--quiet")]
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as said:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=out, stderr=said)
        # The peak and the processor time are this child's alone.
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said.seek(0)
        if process.returncode != 0:
            raise SystemExit(f"error: {' '.join(command)} ended with {process.returncode}:\n{said.read()}")
        documents = [json.loads(line) for line in out]
    return Run(documents, seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def venv(folder: Path) -> Path:
    """The Python of a virtual environment in this folder, with exactly what its requirements.txt lists."""
    wanted = (folder / "requirements.txt").read_text()
    stamp = folder / ".venv/installed.txt"
    python = folder / ".venv/bin/python"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shown = (folder / ".venv").relative_to(REPOSITORY)
        print(f"virtual environment in {shown}, packages from PyPI", file=sys.stderr)
        subprocess.run([PYTHON, "-m", "venv", "--clear", folder / ".venv"], check=True)
        install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*install, "-r", folder / "requirements.txt"], check=True)
        stamp.write_text(wanted)
    return python


def load_generator() -> Path:
    """The load generator of `lab` and nothing else, an example of that crate; where it is, cargo says."""
    command = ["cargo", "build", "--quiet", "--release", "-p", "slackwater-lab", "--example", "load"]
    built = subprocess.run(
        [*command, "--message-format=json"], cwd=REPOSITORY, stdout=subprocess.PIPE, check=True, text=True
    )
    messages = [json.loads(line) for line in built.stdout.splitlines()]
    return next(Path(one["executable"]) for one in messages if one.get("target", {}).get("name") == "load")


def rss_bytes(pid: int) -> int:
    """RSS as the page tables have it; VmRSS is batched per processor and may lag."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.search(r"^Rss:\s+(\d+) kB", rollup, re.MULTILINE)[1]) * 1024


def minor_faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def title(text: str, *columns: str) -> None:
    """Starts a Markdown table. A column that starts with > is of numbers."""
    print(f"\n### {text}\n\n| " + " | ".join(column.lstrip(">") for column in columns) + " |")
    print(
        "| " + " | ".join("---:" if column.startswith(">") else "---" for column in columns) + " |",
        flush=True,
    )


def row(*cells) -> None:
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def mb(size: float) -> str:
    return f"{size / 1e6:.1f} MB" if abs(size) < 1e8 else f"{size / 1e6:.0f} MB"


def verdict(holds: bool) -> str:
    return "yes" if holds else "**no**"
