#!/usr/bin/env python3
"""Who serves Python's small objects under our library, for every interpreter that is found.

`ours` is the default, pools of the library's; `pymalloc` keeps Python's own, where one survivor keeps a
whole arena; with `malloc` they are jemalloc's like all others. Every arm once per repetition, in random
order; ratios are to glibc with pymalloc, of processor time; RSS is that after an idle second.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "fix"))
import libraries
from compare import interval

from bench import mb, row, rss_bytes, title

IDLE_SECONDS = 1.0
ARMS = {
    "glibc": (False, {}),
    "ours": (True, {}),
    "pymalloc": (True, {"PYTHONMALLOC": "pymalloc"}),
    "malloc": (True, {"PYTHONMALLOC": "malloc"}),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("-n", "--repetitions", type=int, default=5)
    parser.add_argument("-p", "--python", action="append", help="this interpreter; repeatable")
    args = parser.parse_args()
    served = [f">{arm}" for arm in list(ARMS)[1:]]
    columns = ["Python", "work", ">CPU s glibc", *served, ">idle glibc", *served]
    title("Python's small objects under our library: CPU to glibc's, and idle RSS", *columns)
    dice = random.Random(1)
    for python in args.python or interpreters():
        for work in ("small", "burst"):
            trials = {arm: [] for arm in ARMS}
            for _ in range(args.repetitions):
                for arm in dice.sample(list(ARMS), len(ARMS)):
                    trials[arm].append(trial(python, work, *ARMS[arm]))
            show(python, work, trials)


def interpreters() -> list[str]:
    """Debian's and pyenv's, 3.8 and later, each by its resolved path once."""
    found = [Path("/usr/bin/python3"), *sorted(Path.home().glob(".pyenv/versions/3.*/bin/python3"))]
    usable = [path for path in found if path.exists() and minor_version(path) >= 8]
    return list({path.resolve(): str(path) for path in usable}.values())


def minor_version(python: Path) -> int:
    asked = [python, "-c", "import sys; print(sys.version_info[1])"]
    return int(subprocess.run(asked, check=True, stdout=subprocess.PIPE, text=True).stdout)


def trial(python: str, work: str, preload: bool, settings: dict[str, str]) -> tuple[float, int]:
    """Processor seconds, and bytes of RSS when idle."""
    surroundings = {"PATH": os.environ["PATH"], "PYTHONHASHSEED": "0", **settings}
    if preload:
        surroundings["LD_PRELOAD"] = str(libraries.slackwater())
    command = [python, Path(__file__).with_name("workload.py"), work]
    with subprocess.Popen(
        command, env=surroundings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        cpu_seconds = float(process.stdout.readline())
        time.sleep(IDLE_SECONDS)
        size = rss_bytes(process.pid)
        process.stdin.close()
    return cpu_seconds, size


def show(python: str, work: str, trials: dict[str, list[tuple[float, int]]]) -> None:
    said = subprocess.run([python, "--version"], stdout=subprocess.PIPE, text=True).stdout.split()[-1]
    where = "Debian" if python.startswith("/usr/") else "pyenv"
    cpu = {arm: [seconds for seconds, _ in of_arm] for arm, of_arm in trials.items()}
    idle = {arm: statistics.median(size for _, size in of_arm) for arm, of_arm in trials.items()}
    row(
        f"{said} ({where})",
        work,
        f"{statistics.median(cpu['glibc']):.2f}",
        *(shown(cpu[arm], cpu["glibc"]) for arm in list(ARMS)[1:]),
        *(mb(idle[arm]) for arm in ARMS),
    )


def shown(values: list[float], bases: list[float]) -> str:
    ratio = interval([value / base for value, base in zip(values, bases)])
    return f"{ratio.median:.2f} ({ratio.low:.2f} to {ratio.high:.2f})"


if __name__ == "__main__":
    main()
