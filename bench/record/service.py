"""The demo's service under gunicorn while it is recorded, against while it is not: the same workers, attached
to and left by turns, under our own load generator. The service has one core, everything else the other.

Claims: processor time per request and p99 at half of what the service can do at most 1.02 of none; idle, no
processor time of the service's.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))
import run as demo
from trial import attached

from bench import load_generator, row, title, verdict

SERVICE_CPU, LOAD_CPU = 0, 1
WORKERS, THREADS = 2, 8
CONNECTIONS = 16
OPEN_SECONDS, CLOSED_SECONDS, IDLE_SECONDS = 4.0, 2.5, 10.0
MOST = 1.02
NONE, AGAIN, SAMPLED = "none", "none again", "sampled, attached"


class Seen(NamedTuple):
    per_second: float
    cpu_ms: float
    p99_ms: float


def measure(n_pairs: int) -> None:
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("error: needs two cores, one for the service")
    demo.make_venv()
    generator = load_generator()
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVICE_CPU})
    options = argparse.Namespace(workers=WORKERS, threads=THREADS, server="gunicorn")
    try:
        with tempfile.TemporaryDirectory() as folder, demo.service(options) as (master, url):
            os.sched_setaffinity(0, {LOAD_CPU})
            under_load(generator, master, url.rpartition(":")[2], Path(folder, "capture"), n_pairs)
            idle(master, Path(folder, "capture"))
    finally:
        os.sched_setaffinity(0, everywhere)


def under_load(generator: Path, master: int, port: str, capture: Path, n_pairs: int) -> None:
    load(generator, "closed", CONNECTIONS, port, CLOSED_SECONDS)
    most = load(generator, "closed", CONNECTIONS, port, CLOSED_SECONDS)
    rate = most["answers"]["n_right"] / most["seconds"] / 2

    def look() -> Seen:
        before = cpu_ns(master)
        steady = load(generator, "open", f"{rate:.2f}", port, OPEN_SECONDS)["answers"]
        cpu_ms = (cpu_ns(master) - before) / 1e6 / steady["n_right"]
        flat_out = load(generator, "closed", CONNECTIONS, port, CLOSED_SECONDS)
        per_second = flat_out["answers"]["n_right"] / flat_out["seconds"]
        return Seen(per_second, cpu_ms, steady["latency"]["p99"] * 1e3)

    seen: dict[str, list[Seen]] = {NONE: [], AGAIN: [], SAMPLED: []}
    recorder_seconds, lasted = 0.0, 0.0
    dice = random.Random(1)
    for _ in range(n_pairs):
        for state in dice.sample(list(seen), len(seen)):
            if state == SAMPLED:
                began = time.monotonic()
                with attached(master, capture) as recorder:
                    # The opening look at what is there is over by then.
                    time.sleep(1)
                    seen[state].append(look())
                    recorder_seconds += recorder.cpu_seconds
                lasted += time.monotonic() - began
            else:
                seen[state].append(look())
    show(seen, rate)
    print(f"\nThe recorder used {recorder_seconds / lasted:.1%} of a processor, its opening look included.")


def load(generator: Path, model: str, amount: object, port: str, seconds: float) -> dict:
    plan = Path(__file__).with_name("requests.toml")
    words = [generator, model, amount, port, LOAD_CPU, seconds, CONNECTIONS, plan]
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, check=True, text=True)
    document = json.loads(done.stdout)
    if document["answers"]["n_right"] != document["answers"]["n_due"]:
        answers = {name: value for name, value in document["answers"].items() if name.startswith("n_")}
        print(f"not every answer was right: {answers}", file=sys.stderr)
    return document


def cpu_ns(master: int) -> int:
    """Processor time of every thread of the service."""
    tasks = (task for pid in demo.tree(master) for task in Path(f"/proc/{pid}/task").iterdir())
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks)


def show(seen: dict[str, list[Seen]], rate: float) -> None:
    title(
        f"The demo's service, {WORKERS} gunicorn workers of {THREADS} threads on one core",
        "recorded",
        ">requests/s",
        ">to none",
        f">CPU ms a request at {rate:.0f} requests/s",
        ">to none",
        ">p99 ms",
        ">to none",
        f"CPU and p99 at most {MOST}",
    )
    for state, looks in seen.items():
        cells, ratios = [], {}
        for field in Seen._fields:
            cells.append(f"{statistics.median(getattr(one, field) for one in looks):.1f}")
            own = [getattr(a, field) / getattr(b, field) for a, b in zip(looks, seen[NONE])]
            ratios[field] = statistics.median(own)
            shown = f"{ratios[field]:.3f} ({min(own):.3f} to {max(own):.3f})"
            cells.append("" if state == NONE else shown)
        holds = ratios["cpu_ms"] <= MOST and ratios["p99_ms"] <= MOST
        row(state, *cells, "" if state == NONE else verdict(holds))


def idle(master: int, capture: Path) -> None:
    """No request is sent."""
    columns = ("recorded", ">service's CPU ms a second", ">recorder's CPU ms a second")
    title("The same service, idle", *columns)
    row(NONE, f"{idle_ms(lambda: cpu_ns(master) / 1e6):.2f}", "")
    with attached(master, capture) as recorder:
        time.sleep(2)
        before = recorder.cpu_seconds
        service = idle_ms(lambda: cpu_ns(master) / 1e6)
        row(SAMPLED, f"{service:.2f}", f"{(recorder.cpu_seconds - before) * 1e3 / IDLE_SECONDS:.1f}")


def idle_ms(milliseconds) -> float:
    before = milliseconds()
    time.sleep(IDLE_SECONDS)
    return (milliseconds() - before) / IDLE_SECONDS
