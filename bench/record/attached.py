"""A program while a recorder is attached to it, against the same process before and after.

What a process is (where its memory lies, which of its hashes collide) is the same in all windows of a row, so
that what is left is the recorder's. The null waits as long, and nobody attaches.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from contextlib import nullcontext
from pathlib import Path

from service import interval
from trial import OPENING_SECONDS, Program, attached, calibrated, started, told, work

from bench import row, title, verdict

MOST = 1.02
NULL, SAMPLED = "nobody", "sampled"


def measure(python: Path, programs: dict[str, Program], args: argparse.Namespace, capture: Path) -> None:
    title(
        "The same process before, while and after a recorder is attached",
        "work",
        *(f">processor time, {who} attached" for who in (NULL, SAMPLED)),
        f"at most {MOST}",
    )
    logs: dict[str, list[float]] = {NULL: [], SAMPLED: []}
    for name, program in programs.items():
        loops = calibrated(python, program, args.seconds)
        ratios = {who: windows(python, program, loops, args.rounds, capture, who) for who in logs}
        means = {who: statistics.fmean(map(math.log, ratios[who])) for who in logs}
        for who, mean in means.items():
            logs[who].append(mean)
        cells = (f"{math.exp(means[who]):.3f} ({min(of):.2f} to {max(of):.2f})" for who, of in ratios.items())
        row(name, *cells, verdict(math.exp(means[SAMPLED]) <= MOST))
    if len(programs) > 1:
        row("mean of all", *(shown(interval(logs[who])) for who in logs), "")
        # What this machine does to nothing is in both.
        more = interval([own - none for own, none in zip(logs[SAMPLED], logs[NULL])])
        row("mean of all, to nobody attached", "", shown(more), verdict(more[0] <= MOST))


def shown(mean_and_interval: tuple[float, float, float]) -> str:
    mean, low, high = mean_and_interval
    return f"{mean:.3f} (95 %: {low:.3f} to {high:.3f})"


def windows(
    python: Path, program: Program, loops: int, n_windows: int, capture: Path, who: str
) -> list[float]:
    """Processor time in each window to the mean of the one before and the one after."""
    process = started([str(python), *program.words], program, loops, None)
    try:
        pid = told(process)["pid"]
        alone = [work(process)["cpu"]]
        watched = []
        for _ in range(n_windows):
            capture.unlink(missing_ok=True)
            with attached(pid, capture) if who == SAMPLED else nullcontext(time.sleep(OPENING_SECONDS)):
                watched.append(work(process)["cpu"])
            alone.append(work(process)["cpu"])
    finally:
        process.kill()
        process.wait()
    return [2 * cpu / (before + after) for cpu, before, after in zip(watched, alone, alone[1:])]
