#!/usr/bin/env python3
"""How long it takes to attach to a pre-forking service of 16 workers, and what its threads notice.

Claim: all of them within a second, no thread stopped for 10 ms. The times are what slackwater reports, by
its clock: the longest stop of a thread, and the longest time that one thread of a worker made calls for us.
"""

import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import SLACKWATER, row, title, verdict

RUNS = 10
WORKERS = 16
SAID = re.compile(r"attached to (\d+) processes in ([\d.]+) s; .* stopped for ([\d.]+) ms.* for (\d+) ms")

SERVICE = f"""
import os, sys, time
for _ in range({WORKERS}):
    if os.fork() == 0:
        import json, threading
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
        kept = [bytes(1000) for _ in range(10_000)]
        while True:
            json.loads(json.dumps({{"some": ["words"] * 100}}))
            time.sleep(0.01)
time.sleep(1)
print("ready", flush=True)
os.waitpid(-1, 0)
"""


def main() -> None:
    times = (">all, s (median)", ">worst", ">stop ms (worst)", ">call ms (worst)")
    title("Attaching", "service", ">attached", *times, "< 1 s, < 10 ms")
    with tempfile.TemporaryDirectory() as folder:
        service = subprocess.Popen(
            [sys.executable, "-c", SERVICE], stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        try:
            service.stdout.readline()
            runs = [attach(service.pid, folder) for _ in range(RUNS)]
        finally:
            os.killpg(service.pid, signal.SIGKILL)
            service.wait()
    processes, seconds, stops, calls = zip(*runs, strict=True)
    row(
        f"{WORKERS} workers",
        min(processes),
        f"{statistics.median(seconds):.1f}",
        f"{max(seconds):.1f}",
        f"{max(stops):.1f}",
        f"{max(calls):.0f}",
        verdict(max(seconds) < 1 and max(stops) < 10 and min(processes) == WORKERS + 1),
    )


def attach(pid: int, folder: str) -> tuple[float, ...]:
    words = [SLACKWATER, "record", "--pid", str(pid), "--duration", "2s", "--force", "-o", f"{folder}/it"]
    said = subprocess.run(words, capture_output=True, text=True, check=True).stderr
    found = SAID.search(said)
    if not found:
        raise SystemExit(said)
    return tuple(float(number) for number in found.groups())


if __name__ == "__main__":
    main()
