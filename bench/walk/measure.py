#!/usr/bin/env python3
"""How fast a heap of 2 GB is walked, by one core, in how much memory, and what that does to the target.

Claim: at least 2 GB of RSS per second and core; own peak RSS under 64 MiB; no page of the target touched.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import mb, minor_faults, row, rss_bytes, slackwater, target, title, verdict

RUNS = 5
MEGABYTES = 2000


def main() -> None:
    columns = ("heap", ">RSS", ">CPU s", ">GB/s per core", ">own peak", ">target's faults", "holds")
    title("A walk of a 2 GB heap (median of 5)", *columns)
    for shape in ("live", "sizes", "burst", "pools", "service"):
        with target("shapes.py", shape, MEGABYTES) as heap:
            before, faults = rss_bytes(heap.pid), minor_faults(heap.pid)
            runs = [slackwater("diagnose", "--pid", heap.pid, "--only") for _ in range(RUNS)]
            touched = minor_faults(heap.pid) - faults + abs(rss_bytes(heap.pid) - before) // 4096
        seconds = statistics.median(run.cpu_seconds for run in runs)
        peak = max(run.peak_rss_bytes for run in runs)
        speed = before / 1e9 / seconds
        holds = speed >= 2 and peak < 64 << 20 and touched == 0
        row(shape, mb(before), f"{seconds:.2f}", f"{speed:.1f}", mb(peak), touched, verdict(holds))


if __name__ == "__main__":
    main()
