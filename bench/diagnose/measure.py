#!/usr/bin/env python3
"""How long the whole diagnosis of a service takes: a master, four workers, 2 GB.

Claim: under 2 s; own peak RSS under 64 MiB.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import mb, row, slackwater, target, title, verdict

RUNS = 7


def main() -> None:
    columns = ("service", ">RSS", ">wall s (median)", ">worst", ">CPU s", ">own peak", "under 2 s, 64 MiB")
    title("A whole diagnosis", *columns)
    with target("family.py", 4, 2000) as family:
        runs = [slackwater("diagnose", "--pid", family.pid) for _ in range(RUNS)]
    walls = sorted(run.wall_seconds for run in runs)
    peak = max(run.peak_rss_bytes for run in runs)
    row(
        f"{len(runs[0].document['processes'])} processes",
        mb(runs[0].document["service"]["rss_bytes"]),
        f"{statistics.median(walls):.2f}",
        f"{walls[-1]:.2f}",
        f"{statistics.median(run.cpu_seconds for run in runs):.2f}",
        mb(peak),
        verdict(statistics.median(walls) < 2 and peak < 64 << 20),
    )


if __name__ == "__main__":
    main()
