#!/usr/bin/env python3
"""Work for an allocator and nothing else, under the library and under the distribution's jemalloc.

Every kind of work is done by each allocator once per repetition, in random order, by the same program;
a ratio compares two runs of one repetition. Processor time, because it repeats where wall time does not.
The null row is the distribution's jemalloc against itself. `as Python` is called like an interpreter, and
so gets what a service gets: one arena, small thread caches, the governor; `wide`, with more of the first two.

Claim: the median ratio is at most 1.1 for each kind of work.
"""

from __future__ import annotations

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import REPOSITORY, mb, row, title, verdict

LIBRARY = Path(os.environ.get("SLACKWATER_LIBRARY", REPOSITORY / "target/release/libslackwater_alloc.so"))
JEMALLOC = Path("/usr/lib/x86_64-linux-gnu/libjemalloc.so.2")
MOST = 1.1

# Kind of work, threads, units of work per thread.
WORK = (
    ("larson", 8, 1_000_000),
    ("pass", 4, 2_000_000),
    ("realloc", 8, 100_000),
    ("mixed", 8, 1_000_000),
    ("small", 8, 4_000_000),
)

# For services whose threads allocate in native code, all at once.
WIDE = "narenas:4,tcache_max:32768,tcache_ncached_max:0-32768:200"

# The first is what the others are compared with.
ARMS = {
    "jemalloc": {"LD_PRELOAD": str(JEMALLOC)},
    "jemalloc (null)": {"LD_PRELOAD": str(JEMALLOC)},
    "ours": {"LD_PRELOAD": str(LIBRARY)},
    "ours, as Python": {"LD_PRELOAD": str(LIBRARY)},
    "ours, wide, as Python": {"LD_PRELOAD": str(LIBRARY), "MALLOC_CONF": WIDE},
    "glibc": {},
}


class Run(NamedTuple):
    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--work", choices=[kind for kind, *_ in WORK], action="append")
    options = parser.parse_args()
    for needed in (LIBRARY, JEMALLOC):
        if not needed.exists():
            raise SystemExit(f"error: {needed} is not there")
    with tempfile.TemporaryDirectory() as folder:
        source = Path(__file__).with_name("stress.c")
        for name in ("stress", "python3"):
            subprocess.run(["cc", "-O2", "-pthread", "-o", Path(folder) / name, source], check=True)
        measure(Path(folder), options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    title(
        "Stress, against the distribution's jemalloc with its defaults",
        "work",
        "allocator",
        ">CPU s",
        ">wall s",
        ">peak",
        ">ratio of CPU",
        ">95 % interval",
        "within 1.1",
    )
    dice = random.Random(1)
    for kind, threads, units in WORK:
        if options.work and kind not in options.work:
            continue
        runs: dict[str, list[Run]] = {arm: [] for arm in ARMS}
        for _ in range(options.repetitions):
            for arm in dice.sample(list(ARMS), len(ARMS)):
                program = folder / ("python3" if arm.endswith("as Python") else "stress")
                runs[arm].append(run([program, kind, threads, units], ARMS[arm]))
        base = next(iter(runs.values()))
        for arm, mine in runs.items():
            ratios = [one.cpu_seconds / other.cpu_seconds for one, other in zip(mine, base)]
            ratio = statistics.median(ratios)
            low, high = interval(ratios)
            row(
                f"{kind}, {threads} threads",
                arm,
                f"{statistics.median(one.cpu_seconds for one in mine):.2f}",
                f"{statistics.median(one.wall_seconds for one in mine):.2f}",
                mb(statistics.median(one.peak_bytes for one in mine)),
                f"{ratio:.3f}",
                f"{low:.3f} to {high:.3f}",
                verdict(ratio <= MOST) if arm.startswith("ours") else "",
            )


def run(command: list, environment: dict[str, str]) -> Run:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("LD_", "MALLOC_"))}
    started = time.perf_counter()
    process = subprocess.Popen([str(word) for word in command], env={**plain, **environment})
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"error: {command} ended with {process.returncode} under {environment}")
    return Run(usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss * 1024)


def interval(ratios: list[float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the median; the same numbers give the same interval."""
    dice = random.Random(1)
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(2000))
    return medians[50], medians[-51]


if __name__ == "__main__":
    main()
