#!/usr/bin/env python3
"""How long `trim` stops a worker's thread beyond the time of the call itself.

Claim: under 20 ms. The stop is what slackwater reports: from the interrupt to the detach, by its clock.
"""

import statistics
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from bench import mb, row, slackwater, target, title, verdict

RUNS = 30


def main() -> None:
    columns = (
        "service",
        ">trims",
        ">given back",
        ">stop ms (median)",
        ">worst",
        ">call ms (median)",
        "under 20 ms",
    )
    title("The stop of a trim", *columns)
    for name, shape in (("1 thread", "burst"), ("9 threads", "threads")):
        with target("slack.py", shape, 60) as service:
            trims = []
            for _ in range(RUNS):
                service.ask("fill")
                trims.append(slackwater("trim", "--pid", service.pid, "--only", "--above", "0").document)
        stops = sorted(1e3 * trim["stopped_seconds"] for trim in trims)
        calls = [1e3 * trim["call_seconds"] for trim in trims]
        row(
            name,
            len(trims),
            mb(statistics.median(trim["released_bytes"] for trim in trims)),
            f"{statistics.median(stops):.2f}",
            f"{stops[-1]:.2f}",
            f"{statistics.median(calls):.2f}",
            verdict(stops[-1] < 20),
        )


if __name__ == "__main__":
    main()
