"""The services: how each is started, and what a round of load is."""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Callable, NamedTuple

SERVICES = Path(__file__).resolve().parent / "services"


class Service(NamedTuple):
    name: str
    what: str
    command: Callable[[Path, int], list[str]]
    """The command line, from the folder of programs and a port."""
    load: str
    """The program that sends the requests."""
    round: Callable[[int], list]
    """The requests of a round, by its number; they are the same in every run."""
    warm_up: list
    """Requests after which every thread has worked and every module is loaded."""
    prepare: list[str] | None = None
    """Run in the service's folder before it starts."""


def gunicorn(app: str, workers: int, threads: int) -> Callable[[Path, int], list[str]]:
    def command(programs: Path, port: int) -> list[str]:
        words = [
            "-w",
            workers,
            "--threads",
            threads,
            "-b",
            f"127.0.0.1:{port}",
            "--log-level",
            "warning",
            app,
        ]
        return [str(programs / "gunicorn"), *map(str, words)]

    return command


def uvicorn(app: str, workers: int) -> Callable[[Path, int], list[str]]:
    def command(programs: Path, port: int) -> list[str]:
        words = ["--workers", workers, "--port", port, "--log-level", "warning", "--no-access-log", app]
        return [str(programs / "uvicorn"), *map(str, words)]

    return command


def celery(programs: Path, port: int) -> list[str]:
    words = ["-A", "tasks", "worker", "-P", "prefork", "-c", "2", "-l", "warning", "--without-gossip"]
    return [str(programs / "celery"), *words, "--without-mingle", "--without-heartbeat"]


def bursts(per_burst: int, seconds: list[float], request: Callable[[random.Random, int], list]) -> Callable:
    """All requests of a burst are due at once."""

    def round_(number: int) -> list:
        dice = random.Random(number)
        return [
            [second, *request(dice, number * 10_000 + index * 1000 + member)]
            for index, second in enumerate(seconds)
            for member in range(per_burst)
        ]

    return round_


def steady(per_second: float, seconds: float, request: Callable[[random.Random, int], list]) -> Callable:
    """Requests at random times, as many in each second."""

    def round_(number: int) -> list:
        dice = random.Random(number)
        due = sorted(dice.random() * seconds for _ in range(int(per_second * seconds)))
        return [[second, *request(dice, number * 10_000 + member)] for member, second in enumerate(due)]

    return round_


def order(dice: random.Random, seed: int) -> list:
    lines = [
        {
            "sku": f"{dice.getrandbits(32):08x}",
            "kind": dice.choice(("food", "book", "tool", "toy")),
            "count": dice.randrange(1, 9),
            "price": round(dice.random() * 50, 2),
            "labels": ["new", "sale", "gift"][: dice.randrange(4)],
        }
        for _ in range(dice.randrange(20, 160))
    ]
    return ["/orders", json.dumps({"number": seed, "customer": f"customer {seed % 99}", "lines": lines})]


def page(dice: random.Random, seed: int) -> list:
    if dice.random() < 0.2:
        return [f"/search?word=word{dice.randrange(40)}", None]
    return [f"/products?kind={dice.randrange(8)}&page={dice.randrange(8)}", None]


def rows(low: int, high: int) -> Callable[[random.Random, int], list]:
    return lambda dice, seed: [f"/?n={dice.randrange(low, high)}&seed={seed}", None]


def at_once(n_requests: int, request: Callable[[random.Random, int], list]) -> list:
    return bursts(n_requests, [0.0], request)(999)


CATALOGUE = [
    Service(
        "bursty",
        "gunicorn, 2 workers of 16 threads; large structures, blocks of every size, in bursts",
        gunicorn("bursty:app", 2, 16),
        "load.py",
        bursts(32, [0.0, 1.0, 2.0], rows(2600, 3400)),
        at_once(96, rows(10, 12)),
    ),
    Service(
        "orders",
        "uvicorn, 2 workers, FastAPI; small objects",
        uvicorn("orders:app", 2),
        "load.py",
        steady(220, 3.0, order),
        at_once(60, order),
    ),
    Service(
        "frames",
        "gunicorn, 2 workers of 4 threads; pandas frames",
        gunicorn("frames:app", 2, 4),
        "load.py",
        bursts(12, [0.0, 1.0, 2.0], rows(60_000, 240_000)),
        at_once(32, rows(1000, 1200)),
    ),
    Service(
        "shop",
        "gunicorn, 2 workers of 4 threads; Flask, Jinja templates, SQLite",
        gunicorn("shop:app", 2, 4),
        "load.py",
        steady(110, 3.0, page),
        at_once(32, page),
        [sys.executable, str(SERVICES / "shop.py")],
    ),
    Service(
        "tasks",
        "celery, 2 pre-forked workers; records as JSON, CSV and gzip",
        celery,
        "tasks_load.py",
        bursts(16, [0.0, 1.0, 2.0], lambda dice, seed: [dice.randrange(4_000, 12_000), seed]),
        bursts(12, [0.0], lambda dice, seed: [10, seed])(999),
    ),
]
