#!/usr/bin/env python3
"""The 99th percentile of the demo's service while it is diagnosed again and again, against when it is not.

Pairs of short runs in random order, the same requests in each run of a pair. The service has one core
to itself; the load and slackwater share the other, slackwater at idle priority, so that what is measured
is what the look does to the service and not what it takes from the load. The null row is nothing against
nothing.

Claim: the ratio is within the noise of none: its 95 % interval holds 1, or it is no worse than the null's.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))
import run as demo

from bench import REPOSITORY, SLACKWATER, row, title

PAIRS = 10
REQUESTS = 1500
SERVICE_CORE, OTHER_CORE = {0}, {1}


def main() -> None:
    if os.cpu_count() < 2:
        raise SystemExit("error: needs two cores, one for the service")
    columns = (
        "against nothing",
        ">pairs",
        ">p99 ms without",
        ">p99 ms with",
        ">ratio of p99",
        ">95 % interval",
        ">looks",
    )
    os.sched_setaffinity(0, SERVICE_CORE)
    options = argparse.Namespace(workers=2, threads=4, server="gunicorn")
    with demo.service(options) as (master, url):
        os.sched_setaffinity(0, OTHER_CORE)
        load(url, 0)
        title("Latency of the service while it is looked at", *columns)
        for name in ("nothing (null)", "diagnose, over and over"):
            measure(name, master, url)


def measure(name: str, master: int, url: str) -> None:
    dice = random.Random(1)
    without, during, n_looks = [], [], 0
    for pair in range(1, PAIRS + 1):
        for looked_at in dice.sample([False, True], 2):
            with looking(master, looked_at and "null" not in name) as looks:
                (during if looked_at else without).append(load(url, pair))
            n_looks += looks[0]
    ratios = [with_it / without_it for with_it, without_it in zip(during, without)]
    low, high = interval(ratios)
    numbers = (f"{statistics.median(without):.2f}", f"{statistics.median(during):.2f}")
    row(name, PAIRS, *numbers, f"{statistics.median(ratios):.3f}", f"{low:.3f} to {high:.3f}", n_looks)


@contextmanager
def looking(master: int, really: bool):
    """Diagnoses the service back to back while the block runs; gives the count of looks."""
    looks, stop = [0], threading.Event()

    def look() -> None:
        while not stop.is_set():
            command = ["chrt", "--idle", "0", SLACKWATER, "diagnose", "--pid", str(master), "--json"]
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
            looks[0] += 1

    thread = threading.Thread(target=look)
    if really:
        thread.start()
    try:
        yield looks
    finally:
        stop.set()
        if really:
            thread.join()


def load(url: str, seed: int) -> float:
    """One run of small requests; its 99th percentile in milliseconds."""
    command = [
        sys.executable,
        REPOSITORY / "demo/load.py",
        "--url",
        url,
        "--json",
        "--quiet",
        "--rounds",
        "1",
    ]
    command += ["--threads", "2", "--batches", REQUESTS, "--readings", "50", "--queries", "0", "--seed", seed]
    answer = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, check=True)
    return json.loads(answer.stdout)["rounds"][0]["p99_ms"]


def interval(ratios: list) -> tuple:
    """Bootstrap interval of the median."""
    dice = random.Random(2)
    medians = sorted(statistics.median(dice.choices(ratios, k=len(ratios))) for _ in range(4000))
    return medians[100], medians[3899]


if __name__ == "__main__":
    main()
