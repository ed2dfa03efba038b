#!/usr/bin/env python3
"""The load generator of `lab` against wrk, on a server that does nothing but answer.

The server has one core, the generator the other. wrk and ours take turns in random order; a ratio compares
two runs of one repetition. Answers per second say who is quicker where the server may be the limit;
answers per second of processor time say it where it is not.

Claims: at least 0.9 x the answers of wrk, per second and per second of processor time; at half of that rate
the 99th percentile of how late a request is sent is below a millisecond; memory does not grow.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench import load_generator, mb, row, rss_bytes, title, verdict

LEAST = 0.9
MOST_LATE_SECONDS = 0.001
MOST_GROWTH_BYTES = 1 << 20
CONNECTIONS = 64
SERVER_CPU, LOAD_CPU = "0", "1"


class Run(NamedTuple):
    per_second: float
    per_cpu_second: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=5, help="of each run")
    parser.add_argument("--minutes", type=float, default=2, help="of the watch over memory")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="only watch memory, at a low rate")
    parser.add_argument("--rate", type=int, default=300, help="requests per second of the soak")
    parser.add_argument("--other", help="another program called as the example is, to be compared as well")
    options = parser.parse_args()
    if not options.soak and not shutil.which("wrk"):
        raise SystemExit("error: there is no wrk\nhint: apt-get install wrk")
    ours = load_generator()
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "server"
        subprocess.run(["cc", "-O2", "-o", program, Path(__file__).with_name("server.c")], check=True)
        server = subprocess.Popen(["taskset", "-c", SERVER_CPU, program], stdout=subprocess.PIPE, text=True)
        try:
            port = server.stdout.readline().strip()
            if options.soak:
                soak(ours, port, options)
            else:
                most = throughput(ours, port, options)
                lateness(ours, port, most, options)
                memory(ours, port, most, options)
        finally:
            server.kill()
            server.wait()


def throughput(ours: Path, port: str, options: argparse.Namespace) -> float:
    """Closed loop. Returns what ours reached."""
    seconds = str(options.seconds)
    closed = ["closed", str(CONNECTIONS), port, LOAD_CPU, seconds, str(CONNECTIONS)]
    wrk = ["taskset", "-c", LOAD_CPU, "wrk", "-t1", f"-c{CONNECTIONS}", f"-d{options.seconds:.0f}s"]
    wrk.append(f"http://127.0.0.1:{port}/")
    arms = {"wrk": wrk, "wrk (null)": wrk, "ours": [ours, *closed]}
    if options.other:
        arms[Path(options.other).name] = [options.other, *closed]
    runs = {name: [] for name in arms}
    for _ in range(options.repetitions):
        for name in random.sample(list(arms), len(arms)):
            runs[name].append(one(arms[name]))
    title(
        f"Closed loop, {CONNECTIONS} connections, one core",
        "generator",
        ">answers/s",
        ">per CPU second",
        ">ratio of answers/s to wrk (lowest to highest)",
        ">ratio per CPU second",
        f"at least {LEAST}",
    )
    for name, own in runs.items():
        cells, holds = [], True
        for field in Run._fields:
            ratios = [getattr(a, field) / getattr(b, field) for a, b in zip(own, runs["wrk"])]
            median = statistics.median(ratios)
            holds &= median >= LEAST
            cells.append("" if name == "wrk" else f"{median:.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
        medians = [statistics.median(getattr(run, field) for run in own) for field in Run._fields]
        row(name, *(f"{m:,.0f}" for m in medians), *cells, "" if name.startswith("wrk") else verdict(holds))
    return statistics.median(run.per_second for run in runs["ours"])


def one(command: list) -> Run:
    with tempfile.TemporaryFile("w+") as out:
        process = subprocess.Popen([str(word) for word in command], stdout=out)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        said = out.read()
    if process.returncode != 0:
        raise SystemExit(f"error: {command[0]} ended with {process.returncode}")
    if said.startswith("{"):
        document = json.loads(said)
        seconds, n_right = document["seconds"], document["answers"]["n_right"]
        if n_right != document["answers"]["n_due"]:
            raise SystemExit(f"error: not every answer was right: {said}")
    else:
        found = re.search(r"(\d+) requests in ([\d.]+)s", said)
        if not found or "Socket errors" in said or "Non-2xx" in said:
            raise SystemExit(f"error: wrk says\n{said}")
        n_right, seconds = int(found[1]), float(found[2])
    return Run(n_right / seconds, n_right / (usage.ru_utime + usage.ru_stime))


def lateness(ours: Path, port: str, most: float, options: argparse.Namespace) -> None:
    title(
        "Open loop: how late requests are sent, for reasons of the generator",
        "of the highest rate",
        ">rate/s",
        ">late, p99 (median of runs)",
        ">worst run",
        ">latency p50",
        ">latency p99",
        "below 1 ms",
    )
    for share in (0.01, 0.1, 0.5, 0.8):
        rate = int(most * share)
        seen = []
        for _ in range(max(3, options.repetitions // 2)):
            command = [ours, "open", str(rate), port, LOAD_CPU, str(options.seconds), str(CONNECTIONS)]
            said = subprocess.run([str(w) for w in command], stdout=subprocess.PIPE, check=True, text=True)
            seen.append(json.loads(said.stdout)["answers"])
        late = [answers["late_p99_seconds"] for answers in seen]
        latency = [statistics.median(a["latency"][q] for a in seen) for q in ("p50", "p99")]
        holds = verdict(statistics.median(late) < MOST_LATE_SECONDS) if share <= 0.5 else ""
        microseconds = [f"{s * 1e6:,.0f} µs" for s in (statistics.median(late), max(late), *latency)]
        row(f"{share:.0%}", f"{rate:,}", *microseconds, holds)


def memory(ours: Path, port: str, most: float, options: argparse.Namespace) -> None:
    title("Memory of the generator", "model", ">minutes", ">requests", ">RSS at first", ">at the end", "flat")
    seconds = options.minutes * 60
    for model, amount in (("open", str(int(most / 4))), ("closed", str(CONNECTIONS))):
        command = [str(ours), model, amount, port, LOAD_CPU, str(seconds), str(CONNECTIONS)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        time.sleep(min(5, seconds / 4))
        first = rss_bytes(process.pid)
        time.sleep(seconds - min(5, seconds / 4) - 2)
        last = rss_bytes(process.pid)
        answers = json.loads(process.communicate()[0])["answers"]
        holds = verdict(last - first < MOST_GROWTH_BYTES)
        row(model, f"{options.minutes:g}", f"{answers['n_due']:,}", mb(first), mb(last), holds)


def soak(ours: Path, port: str, options: argparse.Namespace) -> None:
    """A long time at a low rate: a point for each twelfth of it."""
    title(
        f"Memory of the generator, open loop at {options.rate} requests/s",
        ">minute",
        ">RSS",
        ">files open",
        ">CPU s",
    )
    seconds = options.soak * 60
    command = [str(ours), "open", str(options.rate), port, LOAD_CPU, str(seconds), str(CONNECTIONS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    begun, settled = time.monotonic(), min(5, seconds / 4)
    points = []
    for moment in [settled, *(seconds * twelfth / 12 for twelfth in range(1, 12)), seconds - settled]:
        time.sleep(max(0, begun + moment - time.monotonic()))
        points.append(rss_bytes(process.pid))
        files = len(list(Path(f"/proc/{process.pid}/fd").iterdir()))
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
        cpu = sum(map(int, ticks)) / os.sysconf("SC_CLK_TCK")
        row(f"{moment / 60:.1f}", f"{points[-1] / 1e6:.3f} MB", files, f"{cpu:.1f}")
    answers = json.loads(process.communicate()[0])["answers"]
    flat = verdict(max(points) - points[0] < MOST_GROWTH_BYTES)
    print(f"\n{answers['n_due']:,} requests, {answers['n_right']:,} answered rightly; flat: {flat}.")


if __name__ == "__main__":
    main()
