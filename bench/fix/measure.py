#!/usr/bin/env python3
"""Services under load with every allocator one might preload: processor time, latency, memory.

Each trial starts the service afresh under one arm, loads it in rounds and lets it idle after each. Within
a repetition every arm has its turn, in random order, and ratios are of trials of the same repetition.
One service is loaded at a time; others idle meanwhile, which costs nothing and saves most of the wait.

Claims, on all services: idle RSS lowest or within 5 % of the lowest, CPU at most 1.03 of glibc's, peak
at most 1.03 of glibc's, and the second round ends where the first did. On the bursty one: idle at most
1.25 of the floor and 0.2 of the recipe's, CPU at most glibc's, peak at most 0.6 of glibc's.
"""

from __future__ import annotations

import argparse
import itertools
import json
import queue
import random
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import compare
import tables
from arms import ARMS, Arm, named
from catalogue import CATALOGUE, Service
from trial import FIX, Plan, Void, floor_bytes, trial

from bench import venv

ATTEMPTS = 3


def main() -> None:
    args = arguments()
    if args.show:
        tables.show(json.loads(args.show.read_text()))
        return
    # Ends through the code that stops the services.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    venv(FIX)
    services = [service for service in CATALOGUE if service.name in args.service]
    arms = named(args.arm)
    for arm in arms:
        arm.environment()  # a missing library is said before anything is measured
    results = measure(services, arms, args)
    compare.check_answers(results["trials"])
    tables.show(results)
    print(f"\nAll trials: {args.output}", file=sys.stderr)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = [service.name for service in CATALOGUE]
    parser.add_argument("-s", "--service", action="append", choices=names, help="only this one; repeatable")
    parser.add_argument("-a", "--arm", action="append", help="only this one; repeatable; see arms.py")
    parser.add_argument("-n", "--repetitions", type=int, default=5)
    parser.add_argument("-r", "--rounds", type=int, default=2)
    parser.add_argument("--idle", type=float, default=4.0, help="seconds of idling after a round")
    parser.add_argument("--lanes", type=int, default=4, help="services that are up at a time")
    parser.add_argument("--seed", type=int, default=1, help="of the order of the arms")
    parser.add_argument("-o", "--output", type=Path, default=FIX / ".cache/fix.json")
    parser.add_argument("--show", type=Path, metavar="FILE", help="only the tables, of trials kept in FILE")
    args = parser.parse_args()
    args.service = args.service or names
    args.arm = args.arm or [arm.name for arm in ARMS]
    return args


def measure(services: list[Service], arms: list[Arm], args: argparse.Namespace) -> dict:
    """All trials, in several lanes; they are written after each, and kept when the rest is given up."""
    plan = Plan(args.rounds, args.idle, threading.Lock())
    dice = random.Random(args.seed)
    jobs: queue.SimpleQueue = queue.SimpleQueue()
    # Repetitions outermost: what was measured when the rest is given up is whole.
    for repetition, service in itertools.product(range(args.repetitions), services):
        for arm in dice.sample(arms, len(arms)):
            jobs.put((service, arm, repetition))
    n_jobs, began, writing = jobs.qsize(), time.monotonic(), threading.Lock()
    failures: list[BaseException] = []
    args.output.parent.mkdir(parents=True, exist_ok=True)
    floors = {service.name: floor_bytes(service, named(["glibc"])[0], plan) for service in services}
    results = {"floors": floors, "arms": {arm.name: arm.what for arm in arms}, "void": [], "trials": []}

    def lane() -> None:
        try:
            while not failures:
                service, arm, repetition = jobs.get_nowait()
                done = attempt(service, arm, plan, results["void"])
                with writing:
                    results["trials"].append({**done, "repetition": repetition})
                    args.output.write_text(json.dumps(results) + "\n")
                    progress(f"{len(results['trials'])}/{n_jobs} {service.name}, {arm.name}", began)
        except queue.Empty:
            return
        except Exception as error:  # told by the main thread; the other lanes stop
            failures.append(error)

    lanes = [threading.Thread(target=lane) for _ in range(args.lanes)]
    for thread in lanes:
        thread.start()
    try:
        for thread in lanes:
            thread.join()
    except KeyboardInterrupt as stop:
        failures.append(stop)
        print("\nstopping, when the trials under way have ended", file=sys.stderr)
        for thread in lanes:
            thread.join()
    for failure in failures:
        print(f"\nnot all was measured: {failure or 'stopped'}", file=sys.stderr)
    return results


def progress(note: str, began: float) -> None:
    end = "\r" if sys.stderr.isatty() else "\n"
    print(f"  {note}, {time.monotonic() - began:.0f} s".ljust(60), end=end, file=sys.stderr, flush=True)


def attempt(service: Service, arm: Arm, plan: Plan, voided: list[str]) -> dict:
    for _ in range(ATTEMPTS):
        try:
            return trial(service, arm, plan)
        except Void as reason:
            voided.append(f"{service.name}, {arm.name}: {reason}")
            print(f"\nvoid: {voided[-1]}", file=sys.stderr)
    raise Void(voided[-1])


if __name__ == "__main__":
    main()
