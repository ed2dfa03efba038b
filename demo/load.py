#!/usr/bin/env python3
"""Loads the telemetry service in bursts and checks every answer.

Each round first ingests batches, then asks for reports and histories while batches keep coming in,
from several threads at once, and then pauses. The requests follow from the seed alone. Progress goes
to standard error; the latencies to standard output, as one JSON object, with --json. The exit code is
1 when any answer was wrong.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import math
import random
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

GROUPS = ("pump", "valve")
METRICS = ("temperature", "pressure", "vibration")
EPOCH = 1_750_000_000.0


class WrongAnswer(Exception):
    """The service answered, but not with what was asked for."""


class Client:
    """Makes one kind of request each, and checks the answer."""

    def __init__(self, url: str, devices: int, patience_seconds: float) -> None:
        parts = urlsplit(url)
        self.address = (parts.hostname or "127.0.0.1", parts.port or 80)
        self.devices = devices
        self.patience_seconds = patience_seconds

    def names(self, group: str) -> list[str]:
        first = GROUPS.index(group)
        return [f"{group}-{number:04}" for number in range(first, self.devices, len(GROUPS))]

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        # A connection per request, so that every worker of the service gets its share.
        connection = http.client.HTTPConnection(*self.address, timeout=self.patience_seconds)
        try:
            connection.request(method, path, body)
            response = connection.getresponse()
            answer = response.read()
            if response.status != 200:
                raise WrongAnswer(f"{method} {path}: {response.status} {answer[:200]!r}")
            return gzip.decompress(answer) if response.headers["Content-Encoding"] == "gzip" else answer
        finally:
            connection.close()

    def ingest(self, dice: random.Random, readings: int) -> None:
        batch = [
            {
                "device": f"{GROUPS[number % len(GROUPS)]}-{number:04}",
                "time": round(EPOCH + dice.random() * 86_400, 3),
                "values": {metric: round(100 * dice.random(), 4) for metric in METRICS},
            }
            for number in (dice.randrange(self.devices) for _ in range(readings))
        ]
        body = json.dumps({"gateway": f"gw-{dice.randrange(64)}", "readings": batch}).encode()
        answer = json.loads(self.call("POST", "/ingest", body))
        if answer != {"accepted": readings, "unknown": []}:
            raise WrongAnswer(f"a batch of {readings} readings was answered with {answer}")

    def history(self, dice: random.Random) -> None:
        name = dice.choice(self.names(dice.choice(GROUPS)))
        limit = dice.choice((10, 100, 1000))
        answer = json.loads(self.call("GET", f"/devices/{name}/history?limit={limit}"))
        points = answer["points"]
        complete = all({"time", *METRICS} == {*point} for point in points)
        if answer["device"] != name or len(points) > limit or not complete:
            raise WrongAnswer(f"the history of {name} is not one")

    def report(self, dice: random.Random) -> None:
        group = dice.choice(GROUPS)
        names = self.names(group)
        if dice.random() < 0.75:
            page = self.call("GET", f"/report/{group}.html")
            if page.count(b"<section id='") != len(names) or not page.rstrip().endswith(b"</section>"):
                raise WrongAnswer(f"the {group} report does not show {len(names)} devices")
        else:
            lines = self.call("GET", f"/report/{group}.csv").splitlines()
            strangers = {line.split(b",", 1)[0].decode() for line in lines[1:]} - {*names}
            if lines[0] != b"device,time,temperature,pressure,vibration" or strangers:
                raise WrongAnswer(f"the {group} export has lines of {sorted(strangers)[:3]}")

    def fleet(self, _dice: random.Random) -> None:
        answer = json.loads(self.call("GET", "/fleet"))
        if len(answer) != self.devices:
            raise WrongAnswer(f"the fleet has {len(answer)} devices, not {self.devices}")


def burst(kinds: str, client: Client, seed: int, n_requests: int, args: argparse.Namespace) -> list[float]:
    """Sends the requests from all threads; returns each one's latency in seconds."""
    turns: Iterator[int] = iter(range(n_requests))
    lock = threading.Lock()
    latencies: list[float] = []
    failures: list[str] = []

    def work() -> None:
        while not failures:
            with lock:
                turn = next(turns, None)
            if turn is None:
                return
            dice = random.Random(seed * 1_000_003 + turn)
            started = time.perf_counter()
            try:
                request(kinds, client, dice, args.readings)
            except (OSError, ValueError, http.client.HTTPException, WrongAnswer) as error:
                failures.append(f"{type(error).__name__}: {error}")
                return
            with lock:
                latencies.append(time.perf_counter() - started)
                if len(latencies) % 50 == 0:
                    progress(args, f"{kinds}: {len(latencies)}/{n_requests}")

    threads = [threading.Thread(target=work) for _ in range(args.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise WrongAnswer(failures[0])
    return latencies


def request(kinds: str, client: Client, dice: random.Random, readings: int) -> None:
    if kinds == "ingest":
        client.ingest(dice, readings)
        return
    draw = dice.random()
    if draw < 0.4:
        client.report(dice)
    elif draw < 0.7:
        client.ingest(dice, readings)
    elif draw < 0.95:
        client.history(dice)
    else:
        client.fleet(dice)


def progress(args: argparse.Namespace, text: str) -> None:
    if not args.quiet:
        end = "\r" if sys.stderr.isatty() else "\n"
        if end == "\n" and text[-1].isdigit():
            return  # a log needs the milestones only
        print(f"  {text:60}", end=end, file=sys.stderr, flush=True)


def summary(latencies: list[float], seconds: float) -> dict[str, float | int]:
    ordered = sorted(latencies)
    return {
        "requests": len(ordered),
        "seconds": round(seconds, 2),
        "mean_ms": round(1e3 * statistics.fmean(ordered), 2),
        "p50_ms": round(1e3 * quantile(ordered, 0.50), 2),
        "p99_ms": round(1e3 * quantile(ordered, 0.99), 2),
        "max_ms": round(1e3 * ordered[-1], 2),
    }


def quantile(ordered: list[float], share: float) -> float:
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def wait_until_up(client: Client) -> None:
    """Asks for the service's health until it answers."""
    deadline = time.monotonic() + client.patience_seconds
    while True:
        try:
            client.call("GET", "/health")
            return
        except (OSError, http.client.HTTPException):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batches", type=int, default=250, help="batches ingested in each round")
    parser.add_argument("--readings", type=int, default=500, help="readings in a batch")
    parser.add_argument("--queries", type=int, default=150, help="requests of all kinds in each round")
    parser.add_argument("--threads", type=int, default=24)
    parser.add_argument("--pause", type=float, default=2.0, help="seconds between rounds")
    parser.add_argument("--devices", type=int, default=200, help="as many as the service knows")
    parser.add_argument("--patience", type=float, default=60.0, help="seconds to wait for an answer")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("-q", "--quiet", action="store_true")
    args = parser.parse_args()

    client = Client(args.url, args.devices, args.patience)
    results = []
    try:
        wait_until_up(client)
        for round_number in range(1, args.rounds + 1):
            if round_number > 1:
                time.sleep(args.pause)
            for kinds, n_requests in (("ingest", args.batches), ("mixed", args.queries)):
                if not n_requests:
                    continue
                started = time.perf_counter()
                latencies = burst(kinds, client, args.seed * 100 + round_number, n_requests, args)
                seconds = time.perf_counter() - started
                results.append({"round": round_number, "kind": kinds, **summary(latencies, seconds)})
                progress(args, f"round {round_number}: {n_requests} x {kinds} in {seconds:.0f} s, all right")
    except (OSError, http.client.HTTPException, WrongAnswer) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if args.json:
        print(json.dumps({"rounds": results}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
