"""The demo's service under gunicorn while it is recorded, against the same service while it is not.

Two of them run at the same time on one core, each under the same load; everything else has the other
core. In the four windows of a turn, in random order, the recorder is attached to the first, to the
second, and twice to none. What the machine does to both falls out of the ratio of the two in one window;
what one of them is falls out of the ratio of two windows. The two windows with none are the null.

Claims: processor time per request and p99 at most 1.02 of none; idle, no processor time of the service's.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Callable, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "demo"))
import run as demo
from trial import attached

from bench import load_generator, row, title, verdict

SERVICE_CPU, LOAD_CPU = 0, 1
WORKERS, THREADS = 2, 8
CONNECTIONS = 16
SECONDS, IDLE_SECONDS = 4.0, 10.0
# Of what one service alone can do: together they leave half of the core.
SHARE = 0.25
MOST = 1.02
NONE, AGAIN, SAMPLED = "none", "none again", "sampled, attached"


class Seen(NamedTuple):
    cpu_ms: float
    p99_ms: float


class Window(NamedTuple):
    first: Seen
    second: Seen

    def log_ratios(self) -> Seen:
        return Seen(*(math.log(one / other) for one, other in zip(self.first, self.second)))


class Service(NamedTuple):
    master: int
    port: str


def measure(n_turns: int) -> None:
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("error: needs two cores, one for the services")
    demo.make_venv()
    generator = load_generator()
    everywhere = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {SERVICE_CPU})
    options = argparse.Namespace(workers=WORKERS, threads=THREADS, server="gunicorn")
    try:
        with tempfile.TemporaryDirectory() as folder, demo.service(options) as a, demo.service(options) as b:
            os.sched_setaffinity(0, {LOAD_CPU})
            services = [Service(master, url.rpartition(":")[2]) for master, url in (a, b)]
            under_load(generator, services, Path(folder, "capture"), n_turns)
            idle(services[0].master, Path(folder, "capture"))
    finally:
        os.sched_setaffinity(0, everywhere)


def under_load(generator: Path, services: list[Service], capture: Path, n_turns: int) -> None:
    for service in services:
        most = load(generator, "closed", CONNECTIONS, service.port)
    rate = most["answers"]["n_right"] / most["seconds"] * SHARE

    def look(service: Service) -> Seen:
        before = cpu_ns(service.master)
        answers = load(generator, "open", f"{rate:.2f}", service.port)["answers"]
        cpu_ms = (cpu_ns(service.master) - before) / 1e6 / answers["n_right"]
        return Seen(cpu_ms, answers["latency"]["p99"] * 1e3)

    recorded_seconds, recorder_seconds = 0.0, 0.0

    def window(recorded: Service | None) -> Window:
        nonlocal recorded_seconds, recorder_seconds
        began = time.monotonic()
        with attached(recorded.master, capture) if recorded else nullcontext() as recorder:
            with ThreadPoolExecutor(2) as both:
                seen = Window(*both.map(look, services))
            if recorder:
                recorder_seconds += recorder.cpu_seconds
                recorded_seconds += time.monotonic() - began
        return seen

    plain: list[Seen] = []
    recorded: list[Seen] = []
    log_ratios: dict[str, list[Seen]] = {AGAIN: [], SAMPLED: []}
    dice = random.Random(1)
    for _ in range(n_turns):
        whom = [None, None, *services]
        seen = [Window(*[Seen(0, 0)] * 2)] * len(whom)
        for idx in dice.sample(range(len(whom)), len(whom)):
            seen[idx] = window(whom[idx])
        none, again, first, second = seen
        plain += [*none, *again, first.second, second.first]
        recorded += [first.first, second.second]
        log_ratios[AGAIN].append(halved(none, again))
        log_ratios[SAMPLED].append(halved(first, second))
    show(rate, plain, recorded, log_ratios)
    share = recorder_seconds / recorded_seconds
    print(f"\nThe recorder used {share:.1%} of a processor, its opening look included.")


def halved(one: Window, other: Window) -> Seen:
    """What was done to the first in one window and to the second in the other, as a ratio's logarithm."""
    return Seen(*((a - b) / 2 for a, b in zip(one.log_ratios(), other.log_ratios())))


def load(generator: Path, model: str, amount: object, port: str) -> dict:
    plan = Path(__file__).with_name("requests.toml")
    words = [generator, model, amount, port, LOAD_CPU, SECONDS, CONNECTIONS, plan]
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


def show(rate: float, plain: list[Seen], recorded: list[Seen], log_ratios: dict[str, list[Seen]]) -> None:
    title(
        f"The demo's service, {WORKERS} gunicorn workers of {THREADS} threads at {rate:.0f} requests/s, "
        "beside one that is not recorded",
        "recorded",
        ">CPU ms a request",
        ">to none (95 %)",
        ">p99 ms",
        ">to none (95 %)",
        f"CPU and p99 at most {MOST}",
    )

    def middle(looks: list[Seen], field: str) -> str:
        return f"{statistics.median(getattr(look, field) for look in looks):.2f}"

    row(NONE, middle(plain, "cpu_ms"), "", middle(plain, "p99_ms"), "", "")
    for state, looks in ((AGAIN, plain), (SAMPLED, recorded)):
        cells, holds = [], True
        for field in Seen._fields:
            mean, least, most = interval([getattr(one, field) for one in log_ratios[state]])
            cells += [middle(looks, field), f"{mean:.3f} ({least:.3f} to {most:.3f})"]
            holds &= mean <= MOST
        row(state, *cells, verdict(holds))


def interval(logs: list[float]) -> tuple[float, float, float]:
    """The geometric mean, and Student's 95 % interval."""
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), 0.0, math.inf
    reach = student(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - reach), math.exp(mean + reach)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's distribution (Cornish and Fisher; within 2 % from 3 degrees on)."""
    z = statistics.NormalDist().inv_cdf(0.975)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def idle(master: int, capture: Path) -> None:
    """No request is sent."""
    columns = ("recorded", ">service's CPU ms a second", ">recorder's CPU ms a second")
    title("The same service, idle", *columns)
    row(NONE, f"{per_idle_second(lambda: cpu_ns(master) / 1e6):.2f}", "")
    with attached(master, capture) as recorder:
        before = recorder.cpu_seconds
        service = per_idle_second(lambda: cpu_ns(master) / 1e6)
        row(SAMPLED, f"{service:.2f}", f"{(recorder.cpu_seconds - before) * 1e3 / IDLE_SECONDS:.1f}")


def per_idle_second(milliseconds: Callable[[], float]) -> float:
    before = milliseconds()
    time.sleep(IDLE_SECONDS)
    return (milliseconds() - before) / IDLE_SECONDS
