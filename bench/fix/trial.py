"""One trial: a service under one arm, started fresh, loaded in rounds, idle after each, and stopped."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, NamedTuple

import processes
from arms import Arm
from catalogue import SERVICES, Service

FIX = Path(__file__).resolve().parent
PROGRAMS = FIX / ".venv/bin"
START_SECONDS = 30.0
SETTLE_SECONDS = 1.0
LATE_SECONDS = 0.25
DIES_WITH_US = ["setpriv", "--pdeathsig", "TERM", "--"]


class Void(Exception):
    """A trial that says nothing: wrong answers, or a load that was not offered as intended."""


class Plan(NamedTuple):
    rounds: int
    idle_seconds: float
    loading: threading.Lock
    """Held while a service starts or is loaded, so that one trial's load never meets another's."""


class Up(NamedTuple):
    """A service that answers."""

    service: Service
    port: int
    folder: Path
    master: int

    def load(self, requests: list) -> dict:
        """Runs the load program; it is not preloaded with anything."""
        answer = subprocess.run(
            [PROGRAMS / "python", FIX / self.service.load],
            input=json.dumps({"port": self.port, "requests": requests}),
            env=surroundings(self.folder, {}),
            capture_output=True,
            text=True,
        )
        if answer.returncode != 0:
            raise Void(f"the load failed: {answer.stderr[-300:]}\n{log_of(self.folder)}")
        return json.loads(answer.stdout)


def trial(service: Service, arm: Arm, plan: Plan) -> dict:
    """All that is measured, as JSON."""
    with running(service, arm.environment(), plan.loading) as up:
        time.sleep(SETTLE_SECONDS)
        pids = processes.workers(up.master)
        everything = processes.tree(up.master)
        start = sum(processes.exact_bytes(pid)[0] for pid in pids) / len(pids)
        with processes.Sampler(pids) as sampler:
            rounds = [one_round(up, number, plan, sampler, everything) for number in range(plan.rounds)]
        if processes.workers(up.master) != pids:
            raise Void("a worker was replaced")
        samples = [(second, round(size / len(pids))) for second, size in sampler.samples]
        return {
            "service": service.name,
            "arm": arm.name,
            "workers": len(pids),
            "start_bytes": start,
            "peak_bytes": sum(processes.peak_bytes(pid) for pid in pids) / len(pids),
            "rounds": rounds,
            "samples": samples[::4],
        }


def one_round(up: Up, number: int, plan: Plan, sampler: processes.Sampler, everything: list[int]) -> dict:
    """Load, then idle; the cost is of both, since what is put off until idle is not free."""
    requests = up.service.round(number)
    with plan.loading:
        before = processes.cost(everything)
        began = sampler.now()
        said = up.load(requests)
        loaded = processes.cost(everything).since(before)
    time.sleep(plan.idle_seconds)
    ended = sampler.now()
    spent = processes.cost(everything).since(before)
    exact = [processes.exact_bytes(pid) for pid in sampler.pids]
    if said["errors"]:
        raise Void(f"{len(said['errors'])} wrong answers: {said['errors'][0]}")
    if quantile(said["late"], 0.99) > LATE_SECONDS:
        raise Void(f"the load was {quantile(said['late'], 0.99):.2f} s late")
    n_workers, n_requests = len(sampler.pids), len(requests)
    return {
        "requests": n_requests,
        "seconds": said["seconds"],
        "checksum": said["checksum"],
        "cpu_seconds_per_request": spent.cpu_seconds / n_requests,
        "cpu_seconds_per_request_loaded": loaded.cpu_seconds / n_requests,
        "minor_faults_per_request": spent.minor_faults / n_requests,
        "p50_seconds": quantile(said["latencies"], 0.50),
        "p99_seconds": quantile(said["latencies"], 0.99),
        "max_seconds": max(said["latencies"]),
        "peak_bytes": max(sampler.within(began, ended)) / n_workers,
        "idle_bytes": statistics.median(sampler.within(ended - 1.0, ended)) / n_workers,
        "idle_exact_bytes": sum(rss for rss, _ in exact) / n_workers,
        "idle_pss_bytes": sum(pss for _, pss in exact) / n_workers,
    }


def floor_bytes(service: Service, arm: Arm, plan: Plan) -> float:
    """RSS per worker of a fresh service that holds what a loaded one keeps, and has done nothing else."""
    with running(service, {**arm.environment(), "LIVE": "full"}, plan.loading) as up:
        time.sleep(2 * SETTLE_SECONDS)
        sizes = [processes.exact_bytes(pid)[0] for pid in processes.workers(up.master)]
        return sum(sizes) / len(sizes)


@contextmanager
def running(service: Service, environment: dict, loading: threading.Lock) -> Iterator[Up]:
    """The service, started and warmed up; stopped at the end."""
    folder = Path(tempfile.mkdtemp(prefix="slackwater-fix-"))
    process = None
    try:
        for name in ("outbox", "messages", "control", "results"):
            (folder / name).mkdir()
        with loading:
            process = start(service, folder, environment, port := free_port())
            up = Up(service, port, folder, process.pid)
            wait_until_up(up, process)
            up.load(service.warm_up)
        yield up
    finally:
        if process:
            end(process)
        shutil.rmtree(folder, ignore_errors=True)


def start(service: Service, folder: Path, environment: dict, port: int) -> subprocess.Popen:
    if service.prepare:
        subprocess.run(service.prepare, check=True, env=surroundings(folder, {}), cwd=SERVICES)
    with open(folder / "log", "w") as log:
        return subprocess.Popen(
            [*DIES_WITH_US, *service.command(PROGRAMS, port)],
            cwd=SERVICES,
            env=surroundings(folder, environment),
            stdout=log,
            stderr=log,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def log_of(folder: Path) -> str:
    return (folder / "log").read_text()[-1000:]


def surroundings(folder: Path, environment: dict) -> dict:
    """Only what a service needs, so that the caller's own settings decide nothing."""
    plain = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    fixed = {
        "PYTHONHASHSEED": "0",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "SHOP_DATABASE": str(folder / "shop.db"),
        "TASKS_FOLDER": str(folder),
        "C_FORCE_ROOT": "1",
    }
    return {**plain, **fixed, **environment}


def wait_until_up(up: Up, process: subprocess.Popen) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise Void(f"{up.service.name} ended with {process.returncode}: {log_of(up.folder)}")
        if up.service.load != "load.py":
            return  # the warm-up tasks wait in their folder until the workers are up
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", up.port)) == 0:
                time.sleep(0.3)  # the other worker
                return
        time.sleep(0.05)
    raise Void(f"{up.service.name} was not up after {START_SECONDS:.0f} s")


def end(process: subprocess.Popen) -> None:
    """Stops the service's whole session, politely at first."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
